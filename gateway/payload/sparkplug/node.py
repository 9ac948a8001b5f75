"""What the encoders and sessions of one route share: its devices, their tables and aliases, and the latest values.

It lives as long as the route.  Aliases are unique in the edge node: a name of a device has the same one for ever, also
in tables of earlier processes, which the library gives back.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from gateway.payload.sparkplug.births import BD_SEQ, FIRST_ALIAS, REBIRTH
from gateway.payload.sparkplug.datatypes import DATATYPES
from gateway.payload.sparkplug.latest import Latest
from gateway.payload.sparkplug.table import Table
from gateway.payload.sparkplug.templates import Member, Template
from gateway.payload.sparkplug.wire_latest import WireLatest

NAMESPACE = "spBv1.0"
MOST_TABLES = 16
"""How many tables of a device are remembered.  Rows of older ones are refused."""


@dataclass(slots=True)
class Device:
    """One device."""

    id: str
    source: str
    table: Table | None = None
    """Its present table, by the encoder of this process."""
    is_alive: bool = False
    """Whether its server is connected."""
    last_seq: int = 0
    """The number of the latest record that was made for it in this process."""
    tables: deque[Table] = field(default_factory=lambda: deque(maxlen=MOST_TABLES))


@dataclass(frozen=True, slots=True)
class Names:
    """Where the messages of an edge node go."""

    group: str
    node: str

    def topic(self, verb: str, device: str = "") -> str:
        return "/".join((NAMESPACE, self.group, verb, self.node, *((device,) if device else ())))

    def parts(self, topic: str) -> tuple[str, str] | None:
        """Verb and device of one of our topics.  None: it is another one."""
        levels = topic.split("/")
        if len(levels) not in (4, 5) or (levels[0], levels[1], levels[3]) != (NAMESPACE, self.group, self.node):
            return None
        return levels[2], levels[4] if len(levels) == 5 else ""


class Node:
    """The edge node of one route."""

    def __init__(
        self, names: Names, tables: Iterable[Table] = (), datatypes: NDArray[np.uint8] = DATATYPES,
        latest: WireLatest | None = None, *, is_shared: bool = False, first_alias: int = FIRST_ALIAS,
    ) -> None:  # fmt: skip
        """`tables` are those of earlier processes; `datatypes` has those of built-in types with their flags.

        `is_shared`: others name the templates of this edge node as well, so a name follows from the content.
        """
        self.names = names
        self.datatypes = datatypes
        self.devices: dict[str, Device] = {}
        self.latest: Latest | WireLatest = latest or Latest()
        self.is_shared = is_shared
        self.templates: dict[str, Template] = {}
        """All definitions, by name."""
        self._template_names = dict.fromkeys(map(str.lower, (BD_SEQ, REBIRTH)), "")
        self._aliases: dict[tuple[str, str], int] = {}
        self._used: set[int] = set()
        self._next_alias = first_alias
        self._told: set[tuple[str, str]] = set()
        self._log = structlog.get_logger("gateway.sparkplug").bind(node=f"{names.group}/{names.node}")
        for table in tables:
            self.keep(table)

    def keep(self, table: Table) -> Device:
        """Remember a table that rows refer to."""
        device = self.devices.setdefault(table.device, Device(table.device, table.source))
        if all(known.version != table.version for known in device.tables):
            device.tables.append(table)
            for metric in table.metrics:
                self._aliases.setdefault((table.device, metric.name), metric.alias)
                self._used.add(metric.alias)
            for template in table.templates:
                self._keep_template(template)
        return device

    def _keep_template(self, template: Template) -> None:
        self.templates.setdefault(template.name, template)
        self._template_names.setdefault(template.name.lower(), template.name)
        self._aliases.setdefault(("", template.name), template.alias)
        self._used.add(template.alias)

    def template_of(self, wanted: str, members: Sequence[Member]) -> Template:
        """The definition with these members; another one of the name that is wanted for it has a number.

        Where names follow from the content, all of them have a digest of it instead.
        """
        number, content = 1, tuple(members)
        if self.is_shared:
            wanted += f"~{hashlib.sha256(msgspec.msgpack.encode(content)).hexdigest()[:8]}"
        while True:
            name = wanted if number == 1 else f"{wanted}~{number}"
            known = self._template_names.get(name.lower())
            if known is None:
                made = Template(name, self.alias_of("", name), str(number), content)
                self._keep_template(made)
                return made
            if known == name and self.templates[name].members == content:
                return self.templates[name]
            number += 1

    def table(self, device: str, version: str) -> Table | None:
        found = self.devices.get(device)
        return next((each for each in found.tables if each.version == version), None) if found is not None else None

    def device_for(self, wanted: str, source: str) -> Device:
        """The device of a source with this id; with the name of the source behind it, where another one has it."""
        for name in (wanted, f"{wanted}~{source}"):
            rival = self._rival_of(name, source)
            if rival is None:
                break
            self.tell_once(
                ("device", wanted), "two servers have a device of one name", device=wanted,
                sources=f"{rival.source} and {source}", next=f"one of them is {wanted}~{source}",
            )  # fmt: skip
        return self.devices.setdefault(name, Device(name, source))

    def _rival_of(self, name: str, source: str) -> Device | None:
        """Another device that has this name, for somebody who ignores case."""
        known = self.devices.values()
        return next((d for d in known if d.id.lower() == name.lower() and (d.id, d.source) != (name, source)), None)

    def alias_of(self, device: str, name: str) -> int:
        """The alias of a metric, which it keeps."""
        found = self._aliases.get((device, name))
        if found is None:
            while self._next_alias in self._used:
                self._next_alias += 1
            found = self._aliases[device, name] = self._next_alias
            self._used.add(found)
        return found

    def tell_once(self, key: tuple[str, str], what: str, **facts: object) -> None:
        """Log something about the names of a plant, which stays as it is."""
        if key not in self._told:
            self._told.add(key)
            self._log.warning(what, **facts)
