"""Structures of the standard itself, which servers need not describe (Part 3, Part 8, Part 4)."""

from collections.abc import Callable, Mapping
from math import nan

from gateway.model import IS_ARRAY
from gateway.opcua.codec.wire import EXTENSION_OBJECT, SCALARS, Reader, StructureReader, read_array
from gateway.values import LocalizedText, Structure, Typed

ARGUMENT, ENUM_VALUE, EU_INFORMATION = "i=296", "i=7594", "i=887"
STRUCTURE_DEFINITION, ENUM_DEFINITION = "i=99", "i=100"
"""Data types."""
_BOOLEAN, _INT32, _UINT32, _INT64, _DOUBLE, _STRING, _NODE_ID, _TEXT = 1, 6, 7, 8, 11, 12, 17, 21


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


def unit_of(said: object) -> str:
    """The text of an EUInformation; empty where it is none, or has none."""
    if not isinstance(said, Structure) or said.type_id != EU_INFORMATION:
        return ""
    name = said.fields["DisplayName"].value
    return name.text or "" if isinstance(name, LocalizedText) else ""


# -- what a DataTypeDefinition may be (Part 3, 8.48 to 8.52): read where types are asked for, not as values ------------


def _rows(type_id: str, **fields: int) -> Callable[[Reader], Typed]:
    """An array of structures that have no header."""
    one, least = _reader(type_id, **fields), 2 * len(fields)

    def read(r: Reader) -> Typed:
        return Typed(EXTENSION_OBJECT | IS_ARRAY, [one(r) for _ in range(max(0, r.count(least)))])

    return read


_STRUCTURE_FIELDS = _rows(
    "i=101", Name=_STRING, Description=_TEXT, DataType=_NODE_ID, ValueRank=_INT32, ArrayDimensions=_UINT32 | IS_ARRAY,
    MaxStringLength=_UINT32, IsOptional=_BOOLEAN,
)  # fmt: skip
_ENUM_FIELDS = _rows("i=102", Value=_INT64, DisplayName=_TEXT, Description=_TEXT, Name=_STRING)


def _structure_definition(r: Reader) -> Structure:
    head = _reader(STRUCTURE_DEFINITION, DefaultEncodingId=_NODE_ID, BaseDataType=_NODE_ID, StructureType=_INT32)(r)
    return Structure(STRUCTURE_DEFINITION, {**head.fields, "Fields": _STRUCTURE_FIELDS(r)})


def _enum_definition(r: Reader) -> Structure:
    return Structure(ENUM_DEFINITION, {"Fields": _ENUM_FIELDS(r)})


DEFINITIONS: Mapping[str, StructureReader] = {"i=122": _structure_definition, "i=123": _enum_definition}
"""By the node id of their binary encoding."""


def rows_of(said: Structure, name: str) -> list[Mapping[str, object]]:
    """The fields of each structure in an array."""
    rows = said.fields[name].value
    return [plain(each) for each in rows if isinstance(each, Structure)] if isinstance(rows, list) else []


def plain(said: Structure) -> Mapping[str, object]:
    """The fields without their types."""
    return {name: field.value for name, field in said.fields.items()}
