"""DataSetMetaDataType of a DataSetWriter (Part 14, 6.2.3.2.3).

Types, structures and enumerations come with the tag if the server describes them, so they are known before the first
value.  Otherwise they are learned from values.  A field without a value is a Variant (24, BaseDataType).  A structure
has the fields of its first value.  A field becomes a Variant when its values have another type than stated.  Everything
learned makes a new version, and so does a table with another description.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.model import IS_ARRAY, IS_MATRIX, Batch, DataType, Tag, VariableType
from gateway.values import Structure, Typed

STRUCTURE, ANY_TYPE = 22, 24
_UNKNOWN = 255
_FLAGS = IS_ARRAY | IS_MATRIX
SCALAR, ONE_DIMENSION, ONE_OR_MORE, ANY_RANK = -1, 1, 0, -2
"""ValueRank (MessagePart 3, 8.6)."""
_NAMESPACE = uuid.UUID("7d2b7a5e-52f0-5c0b-9d3c-2f7a39f2a6c1")
EU_INFORMATION = "EngineeringUnits"

Json = dict[str, object]


class FieldTypes:
    """The known types of the tags of one table."""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._types: NDArray[np.uint8] = np.full(len(tags), _UNKNOWN, np.uint8)
        self._structure_of: dict[int, str] = {}
        self._structures: dict[str, Json] = {}
        for handle, tag in enumerate(tags):
            if tag.variable_type is not None:
                self._types[handle] = _said(tag.variable_type)
                for each in tag.variable_type.types:
                    if each.built_in == STRUCTURE and each.type_id not in self._structures:
                        self._structures[each.type_id] = _structure(each)

    def learn(self, batch: Batch) -> set[int]:
        """Learn the types of a batch.  Returns the handles whose types have changed."""
        handles, types = batch.handles.astype(np.intp), batch.types
        novel = (types != 0) & (types != self._types[handles]) & (self._types[handles] != ANY_TYPE)
        learned = set()
        for row in np.flatnonzero(novel).tolist():
            handle, seen = int(handles[row]), int(types[row])
            if self._types[handle] not in (seen, ANY_TYPE):
                self._types[handle] = seen if self._types[handle] == _UNKNOWN else ANY_TYPE
                learned.add(handle)
        for row in np.flatnonzero((types & ~np.uint8(_FLAGS)) == STRUCTURE).tolist():
            if self._learn_structure(int(handles[row]), batch.tags[handles[row]], batch.values[row]):
                learned.add(int(handles[row]))
        return learned

    def _learn_structure(self, handle: int, tag: Tag, value: object) -> bool:
        while isinstance(value, list) and value:
            value = value[0]
        if not isinstance(value, Structure) or self._structure_of.get(handle) == value.type_id:
            return False
        self._structure_of[handle] = value.type_id
        is_known = tag.variable_type is not None and tag.variable_type.types[0].type_id == value.type_id
        self._describe(value)
        return not is_known

    def _describe(self, value: Structure) -> None:
        if value.type_id in self._structures:
            return
        fields = [_structure_field(name, field) for name, field in value.fields.items()]
        self._structures[value.type_id] = {
            "DataTypeId": value.type_id,
            "Name": value.type_id,
            "StructureDefinition": {"BaseDataType": "i=22", "StructureType": 0, "Fields": fields},
        }
        for field in value.fields.values():
            if isinstance(field.value, Structure):
                self._describe(field.value)

    def field(self, handle: int, tag: Tag, told: Mapping[str, str]) -> Json:
        """FieldMetaData of one tag.  The fields in `told` become properties."""
        seen, kind = int(self._types[handle]), self._kind(handle, tag)
        described: Json = {
            "Name": tag.name,
            "BuiltInType": kind,
            "DataType": self._structure_of.get(handle) or _type_id(tag, kind) or f"i={kind}",
            "ValueRank": ANY_RANK if seen in (_UNKNOWN, ANY_TYPE) else _rank(seen),
            "DataSetFieldId": str(uuid.uuid5(_NAMESPACE, tag.node_id)),
        }
        unit = [{"Key": EU_INFORMATION, "Value": {"UaType": 21, "Value": {"Text": tag.unit}}}] if tag.unit else []
        properties = unit + [{"Key": name, "Value": {"UaType": 12, "Value": text}} for name, text in told.items()]
        return described | {"Properties": properties} if properties else described

    def _kind(self, handle: int, tag: Tag) -> int:
        """The built-in type of a field: from its values, or from the server's description."""
        seen = int(self._types[handle])
        if seen != _UNKNOWN:
            return seen & ~_FLAGS
        return tag.variable_type.types[0].built_in if tag.variable_type is not None else ANY_TYPE

    def enumerations(self, tags: Iterable[tuple[int, Tag]]) -> list[Json]:
        """The EnumDescriptions (Part 14, 6.2.3.2.5) of the fields of these tags."""
        described = (t.variable_type for h, t in tags if t.variable_type and _type_id(t, self._kind(h, t)))
        wanted = dict.fromkeys(each for found in described for each in found.types if each.members)
        return [_enumeration(each) for each in wanted]

    def structures(self, tags: Sequence[tuple[int, Tag]]) -> list[Json]:
        """The StructureDescriptions of the fields of these tags, with the nested ones."""
        wanted: list[str] = []
        pending = [self._structure_of.get(h) or _type_id(tag, self._kind(h, tag)) or "" for h, tag in tags]
        while pending:
            name = pending.pop(0)
            if name in self._structures and name not in wanted:
                wanted.append(name)
                pending += _used_by(self._structures[name])
        return [self._structures[name] for name in wanted]


