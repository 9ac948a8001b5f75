"""The metrics of one device's tags: names, aliases, and datatypes that are learned from values.

A metric has the type that its server describes, else that of its first value.  If a value of another type comes, the
metric becomes a String for good, with the values as JSON.  So the types of a metric change once at most, and a Variant
that changes with every sample makes no storm of births.

A structure that has more than its definition gets a wider one, and after `MOST_WIDENINGS` of them it is such a String.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.model import IS_ARRAY, IS_MATRIX, Batch, Priority, Tag
from gateway.payload.sparkplug.datatypes import Datatype, value_field
from gateway.payload.sparkplug.node import Device, Node
from gateway.payload.sparkplug.rows import Heads
from gateway.payload.sparkplug.table import GAPS, Definition, Table, table_of
from gateway.payload.sparkplug.templates import Template, described, instance, takes, used_by, widened
from gateway.values import Structure

_ABSTRACT = (0, 24, 26, 27, 28, 29)
"""Built-in types whose values may have any type: null, Variant, Number and the like."""
MOST_WIDENINGS = 8


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
        self.heads = Heads(self.aliases.tolist())
        self.templates: dict[int, Template] = {}
        """By handle, of the metrics that are structures."""
        self._widenings: Counter[int] = Counter()
        self.datatypes = np.array([self._described(handle, tag) for handle, tag in enumerate(tags)], np.uint8)
        self._wire = self.datatypes
        """With texts where nothing is known."""
        self._is_fixed = np.zeros(len(tags), np.bool_)
        """Those that have become texts."""
        self._take_over()
        self.tables = [self._table(number) for number in range(len(devices))]

    def _described(self, handle: int, tag: Tag) -> int:
        """The datatype that the server describes; 0 where it leaves the type open."""
        if tag.priority is Priority.EVENT:
            return Datatype.STRING
        said = tag.variable_type
        if said is None or not said.types or said.types[0].built_in in _ABSTRACT:
            return Datatype.UNKNOWN
        if said.rank not in (-1, 1):
            return Datatype.UNKNOWN if said.rank < 1 else int(self._node.datatypes[IS_ARRAY | IS_MATRIX])
        kind = said.types[0].built_in | (IS_ARRAY if said.rank == 1 else 0)
        if self._node.datatypes[kind] == Datatype.TEMPLATE:
            template = described(said, self._node.template_of)
            if template is None:
                return Datatype.UNKNOWN
            self.templates[handle] = template
        return int(self._node.datatypes[kind])

    def _take_over(self) -> None:
        """What an earlier process or connection has learned of the types."""
        for handle, (name, number) in enumerate(zip(self.names, self._device_of, strict=True)):
            table = self._devices[number].table or (self._devices[number].tables or [None])[-1]
            known = table.by_name.get(name) if table is not None else None
            if known is not None and known.datatype != self.datatypes[handle]:
                if not self.datatypes[handle]:
                    self.datatypes[handle] = known.datatype
                    if known.datatype == Datatype.TEMPLATE:
                        self.templates[handle] = self._node.templates[known.template]
                elif known.datatype == Datatype.STRING:
                    self.datatypes[handle], self._is_fixed[handle] = Datatype.STRING, True

    def learn(self, batch: Batch) -> NDArray[np.uint8] | None:
        """Take note of types that differ from what the tables say, and make new tables where they do.

        Returns the datatypes of the rows, if each has a value of the type that the tables said.
        """
        kinds = self._node.datatypes[batch.types]
        is_usual = bool((kinds == self._wire[batch.handles]).all())
        if is_usual and not self.templates:
            return kinds
        has_learned = self._learn(batch, kinds)
        return kinds if is_usual and not has_learned else None

    def _learn(self, batch: Batch, kinds: NDArray[np.uint8]) -> bool:
        """Returns whether there are new tables."""
        known = self.datatypes[batch.handles]
        differs = (kinds != known) | (kinds == Datatype.TEMPLATE)
        differs &= ~self._is_fixed[batch.handles] & ((batch.types != 0) | (known == 0))
        if not differs.any():
            return False
        changed = set[int]()
        for row in np.flatnonzero(differs).tolist():
            handle, kind = int(batch.handles[row]), int(kinds[row])
            present = int(self.datatypes[handle])
            if self._is_fixed[handle] or self._fits(handle, kind, batch.values[row]):
                continue
            if kind == Datatype.TEMPLATE and present in (0, kind):
                if not self._widen(handle, batch.values[row]):
                    self._fix(handle)
            elif not present:
                self.datatypes[handle] = kind
                if not kind:
                    continue  # null, and nobody knows the type: `_table` leaves it a String
            else:
                self._fix(handle)
            changed.add(self._device_of[handle])
        for number in changed:
            self.tables[number] = self._table(number)
        return bool(changed)

    def _fits(self, handle: int, kind: int, value: object) -> bool:
        """Whether a value is what its metric is known to have."""
        present = int(self.datatypes[handle])
        if kind != present or kind != Datatype.TEMPLATE:
            return kind == present
        template = self.templates.get(handle)
        return template is not None and isinstance(value, Structure) and takes(template, value, self._node.templates)

    def _widen(self, handle: int, value: object) -> bool:
        """Give a metric the definition that its value needs.  False: there is none, or it had too many."""
        if not isinstance(value, Structure) or self._widenings[handle] >= MOST_WIDENINGS:
            return False
        former, name = self.templates.get(handle), self.names[handle]
        self.templates[handle] = widened(value, former, self._node.templates, self._node.template_of)
        self.datatypes[handle] = Datatype.TEMPLATE
        self._widenings[handle] += 1
        if former is not None:
            self._node.tell_once(
                ("template", name), "a structure has more than its definition: hosts get another one", metric=name
            )
        return True

    def _fix(self, handle: int) -> None:
        """From now on a metric is a text."""
        self.datatypes[handle], self._is_fixed[handle] = Datatype.STRING, True
        self.templates.pop(handle, None)
        name = self.names[handle]
        self._node.tell_once(("type", name), "a metric changes its type, and is a text from now on", metric=name)

    def field_of(self, handle: int, datatype: int, kind: int, value: object, ms: int) -> bytes:
        """The field of one value in a row of this datatype, which the table has for it."""
        if datatype == Datatype.TEMPLATE:
            assert isinstance(value, Structure)
            return instance(self.templates[handle], value, ms, self._node.templates)
        return value_field(datatype, kind, value)

    def wire_types(self, batch: Batch) -> NDArray[np.uint8]:
        """The datatype of each row."""
        return self._wire[batch.handles]

    def _table(self, number: int) -> Table:
        device = self._devices[number]
        metrics = [
            Definition(
                self.names[handle], int(self.aliases[handle]), int(self.datatypes[handle]) or int(Datatype.STRING),
                tag.node_id, tag.unit, self.templates[handle].name if handle in self.templates else "",
                *(tag.range or ()),
            )
            for handle, tag in enumerate(self._tags)
            if self._device_of[handle] == number
        ]  # fmt: skip
        self._wire = np.where(self.datatypes == 0, np.uint8(Datatype.STRING), self.datatypes)
        templates = tuple(used_by([each.template for each in metrics], self._node.templates))
        table = table_of(device.id, device.source, metrics, self._node.alias_of(device.id, GAPS), templates)
        device.table = table
        self._node.keep(table)
        return table


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
