"""The metrics of one device: what its birth names, and what the aliases in its rows mean.

Tables pass the outbox before the first row that needs them.  A session keeps those that it has passed on in a file
(`library.py`), so rows that wait on the disk find their table after a restart as well.
"""

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from functools import cached_property

import msgspec

from gateway.payload.sparkplug.datatypes import Datatype
from gateway.payload.sparkplug.templates import Template
from gateway.payload.sparkplug.wire import field, number_field

_COMPRESS_FROM, _COMPRESSED = 64 * 2**10, b"\xc1"
"""The byte that no value of MessagePack begins with."""
GAPS = "Gateway/Gaps"
"""A metric of every device: what is missing before the values that follow, as JSON."""


class Definition(msgspec.Struct, frozen=True, array_like=True):
    """One metric."""

    name: str
    alias: int
    datatype: int
    node_id: str = ""
    unit: str | None = None
    template: str = ""
    """The definition of a structure."""
    low: float | None = None
    high: float | None = None
    """Where the value lies in normal operation."""


class Table(msgspec.Struct, frozen=True, dict=True):
    """All metrics of one device.  Equal content has an equal version."""

    device: str
    """The device id, as in the topic."""
    source: str
    metrics: tuple[Definition, ...]
    """The last one is that of gaps."""
    version: str
    templates: tuple[Template, ...] = ()
    """The definitions that its metrics use, each after those that it uses itself."""

    @cached_property
    def by_alias(self) -> dict[int, Definition]:
        return {metric.alias: metric for metric in self.metrics}

    @cached_property
    def by_name(self) -> dict[str, Definition]:
        return {metric.name: metric for metric in self.metrics}

    @cached_property
    def by_template(self) -> dict[str, Template]:
        return {template.name: template for template in self.templates}

    @cached_property
    def heads(self) -> list[bytes]:
        """What a birth says of each metric that never changes: name, alias, datatype."""
        return [
            field(1, each.name.encode(errors="replace")) + number_field(2, each.alias) + number_field(4, each.datatype)
            for each in self.metrics
        ]

    @property
    def gap_alias(self) -> int:
        return self.metrics[-1].alias

    def covers(self, other: "Table") -> bool:
        """Whether rows of another table may follow the birth of this one."""
        if other.version == self.version:
            return True
        known = self.by_alias
        return all((found := known.get(each.alias)) is not None and _same(found, each) for each in other.metrics)


def _same(one: Definition, other: Definition) -> bool:
    return (one.name, one.datatype, one.template) == (other.name, other.datatype, other.template)


def table_of(
    device: str, source: str, metrics: Iterable[Definition], gap_alias: int, templates: Sequence[Template] = ()
) -> Table:
    """The table of a device, with the metric of gaps at its end."""
    found = (*metrics, Definition(GAPS, gap_alias, Datatype.STRING))
    digest = hashlib.sha256(msgspec.msgpack.encode([device, source, found, templates])).hexdigest()[:16]
    return Table(device, source, found, digest, tuple(templates))


def packed_table(table: Table) -> bytes:
    """As it is stored: long ones are compressed, for a record of a group has its bounds."""
    packed = msgspec.msgpack.encode(table)
    return packed if len(packed) < _COMPRESS_FROM else _COMPRESSED + zlib.compress(packed, 1)


def unpacked_table(payload: bytes) -> Table:
    """Raises `msgspec.MsgspecError` where it is none."""
    if payload.startswith(_COMPRESSED):
        try:
            payload = zlib.decompress(payload[1:])
        except zlib.error as error:
            raise msgspec.DecodeError(str(error)) from error
    return msgspec.msgpack.decode(payload, type=Table)
