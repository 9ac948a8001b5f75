"""From OPC UA's built-in types to Sparkplug's datatypes, and from single values to fields of a metric.  Pure.

| OPC UA | Sparkplug |
| --- | --- |
| Boolean, SByte … UInt64, Float, Double, String, ByteString | Boolean, Int8 … UInt64, Float, Double, String, Bytes |
| DateTime | DateTime: milliseconds since 1970, nothing before it |
| Guid, XmlElement, StatusCode | UUID, Text, UInt32 |
| NodeId, ExpandedNodeId, QualifiedName, LocalizedText | String |
| array of Boolean, numbers, String, DateTime | the array of it |
| matrix | DataSet: a row for each row; with more than two dimensions, columns `i0`, `i1` … in front say which |
| structure | Template: see `templates.py` |
| everything else: arrays of structures, Variants of changing type | String, with the form that `json` has of it |

A negative Int8 or Int16 is extended to 32 bits, as the reference implementation does; UInt32 is a `long_value`.
"""

import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.model import IS_ARRAY, IS_MATRIX, UNIX_EPOCH_TICKS
from gateway.payload.forms import json_of
from gateway.payload.sparkplug.wire import double_field, field, float_field, number_field
from gateway.values import LocalizedText, QualifiedName

TICKS_PER_MS = 10_000


