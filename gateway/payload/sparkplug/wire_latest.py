"""The latest value of each metric as a row has it on the wire: for births of a node whose rows others have made."""

from dataclasses import dataclass

from gateway.payload.sparkplug.datatypes import Datatype
from gateway.payload.sparkplug.table import Definition, Table
from gateway.payload.sparkplug.templates import instance
from gateway.payload.sparkplug.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    LIVE,
    METRIC,
    NULL,
    VARINT,
    Value,
    field,
    fields_in,
    number_field,
    varint,
    varint_at,
)

MOST_BYTES = 4 * 2**20
"""Rows that wait for their evaluation, at most."""
_ALIAS_AT = 3
"""Behind the flag of history and the tag of the alias."""
_PROPERTIES, _NULL, _QUALITY = 9, 7, b"Quality"
_NUMBERS = {
    Datatype.INT8: 10, Datatype.INT16: 10, Datatype.INT32: 10, Datatype.UINT8: 10, Datatype.UINT16: 10,
    Datatype.UINT32: 11, Datatype.INT64: 11, Datatype.UINT64: 11, Datatype.DATETIME: 11, Datatype.FLOAT: 12,
    Datatype.DOUBLE: 13, Datatype.BOOLEAN: 14, Datatype.STRING: 15, Datatype.TEXT: 15, Datatype.UUID: 15,
    Datatype.DATASET: 17, Datatype.TEMPLATE: 18,
}  # fmt: skip
"""The field of a value by its datatype; all others are bytes."""
_BYTES, _TEMPLATE_REF = 16, 4


@dataclass(frozen=True, slots=True)
class WireRow:
    """One metric of a row, from its time on."""

    ms: int
    rest: bytes
    """Properties and value."""

    def told(self, fixed: bytes, quality: int | None = None) -> bytes:
        """The properties, with those that never change, and another quality where one is given."""
        own = next((value for number, _, value in fields_in(self.rest) if number == _PROPERTIES), b"")
        assert isinstance(own, bytes)
        parts = list(fields_in(own))
        pairs = list(zip([v for n, _, v in parts if n == 1], [v for n, _, v in parts if n == 2], strict=False))
        if quality is not None:
            told = number_field(1, Datatype.INT32) + number_field(3, quality)
            pairs = [(_QUALITY, told), *(pair for pair in pairs if pair[0] != _QUALITY)]
        if not pairs:
            return fixed
        keys = b"".join(field(1, _octets(key)) for key, _ in pairs)
        values = b"".join(field(2, _octets(value)) for _, value in pairs)
        inner = next((_octets(value) for _, _, value in fields_in(fixed)), b"")
        return field(_PROPERTIES, keys + values + inner)

    def content(self, table: Table, metric: Definition, ms: int) -> bytes:
        """The field of its value; null where the metric has another datatype by now."""
        wanted = _NUMBERS.get(Datatype(metric.datatype), _BYTES)
        found = next((each for each in fields_in(self.rest) if each[0] == wanted), None)
        if metric.datatype == Datatype.TEMPLATE:
            template = table.by_template[metric.template]
            if found is None or _ref(_octets(found[2])) != template.name.encode(errors="replace"):
                return instance(template, None, ms, table.by_template)
        return _written(*found) if found is not None else NULL


class WireLatest:
    """By alias, from rows as they are stored.  It stands where encoders and sessions have a `Latest`."""

    def __init__(self) -> None:
        self._told: dict[int, bytes] = {}
        self._unread: list[bytes] = []
        self._unread_bytes = 0

    def note(self, batch: object, aliases: object) -> None:
        """Nothing: what counts is what was stored."""

    def see(self, payload: bytes) -> None:
        """Rows that were stored."""
        self._unread.append(payload)
        self._unread_bytes += len(payload)
        if self._unread_bytes > MOST_BYTES:
            self._read()

    def get(self, alias: int) -> WireRow | None:
        if self._unread:
            self._read()
        body = self._told.get(alias)
        if body is None:
            return None
        ms, place = varint_at(body, 1)
        return WireRow(ms, body[place:])

    def metric(self, alias: int) -> bytes:
        """The same as a metric of a row; empty where there is none."""
        if self._unread:
            self._read()
        body = self._told.get(alias)
        if body is None:
            return b""
        inner = LIVE + number_field(2, alias) + body
        return METRIC + varint(len(inner)) + inner

    def _read(self) -> None:
        for payload in self._unread:
            place, size = 0, len(payload)
            while place < size:
                length, start = varint_at(payload, place + 1)
                place = start + length
                if not payload[start + 1]:  # values of a history are not the latest
                    alias, begin = varint_at(payload, start + _ALIAS_AT)
                    self._told[alias] = payload[begin:place]
        self._unread.clear()
        self._unread_bytes = 0


def _ref(instance: bytes) -> bytes:
    """The name of the definition that an instance is of."""
    return next((_octets(value) for number, _, value in fields_in(instance) if number == _TEMPLATE_REF), b"")


def _written(number: int, kind: int, value: Value) -> bytes:
    if kind == VARINT:
        assert isinstance(value, int)
        return number_field(number, value)
    assert kind in (LENGTH, FIXED32, FIXED64)
    return field(number, _octets(value)) if kind == LENGTH else varint(number << 3 | kind) + _octets(value)


def _octets(value: Value) -> bytes:
    assert isinstance(value, bytes)
    return value
