"""Structures of the standard itself, which servers need not describe (Part 3, Part 8, Part 4)."""

from collections.abc import Mapping
from math import nan

from gateway.model import IS_ARRAY
from gateway.opcua.codec.wire import SCALARS, Reader, StructureReader, read_array
from gateway.values import Structure, Typed

_INT32, _UINT32, _INT64, _DOUBLE, _STRING, _NODE_ID, _TEXT = 6, 7, 8, 11, 12, 17, 21


def _reader(type_id: str, **fields: int) -> StructureReader:
    def read(r: Reader) -> Structure:
        return Structure(type_id, {name: _field(r, kind) for name, kind in fields.items()})

    return read


def _field(r: Reader, kind: int) -> Typed:
    return Typed(kind, read_array(r, kind & ~IS_ARRAY) if kind & IS_ARRAY else SCALARS[kind](r))


STANDARD_STRUCTURES: Mapping[str, StructureReader] = {
    "i=886": _reader("i=884", Low=_DOUBLE, High=_DOUBLE),
    "i=889": _reader("i=887", NamespaceUri=_STRING, UnitId=_INT32, DisplayName=_TEXT, Description=_TEXT),
    "i=298": _reader(
        "i=296", Name=_STRING, DataType=_NODE_ID, ValueRank=_INT32, ArrayDimensions=_UINT32 | IS_ARRAY,
        Description=_TEXT,
    ),
    "i=8251": _reader("i=7594", Value=_INT64, DisplayName=_TEXT, Description=_TEXT),
}  # fmt: skip
"""Range, EUInformation, Argument and EnumValueType, by the node id of their binary encoding."""
STANDARD_TYPES: Mapping[str, StructureReader] = {
    "i=884": STANDARD_STRUCTURES["i=886"],
    "i=887": STANDARD_STRUCTURES["i=889"],
    "i=296": STANDARD_STRUCTURES["i=298"],
    "i=7594": STANDARD_STRUCTURES["i=8251"],
}
"""The same by data type."""


def range_of(said: object) -> tuple[float, float]:
    """Low and High of a Range; NaN where it is none."""
    fields = said.fields if isinstance(said, Structure) else {}
    low, high = (fields[name].value if name in fields else None for name in ("Low", "High"))
    return (low, high) if isinstance(low, float) and isinstance(high, float) else (nan, nan)
