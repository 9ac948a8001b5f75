"""Reads Sparkplug payloads, for commands and for `gateway watch`.  Pure.

A DataSet is shown as a list of rows by column, a template as its members by name.  A compressed payload is one within
another, as Eclipse Tahu has it: `uuid` says so, the metric `algorithm` how, and `body` is the payload.

The tests check what we write with readers of others, and never with this one.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway.payload.sparkplug.compression import opened
from gateway.payload.sparkplug.datatypes import Datatype
from gateway.payload.sparkplug.wire import FIXED32, FIXED64, MalformedError, Value, fields_in

_BITS = {Datatype.INT8: 8, Datatype.INT16: 16, Datatype.INT32: 32, Datatype.INT64: 64}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ITEMS = {
    Datatype.INT8_ARRAY: "b", Datatype.INT16_ARRAY: "h", Datatype.INT32_ARRAY: "i", Datatype.INT64_ARRAY: "q",
    Datatype.UINT8_ARRAY: "B", Datatype.UINT16_ARRAY: "H", Datatype.UINT32_ARRAY: "I", Datatype.UINT64_ARRAY: "Q",
    Datatype.FLOAT_ARRAY: "f", Datatype.DOUBLE_ARRAY: "d", Datatype.DATETIME_ARRAY: "q",
}  # fmt: skip
_VALUES = range(10, 20)


@dataclass(slots=True)
class Metric:
    """One metric, with its value as the wire has it."""

    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    datatype: int = 0
    is_historical: bool = False
    is_null: bool = False
    number: int = 0
    """The number of the field of its value; 0: none."""
    kind: int = 0
    raw: Value = 0
    properties: bytes = b""

    def value_as(self, datatype: int) -> object:
        """The value, given its datatype; None for null, and where the field does not fit."""
        if self.is_null or not self.number:
            return None
        raw = self.raw
        if isinstance(raw, int):
            if datatype == Datatype.BOOLEAN:
                return bool(raw)
            if datatype in _BITS:
                return _signed(raw, _BITS[Datatype(datatype)])
            return float(raw) if datatype in (Datatype.FLOAT, Datatype.DOUBLE) else raw
        if self.kind == FIXED64:
            return float(struct.unpack("<d", raw)[0])
        if self.kind == FIXED32:
            return float(struct.unpack("<f", raw)[0])
        if self.number in _FORMS:
            return _FORMS[self.number](raw)
        return _array(datatype, raw)


@dataclass(slots=True)
class Payload:
    timestamp: int | None = None
    seq: int | None = None
    metrics: list[Metric] = field(default_factory=list)
    compression: str = ""
    """`DEFLATE` or `GZIP`, if it was compressed."""


def read_payload(payload: bytes) -> Payload:
    """Raises `MalformedError`."""
    inner, algorithm = opened(payload)
    found = _plain(inner)
    if algorithm:
        found.compression, outer = algorithm, _plain(payload)
        found.seq = outer.seq if found.seq is None else found.seq
        found.timestamp = outer.timestamp if found.timestamp is None else found.timestamp
    return found


def _plain(payload: bytes) -> Payload:
    found = Payload()
    for number, _, value in fields_in(payload):
        if number == 1:
            found.timestamp = _whole(value)
        elif number == 3:
            found.seq = _whole(value)
        elif number == 2:
            found.metrics.append(_metric(_octets(value)))
    return found


def instant_of(ms: int) -> datetime:
    """Raises `OverflowError`."""
    return _EPOCH + timedelta(milliseconds=ms)


def _metric(message: bytes) -> Metric:
    found = Metric()
    for number, kind, value in fields_in(message):
        if number == 1:
            found.name = _octets(value).decode(errors="replace")
        elif number == 2:
            found.alias = _whole(value)
        elif number == 3:
            found.timestamp = _whole(value)
        elif number == 4:
            found.datatype = _whole(value)
        elif number == 5:
            found.is_historical = bool(value)
        elif number == 7:
            found.is_null = bool(value)
        elif number == 9:
            found.properties = _octets(value)
        elif number in _VALUES:
            found.number, found.kind, found.raw = number, kind, value
    return found


def _whole(value: Value) -> int:
    if not isinstance(value, int):
        raise MalformedError("a number is expected")
    return value


def _octets(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedError("bytes are expected")
    return value


def _signed(raw: int, bits: int) -> int:
    cut = raw & (1 << bits) - 1
    return cut - (1 << bits) if cut >> bits - 1 else cut


def _array(datatype: int, raw: bytes) -> object:
    form = _ITEMS.get(Datatype(datatype)) if datatype in Datatype else None  # type: ignore[operator]
    if form is not None:
        size = struct.calcsize(form)
        return [each[0] for each in struct.iter_unpack(f"<{form}", raw[: len(raw) // size * size])]
    if datatype == Datatype.BOOLEAN_ARRAY and len(raw) >= 4:
        count = min(int.from_bytes(raw[:4], "little"), 8 * (len(raw) - 4))
        return [bool(raw[4 + n // 8] & 0x80 >> n % 8) for n in range(count)]
    if datatype == Datatype.STRING_ARRAY:
        return [each.decode(errors="replace") for each in raw.split(b"\0")[:-1]]
    return raw.hex()


def _text(raw: bytes) -> object:
    return raw.decode(errors="replace")


def _dataset(raw: bytes) -> object:
    names, types, rows = list[str](), list[int](), list[list[object]]()
    for number, _, value in fields_in(raw):
        if number == 2:
            names.append(_octets(value).decode(errors="replace"))
        elif number == 3:
            types.append(_whole(value))
        elif number == 4:
            cells = [_cell(_octets(cell)) for each, _, cell in fields_in(_octets(value)) if each == 1]
            rows.append([each.value_as(types[n] if n < len(types) else 0) for n, each in enumerate(cells)])
    return [dict(zip(names, row, strict=False)) for row in rows]


def _cell(message: bytes) -> Metric:
    """A cell as the metric that its value would be."""
    found = Metric()
    for number, kind, value in fields_in(message):
        found.number, found.kind, found.raw = number + 9, kind, value
    return found


def _template(raw: bytes) -> object:
    members = [_metric(_octets(value)) for number, _, value in fields_in(raw) if number == 2]
    return {member.name: member.value_as(member.datatype) for member in members}


_FORMS: Mapping[int, Callable[[bytes], object]] = {15: _text, 17: _dataset, 18: _template}
"""By the field of the value."""
