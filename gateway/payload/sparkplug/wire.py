"""Protobuf as Sparkplug B uses it: metrics of many rows at once, single fields, and a reader.  Pure.

Field numbers are those of the published schema.  A metric of a row has this form; the first field is at a fixed place,
so that a stored metric can become historical by one byte:

    0x12 length | 0x28 is_historical | 0x10 alias | 0x18 timestamp | value

Columns become bytes in numpy: where all rows have equal lengths they are one table of bytes, and where they have not,
a mask cuts it.  A metric of a number then costs some ten nanoseconds.
"""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Value = int | bytes

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
METRIC = b"\x12"
LIVE, HISTORICAL = b"\x28\x00", b"\x28\x01"
NULL = b"\x38\x01"
_MOST_VARINT = 10


_SMALL = [bytes((number,)) for number in range(0x80)]


class MalformedError(ValueError):
    """The bytes are no protobuf message."""


def varint(number: int) -> bytes:
    """One unsigned number."""
    if number < 0x80:
        return _SMALL[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def field(number: int, value: bytes) -> bytes:
    """A field with a length: a text, bytes, or a message."""
    return varint(number << 3 | LENGTH) + varint(len(value)) + value


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3 | VARINT) + varint(value)


def double_field(number: int, value: float) -> bytes:
    return varint(number << 3 | FIXED64) + struct.pack("<d", value)


def float_field(number: int, value: float) -> bytes:
    return varint(number << 3 | FIXED32) + struct.pack("<f", value)


def metric_of(alias: int, ms: int, value: bytes, *, historical: bool = False, properties: bytes = b"") -> bytes:
    """One metric of a row, where columns do not pay."""
    body = (HISTORICAL if historical else LIVE) + b"\x10" + varint(alias) + b"\x18" + varint(ms) + properties + value
    return METRIC + varint(len(body)) + body


def metrics_of(
    aliases: NDArray[np.uint64], ms: NDArray[np.uint64], tag: int, values: NDArray[np.generic], historical: bool
) -> tuple[bytes, NDArray[np.int64]]:
    """The metrics of rows whose values have one type, and the length of each.

    `tag` is the tag byte of the value.  Unsigned 64-bit values are varints; of all others each row's bytes are taken as
    they are, little endian.
    """
    rows = len(aliases)
    parts = [(0x10, _varints(aliases)), (0x18, _varints(ms))]
    if values.dtype == np.uint64:
        parts.append((tag, _varints(values)))
    else:
        parts.append((tag, (np.ascontiguousarray(values).view(np.uint8).reshape(rows, -1), None)))
    width = 4 + sum(1 + part.shape[1] for _, (part, _) in parts)
    lengths = np.full(rows, width - 2, np.int64)
    table = np.empty((rows, width), np.uint8)
    table[:, 0], table[:, 2], table[:, 3] = METRIC[0], LIVE[0], historical
    kept: NDArray[np.bool_] | None = None
    at = 4
    for each, (part, cut) in parts:
        end = at + 1 + part.shape[1]
        table[:, at], table[:, at + 1 : end] = each, part
        if cut is not None:
            kept = np.ones((rows, width), np.bool_) if kept is None else kept
            kept[:, at + 1 : end] = np.arange(part.shape[1]) < cut[:, None]
            lengths -= part.shape[1] - cut
        at = end
    table[:, 1] = lengths
    return (table if kept is None else table[kept]).tobytes(), lengths + 2


def texts_of(
    aliases: NDArray[np.uint64], ms: NDArray[np.uint64], texts: Sequence[str], historical: bool
) -> list[bytes]:
    """The metrics of rows with texts, one by one."""
    head, found = (HISTORICAL if historical else LIVE) + b"\x10", list[bytes]()
    for alias, at_ms, text in zip(_each(aliases), _each(ms), texts, strict=True):
        encoded = text.encode(errors="replace")
        body = b"%b%b\x18%b\x7a%b%b" % (head, alias, at_ms, varint(len(encoded)), encoded)
        found.append(METRIC + varint(len(body)) + body)
    return found


def _each(column: NDArray[np.uint64]) -> Sequence[bytes]:
    """Each number as a varint."""
    table, lengths = _varints(column)
    if lengths is None and (width := table.shape[1]) > 1:
        return np.ascontiguousarray(table).view(f"S{width}").ravel().tolist()  # the last byte of none is 0
    return [varint(number) for number in column.tolist()]


def _varints(column: NDArray[np.generic]) -> tuple[Bytes, NDArray[np.int64] | None]:
    """Varints as a table of bytes, and the length of each row; None where all fill the table."""
    numbers = column.astype(np.uint64, copy=False)
    low, high = int(numbers.min()), int(numbers.max())
    width, least = len(varint(high)), len(varint(low))
    table = np.empty((len(numbers), width), np.uint8)
    for place in range(width):
        if low >> 7 * place == high >> 7 * place:  # as the upper bits of times within a second
            table[:, place] = (low >> 7 * place) & 0x7F
        else:
            table[:, place] = numbers >> np.uint64(7 * place) & np.uint64(0x7F)
    if width == least:
        table[:, : width - 1] |= 0x80
        return table, None
    lengths = np.ones(len(numbers), np.int64)
    for place in range(1, width):
        more = numbers >= np.uint64(1 << 7 * place)
        table[:, place - 1] |= np.where(more, np.uint8(0x80), np.uint8(0))
        lengths += more
    return table, lengths


def as_historical(payload: bytes) -> bytes:
    """The metrics of a stored payload, flagged as historical."""
    found, place, size = bytearray(payload), 0, len(payload)
    width = 2 + payload[1] if size > 1 and payload[1] < 0x80 else size
    if size and not size % width:
        table = np.frombuffer(found, np.uint8).reshape(-1, width)
        if (table[:, 0] == METRIC[0]).all() and (table[:, 1] == width - 2).all():  # of which all have one length
            table[:, 3] = 1
            return bytes(found)
    while place < size:
        length, place = _varint_at(payload, place + 1)
        found[place + 1] = 1
        place += length
    return bytes(found)


def fields_in(message: bytes) -> Iterator[tuple[int, int, Value]]:
    """Number, wire type and value of each field: numbers as unsigned integers, all else as bytes.

    Raises `MalformedError`.
    """
    place, size = 0, len(message)
    while place < size:
        key, place = _varint_at(message, place)
        number, kind = key >> 3, key & 7
        if not number:
            raise MalformedError("a field without a number")
        if kind == VARINT:
            value, place = _varint_at(message, place)
            yield number, kind, value
            continue
        if kind == LENGTH:
            length, place = _varint_at(message, place)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise MalformedError(f"a field of wire type {kind}")
        if place + length > size:
            raise MalformedError("cut off")
        yield number, kind, message[place : place + length]
        place += length


def _varint_at(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    for at in range(place, min(place + _MOST_VARINT, len(message))):
        number |= (message[at] & 0x7F) << shift
        if message[at] < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, at + 1
        shift += 7
    raise MalformedError("a number without an end")


def rows_in(flat: bytes, lengths: NDArray[np.int64]) -> Sequence[bytes]:
    """Each row's bytes."""
    ends = np.cumsum(lengths)
    return [flat[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]
