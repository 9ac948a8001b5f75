"""Decoded values: plain Python where Python has a type, small frozen classes otherwise.

| OPC UA built-in type (Part 6, 5.1.2) | here |
| --- | --- |
| Boolean, SByte … UInt64, Float, Double, String | bool, int, float, str |
| DateTime | int, ticks of 100 ns since 1601 |
| Guid | uuid.UUID |
| ByteString, XmlElement | bytes, str |
| NodeId, ExpandedNodeId | str, in the form `nsu=…;s=…` |
| StatusCode | int |
| QualifiedName, LocalizedText, ExtensionObject, DataValue, Variant | the classes below |
| array, matrix | list, nested lists |
| null | None |
"""

from collections.abc import Mapping
from dataclasses import dataclass

NAMES_OF_TYPES = (
    "Null", "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double",
    "String", "DateTime", "Guid", "ByteString", "XmlElement", "NodeId", "ExpandedNodeId", "StatusCode",
    "QualifiedName", "LocalizedText", "ExtensionObject", "DataValue", "Variant", "DiagnosticInfo",
)  # fmt: skip
"""Of the built-in types, by number (Part 6, 5.1.2)."""


@dataclass(frozen=True, slots=True)
class QualifiedName:
    namespace: int | str
    name: str


@dataclass(frozen=True, slots=True)
class LocalizedText:
    locale: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Structure:
    """A decoded ExtensionObject: fields with their built-in type ids, since formats need both."""

    type_id: str
    fields: Mapping[str, "Typed"]


@dataclass(frozen=True, slots=True)
class RawStructure:
    """An ExtensionObject that could not be decoded: its encoding id and its bytes."""

    type_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Typed:
    """A value with its built-in type id: a Variant, or a field of a structure."""

    type: int
    value: object


@dataclass(frozen=True, slots=True)
class Sampled:
    """A DataValue inside a value."""

    value: Typed | None
    status: int = 0
    source_ticks: int = 0
    server_ticks: int = 0
