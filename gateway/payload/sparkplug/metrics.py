"""The metrics of one device's tags: names, aliases, and datatypes that are learned from values.

A metric has the type that its server describes, else that of its first value.  If a value of another type comes, the
metric becomes a String for good, with the values as JSON.  So the types of a metric change once at most, and a Variant
that changes with every sample makes no storm of births.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.model import IS_ARRAY, Batch, Priority, Tag, VariableType
from gateway.payload.sparkplug.datatypes import DATATYPES, Datatype, datatype_of
from gateway.payload.sparkplug.node import Device, Node
from gateway.payload.sparkplug.table import GAPS, Definition, Table, table_of

_ABSTRACT = (0, 24, 26, 27, 28, 29)
"""Built-in types whose values may have any type: null, Variant, Number and the like."""


class TagMetrics:
    """What follows from a table of tags, for all devices of a source."""

    def __init__(self, node: Node, tags: Sequence[Tag], devices: Sequence[Device], device_of: Sequence[int]) -> None:
        """`device_of` has the number of the device of each tag."""
        self._node = node
        self._tags = tags
        self._devices = devices
        self._device_of = device_of
        self.names = _names(node, tags, devices, device_of)
        self.aliases = np.array(
            [node.alias_of(devices[d].id, name) for name, d in zip(self.names, device_of, strict=True)], np.uint64
        )
        self.datatypes = np.array([_described(tag) for tag in tags], np.uint8)
        self._wire = self.datatypes
        """With texts where nothing is known."""
        self._is_fixed = np.zeros(len(tags), np.bool_)
        """Those that have become texts."""
        self._take_over()
        self.tables = [self._table(number) for number in range(len(devices))]

    def _take_over(self) -> None:
        """What an earlier process or connection has learned of the types."""
        for handle, (name, number) in enumerate(zip(self.names, self._device_of, strict=True)):
            table = self._devices[number].table or (self._devices[number].tables or [None])[-1]
            known = table.by_name.get(name) if table is not None else None
            if known is not None and known.datatype != self.datatypes[handle]:
                if not self.datatypes[handle]:
                    self.datatypes[handle] = known.datatype
                elif known.datatype == Datatype.STRING:
                    self.datatypes[handle], self._is_fixed[handle] = Datatype.STRING, True

    def learn(self, batch: Batch) -> bool:
        """Take note of types that differ from what the tables say, and make new tables where they do.

        Returns whether every row has a value of the type that the tables said.
        """
        kinds = DATATYPES[batch.types]
        if bool((kinds == self._wire[batch.handles]).all()):
            return True
        self._learn(batch, kinds)
        return False

    def _learn(self, batch: Batch, kinds: NDArray[np.uint8]) -> None:
        known = self.datatypes[batch.handles]
        differs = (kinds != known) & ~self._is_fixed[batch.handles] & ((batch.types != 0) | (known == 0))
        if not differs.any():
            return
        changed = set[int]()
        for row in np.flatnonzero(differs).tolist():
            handle, kind = int(batch.handles[row]), int(kinds[row])
            present = int(self.datatypes[handle])
            if kind == present or self._is_fixed[handle]:
                continue
            if not present:
                self.datatypes[handle] = kind
                if not kind:
                    continue  # null, and nobody knows the type: `_table` leaves it a String
            else:
                self.datatypes[handle], self._is_fixed[handle] = Datatype.STRING, True
                name = self.names[handle]
                self._node.tell_once(
                    ("type", name), "a metric changes its type, and is a text from now on", metric=name
                )
            changed.add(self._device_of[handle])
        for number in changed:
            self.tables[number] = self._table(number)

    def wire_types(self, batch: Batch) -> NDArray[np.uint8]:
        """The datatype of each row."""
        return self._wire[batch.handles]

    def _table(self, number: int) -> Table:
        device = self._devices[number]
        metrics = [
            Definition(
                self.names[handle], int(self.aliases[handle]), int(self.datatypes[handle]) or int(Datatype.STRING),
                tag.node_id, tag.unit,
            )
            for handle, tag in enumerate(self._tags)
            if self._device_of[handle] == number
        ]  # fmt: skip
        self._wire = np.where(self.datatypes == 0, np.uint8(Datatype.STRING), self.datatypes)
        table = table_of(device.id, device.source, metrics, self._node.alias_of(device.id, GAPS))
        device.table = table
        self._node.keep(table)
        return table


def _described(tag: Tag) -> int:
    """The datatype that the server describes; 0 where it leaves the type open."""
    if tag.priority is Priority.EVENT:
        return Datatype.STRING
    described: VariableType | None = tag.variable_type
    if described is None or not described.types or described.types[0].built_in in _ABSTRACT:
        return Datatype.UNKNOWN
    if described.rank not in (-1, 1):
        return Datatype.UNKNOWN if described.rank < 1 else Datatype.STRING
    return datatype_of(described.types[0].built_in | (IS_ARRAY if described.rank == 1 else 0))


def _names(node: Node, tags: Sequence[Tag], devices: Sequence[Device], device_of: Sequence[int]) -> list[str]:
    """Names that differ within each device also for those who ignore case: what comes second gets a number."""
    taken: dict[tuple[int, str], int] = {(number, GAPS.lower()): 1 for number in range(len(devices))}
    found = []
    for tag, number in zip(tags, device_of, strict=True):
        name, key = tag.name, (number, tag.name.lower())
        while key in taken:
            taken[key] += 1
            name = f"{tag.name}~{taken[key]}"
            key = (number, name.lower())
        if name != tag.name:
            node.tell_once(
                (devices[number].id, name),
                "two metrics of a device have names that differ by case at most",
                device=devices[number].id, metric=tag.name, next=f"the second one is {name}",
            )  # fmt: skip
        taken[key] = taken.get(key, 1)
        found.append(name)
    return found