def _type_id(tag: Tag, kind: int) -> str | None:
    """The data type of a tag, if it fits values of this built-in type."""
    data_type = tag.variable_type.types[0] if tag.variable_type is not None else None
    return data_type.type_id if data_type is not None and data_type.built_in == kind else None


def _said(variable_type: VariableType) -> int:
    """The type of a tag's values in a batch, if the server says whether they are arrays."""
    if variable_type.rank == SCALAR:
        return variable_type.types[0].built_in
    flags = {0: _UNKNOWN, 1: IS_ARRAY}.get(variable_type.rank, _FLAGS) if variable_type.rank >= 0 else _UNKNOWN
    return variable_type.types[0].built_in | flags


def _structure(each: DataType) -> Json:
    fields: list[Json] = [
        {"Name": field.name, "DataType": field.type_id, "ValueRank": field.rank}
        | ({"IsOptional": True} if field.is_optional else {})
        for field in each.fields
    ]
    return {
        "DataTypeId": each.type_id,
        "Name": each.name,
        "StructureDefinition": {"BaseDataType": "i=22", "StructureType": each.kind, "Fields": fields},
    }


def _enumeration(each: DataType) -> Json:
    """EnumField (MessagePart 3, 8.52) has its number as Int64, which is text in JSON (Part 6, 5.4.2.3)."""
    return {
        "DataTypeId": each.type_id,
        "Name": each.name,
        "EnumDefinition": {"Fields": [{"Value": str(value), "Name": name} for value, name in each.members]},
        "BuiltInType": each.built_in,
    }


def _rank(seen: int) -> int:
    if seen & IS_MATRIX:
        return ONE_OR_MORE
    return ONE_DIMENSION if seen & IS_ARRAY else SCALAR


def _structure_field(name: str, field: Typed) -> Json:
    kind = field.type & ~_FLAGS
    inner = field.value.type_id if isinstance(field.value, Structure) else f"i={kind}"
    return {"Name": name, "DataType": inner, "ValueRank": _rank(field.type)}


def _used_by(structure: Json) -> list[str]:
    definition = structure["StructureDefinition"]
    assert isinstance(definition, dict)
    return [str(field["DataType"]) for field in definition["Fields"]]