class Datatype(IntEnum):
    """The numbers of the specification."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    TEMPLATE = 19
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34


_D = Datatype
_SCALARS: Mapping[int, Datatype] = {
    1: _D.BOOLEAN, 2: _D.INT8, 3: _D.UINT8, 4: _D.INT16, 5: _D.UINT16, 6: _D.INT32, 7: _D.UINT32, 8: _D.INT64,
    9: _D.UINT64, 10: _D.FLOAT, 11: _D.DOUBLE, 12: _D.STRING, 13: _D.DATETIME, 14: _D.UUID, 15: _D.BYTES, 16: _D.TEXT,
    17: _D.STRING, 18: _D.STRING, 19: _D.UINT32, 20: _D.STRING, 21: _D.STRING, 22: _D.TEMPLATE,
}  # fmt: skip
_ARRAYS: Mapping[int, Datatype] = {
    1: _D.BOOLEAN_ARRAY, 2: _D.INT8_ARRAY, 3: _D.UINT8_ARRAY, 4: _D.INT16_ARRAY, 5: _D.UINT16_ARRAY, 6: _D.INT32_ARRAY,
    7: _D.UINT32_ARRAY, 8: _D.INT64_ARRAY, 9: _D.UINT64_ARRAY, 10: _D.FLOAT_ARRAY, 11: _D.DOUBLE_ARRAY,
    12: _D.STRING_ARRAY, 13: _D.DATETIME_ARRAY, 19: _D.UINT32_ARRAY,
}  # fmt: skip


def datatype_of(kind: int) -> Datatype:
    """The datatype of values of a built-in type with its flags; UNKNOWN for null."""
    if not kind:
        return _D.UNKNOWN
    if kind & IS_MATRIX:
        return _D.DATASET
    return _ARRAYS.get(kind & ~IS_ARRAY, _D.STRING) if kind & IS_ARRAY else _SCALARS.get(kind, _D.STRING)


DATATYPES: NDArray[np.uint8] = np.array([datatype_of(kind) for kind in range(256)], np.uint8)
"""By built-in type with its flags."""
AS_TEXT: NDArray[np.uint8] = np.where(np.isin(DATATYPES, (_D.DATASET, _D.TEMPLATE)), np.uint8(_D.STRING), DATATYPES)
"""The same for hosts that read neither DataSets nor templates."""

COLUMNS: Mapping[int, tuple[int, str]] = {
    _D.INT8: (0x50, "u4"), _D.INT16: (0x50, "u4"), _D.INT32: (0x50, "u4"), _D.UINT8: (0x50, "u4"),
    _D.UINT16: (0x50, "u4"), _D.UINT32: (0x58, "u8"), _D.INT64: (0x58, "i8"), _D.UINT64: (0x58, "u8"),
    _D.FLOAT: (0x65, "f4"), _D.DOUBLE: (0x69, "f8"), _D.BOOLEAN: (0x70, "b"), _D.DATETIME: (0x58, "t"),
}  # fmt: skip
"""Datatypes that are encoded by the column: the tag of their field, and how numbers become its bytes."""
_INT_FIELDS = frozenset((_D.INT8, _D.INT16, _D.INT32, _D.UINT8, _D.UINT16))
_TEXTS = frozenset((_D.STRING, _D.TEXT, _D.UUID))
_PACKED: Mapping[int, str] = {
    _D.INT8_ARRAY: "i1", _D.INT16_ARRAY: "<i2", _D.INT32_ARRAY: "<i4", _D.INT64_ARRAY: "<i8", _D.UINT8_ARRAY: "u1",
    _D.UINT16_ARRAY: "<u2", _D.UINT32_ARRAY: "<u4", _D.UINT64_ARRAY: "<u8", _D.FLOAT_ARRAY: "<f4",
    _D.DOUBLE_ARRAY: "<f8", _D.DATETIME_ARRAY: "<i8",
}  # fmt: skip


def column_of(form: str, values: Sequence[object] | NDArray[np.generic]) -> NDArray[np.generic]:
    """A column of numbers in the form that `wire.metrics_of` takes."""
    if form in ("f4", "f8"):
        return np.asarray(values, dtype=f"<{form}")
    if form == "b":
        return np.asarray(values, dtype=np.uint8)
    if form == "u8":
        return np.asarray(values, dtype=np.uint64)
    signed = np.asarray(values, dtype=np.int64)
    if form == "t":
        signed = np.maximum(signed - UNIX_EPOCH_TICKS, 0) // TICKS_PER_MS
    return (signed & np.int64(0xFFFFFFFF) if form == "u4" else signed).view(np.uint64)


def value_field(datatype: int, kind: int, value: object) -> bytes:
    """The field of one value, which has this built-in type, in a metric of this datatype."""
    if datatype in _TEXTS:
        return field(15, text_of(kind, value).encode(errors="replace"))
    if datatype == _D.BYTES:
        assert isinstance(value, bytes)
        return field(16, value)
    if datatype in COLUMNS:
        return _number_field(datatype, value)
    assert isinstance(value, Sequence | np.ndarray)
    if datatype == _D.DATASET:
        return field(17, dataset(kind & ~(IS_ARRAY | IS_MATRIX), value))
    return field(16, packed(datatype, value))


def _number_field(datatype: int, value: object) -> bytes:
    assert isinstance(value, int | float)
    if datatype == _D.DOUBLE:
        return double_field(13, value)
    if datatype == _D.FLOAT:
        return float_field(12, value)
    if datatype == _D.BOOLEAN:
        return number_field(14, int(bool(value)))
    if datatype == _D.DATETIME:
        return number_field(11, ms_of(int(value)))
    if datatype in _INT_FIELDS:
        return number_field(10, int(value) & 0xFFFFFFFF)
    return number_field(11, int(value) & 0xFFFFFFFFFFFFFFFF)


def dataset(kind: int, matrix: Sequence[object] | NDArray[np.generic]) -> bytes:
    """The DataSet of a matrix whose elements have a built-in type.  A null element is 0, or an empty text."""
    rows = list(_rows_of(matrix.tolist() if isinstance(matrix, np.ndarray) else matrix, ()))
    leading, width = (len(rows[0][0]) - 1, len(rows[0][1])) if rows else (0, 0)
    if not width:  # an empty matrix has a column, too: a DataSet has to have types
        rows, leading, width = [], 0, 1
    datatype = _SCALARS.get(kind, _D.STRING)
    if datatype not in COLUMNS:
        datatype = _D.STRING
    indices = leading + 1 if leading else 0
    names = [*(f"i{place}" for place in range(indices)), *map(str, range(width))]
    types = [int(_D.UINT32)] * indices + [int(datatype)] * width
    found = number_field(1, len(names)) + b"".join(field(2, name.encode()) for name in names)
    found += b"".join(number_field(3, each) for each in types)
    for place, row in rows:
        cells = [number_field(2, index) for index in (place if indices else ())]
        cells += [_cell(datatype, kind, value) for value in row]
        found += field(4, b"".join(field(1, cell) for cell in cells))
    return found


def _rows_of(matrix: Sequence[object], place: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Sequence[object]]]:
    """Each innermost row with its indices."""
    for number, row in enumerate(matrix):
        assert isinstance(row, Sequence)
        if row and isinstance(row[0], list):
            yield from _rows_of(row, (*place, number))
        else:
            yield (*place, number), row


_CELL_FIELDS = {10: 1, 11: 2, 12: 3, 13: 4, 14: 5, 15: 6}
"""From the field of a value in a metric to its field in a DataSet."""


def _cell(datatype: int, kind: int, value: object) -> bytes:
    if datatype == _D.STRING:
        return field(6, b"" if value is None else text_of(kind, value).encode(errors="replace"))
    told = _number_field(datatype, 0 if value is None else value)
    return bytes((_CELL_FIELDS[told[0] >> 3] << 3 | told[0] & 7,)) + told[1:]


def packed(datatype: int, values: Sequence[object] | NDArray[np.generic]) -> bytes:
    """The bytes of an array.  A null element is 0, or an empty text."""
    if datatype == _D.STRING_ARRAY:
        return b"".join(str(each or "").replace("\0", "").encode(errors="replace") + b"\0" for each in values)
    if datatype == _D.BOOLEAN_ARRAY:
        bits = np.packbits(np.array([bool(each) for each in values], np.uint8))
        return struct.pack("<I", len(values)) + bits.tobytes()
    plain = [0 if each is None else each for each in values]
    if datatype == _D.DATETIME_ARRAY:
        plain = [ms_of(each) for each in plain if isinstance(each, int)]
    return np.array(plain, dtype=_PACKED[datatype]).tobytes()


def ms_of(ticks: int) -> int:
    """Milliseconds since 1970; 0 for what is before."""
    return max(0, ticks - UNIX_EPOCH_TICKS) // TICKS_PER_MS


def text_of(kind: int, value: object) -> str:
    """The text of a value: itself, or its JSON where it is no text."""
    if isinstance(value, str):
        return value
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, LocalizedText):
        return value.text or ""
    if isinstance(value, QualifiedName):
        return str(json_of(kind, value))
    return orjson.dumps(json_of(kind, value)).decode()
