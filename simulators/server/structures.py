"""Structures and enumerations of our own: their data types with definitions, and values as encoded bytes.

A value is encoded here, field by field (OPC UA Part 6, 5.2.6), so that no class has to be registered with asyncua,
whose registry all servers of a process share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asyncua import ua
from asyncua.ua.ua_binary import pack_uatype, pack_uatype_array, struct_to_binary

from simulators.server.nodes import AttributeIds, ObjectIds, localized, numeric, qualified
from simulators.server.space import Space, set_attribute

HAS_ENCODING = numeric(ObjectIds.HasEncoding)
ENCODING_TYPE = numeric(ObjectIds.DataTypeEncodingType)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a built-in type, or (`data_type`) a structure within; `rank` 1: an array."""

    name: str
    kind: ua.VariantType
    rank: int = -1
    data_type: ua.NodeId | None = None


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure that servers have."""

    type_id: ua.NodeId
    encoding_id: ua.NodeId
    fields: tuple[Field, ...]

    def value(self, **contents: object) -> ua.ExtensionObject:
        """An encoded value."""
        parts = []
        for each in self.fields:
            content = contents[each.name]
            if each.data_type is not None:
                parts.append(struct_to_binary(content))
            elif each.rank == 1 and isinstance(content, list):
                parts.append(pack_uatype_array(each.kind, content))
            else:
                parts.append(pack_uatype(each.kind, content))
        return ua.ExtensionObject(self.encoding_id, ua.ByteString(b"".join(parts)))


def add_structure(
    space: Space, type_id: ua.NodeId, encoding_id: ua.NodeId, name: ua.QualifiedName, fields: Sequence[Field]
) -> Structure:
    """Add a structured data type with its definition and its binary encoding."""
    space.add_type(type_id, name, numeric(ObjectIds.Structure), ua.NodeClass.DataType, False)
    return add_encoding(space, type_id, encoding_id, fields)


def add_encoding(space: Space, type_id: ua.NodeId, encoding_id: ua.NodeId, fields: Sequence[Field]) -> Structure:
    """Give a structured data type that exists its definition and its binary encoding."""
    space.add_object(encoding_id, qualified("Default Binary"), type_id, ENCODING_TYPE, HAS_ENCODING)
    described = [
        ua.StructureField(
            ua.String(each.name), localized(""), each.data_type or numeric(each.kind.value), ua.Int32(each.rank),
            [0] * (each.rank == 1), IsOptional=False,
        )
        for each in fields
    ]  # fmt: skip
    base = numeric(ObjectIds.Structure)
    definition = ua.StructureDefinition(encoding_id, base, ua.StructureType.Structure, described)
    set_attribute(space, type_id, AttributeIds.DataTypeDefinition, definition, ua.VariantType.ExtensionObject)
    return Structure(type_id, encoding_id, tuple(fields))


def add_enumeration(
    space: Space, type_id: ua.NodeId, name: ua.QualifiedName, values: Mapping[str, int], strings: ua.NodeId
) -> ua.NodeId:
    """Add an enumeration whose values count from 0, with its definition and the property EnumStrings."""
    space.add_type(type_id, name, numeric(ObjectIds.Enumeration), ua.NodeClass.DataType, False)
    fields = [ua.EnumField(ua.Int64(n), localized(text), localized(""), ua.String(text)) for text, n in values.items()]
    set_attribute(
        space, type_id, AttributeIds.DataTypeDefinition, ua.EnumDefinition(fields), ua.VariantType.ExtensionObject
    )
    texts = [localized(text) for text in values]
    space.add_property(strings, qualified("EnumStrings"), type_id, ua.VariantType.LocalizedText, texts)
    return type_id
