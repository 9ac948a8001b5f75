"""Protobuf as Sparkplug B uses it: single fields and metrics, and a reader.  Pure.

Field numbers are those of the published schema.  A metric of a row has this form; the first field is at a fixed place,
so that a stored metric can become historical by one byte:

    0x12 length | 0x28 is_historical | 0x10 alias | 0x18 timestamp | value
"""

import struct
from collections.abc import Iterator

import numpy as np

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
        length, place = varint_at(payload, place + 1)
        found[place + 1] = 1
        place += length
    return bytes(found)


def fields_in(message: bytes) -> Iterator[tuple[int, int, Value]]:
    """Number, wire type and value of each field: numbers as unsigned integers, all else as bytes.

    Raises `MalformedError`.
    """
    place, size = 0, len(message)
    while place < size:
        key, place = varint_at(message, place)
        number, kind = key >> 3, key & 7
        if not number:
            raise MalformedError("a field without a number")
        if kind == VARINT:
            value, place = varint_at(message, place)
            yield number, kind, value
            continue
        if kind == LENGTH:
            length, place = varint_at(message, place)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise MalformedError(f"a field of wire type {kind}")
        if place + length > size:
            raise MalformedError("cut off")
        yield number, kind, message[place : place + length]
        place += length


def varint_at(message: bytes, place: int) -> tuple[int, int]:
    """The number at a place, and the place behind it.  Raises `MalformedError`."""
    number = shift = 0
    for at in range(place, min(place + _MOST_VARINT, len(message))):
        number |= (message[at] & 0x7F) << shift
        if message[at] < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, at + 1
        shift += 7
    raise MalformedError("a number without an end")
