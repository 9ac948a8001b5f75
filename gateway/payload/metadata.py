"""What a DataSetWriter says of its fields: DataSetMetaDataType (Part 14, 6.2.3.2.3), made from what was seen.

A batch carries the built-in type of each value but no definitions, so a field whose tag has not had a value yet is a
Variant (24, BaseDataType), and so is one whose type changed.  Structures are described by the fields that their values
had, in the order in which they had them.  Enumerations come with the tag, as the server describes them.  Whatever is
learned makes a new version, and so does a table in which a description is another.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.model import IS_ARRAY, IS_MATRIX, Batch, Enumeration, Tag
from gateway.values import Structure, Typed

INT32, ANY_TYPE = 6, 24
_UNKNOWN = 255
_FLAGS = IS_ARRAY | IS_MATRIX
SCALAR, ONE_DIMENSION, ONE_OR_MORE, ANY_RANK = -1, 1, 0, -2
"""ValueRank (Part 3, 8.6)."""
_NAMESPACE = uuid.UUID("7d2b7a5e-52f0-5c0b-9d3c-2f7a39f2a6c1")
EU_INFORMATION = "EngineeringUnits"

Json = dict[str, object]


class FieldTypes:
    """What is known of the types of the tags of one table."""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._types: NDArray[np.uint8] = np.full(len(tags), _UNKNOWN, np.uint8)
        self._structure_of: dict[int, str] = {}
        self._structures: dict[str, Json] = {}

    def learn(self, batch: Batch) -> set[int]:
        """Take in the types of a batch; the handles of which something new was learned."""
        handles, types = batch.handles.astype(np.intp), batch.types
        novel = (types != 0) & (types != self._types[handles]) & (self._types[handles] != ANY_TYPE)
        learned = set()
        for row in np.flatnonzero(novel).tolist():
            handle, seen = int(handles[row]), int(types[row])
            if self._types[handle] not in (seen, ANY_TYPE):
                self._types[handle] = seen if self._types[handle] == _UNKNOWN else ANY_TYPE
                learned.add(handle)
        for row in np.flatnonzero((types & ~np.uint8(_FLAGS)) == 22).tolist():
            if self._learn_structure(int(handles[row]), batch.values[row]):
                learned.add(int(handles[row]))
        return learned

    def _learn_structure(self, handle: int, value: object) -> bool:
        while isinstance(value, list) and value:
            value = value[0]
        if not isinstance(value, Structure) or self._structure_of.get(handle) == value.type_id:
            return False
        self._structure_of[handle] = value.type_id
        self._describe(value)
        return True

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
        """FieldMetaData of one tag, with the fields that are told of it as properties."""
        seen = int(self._types[handle])
        kind, rank = (ANY_TYPE, ANY_RANK) if seen in (_UNKNOWN, ANY_TYPE) else (seen & ~_FLAGS, _rank(seen))
        described: Json = {
            "Name": tag.name,
            "BuiltInType": kind,
            "DataType": _type_id(tag, kind) or self._structure_of.get(handle, f"i={kind}"),
            "ValueRank": rank,
            "DataSetFieldId": str(uuid.uuid5(_NAMESPACE, tag.node_id)),
        }
        unit = [{"Key": EU_INFORMATION, "Value": {"UaType": 21, "Value": {"Text": tag.unit}}}] if tag.unit else []
        properties = unit + [{"Key": name, "Value": {"UaType": 12, "Value": text}} for name, text in told.items()]
        return described | {"Properties": properties} if properties else described

    def enumerations(self, tags: Iterable[tuple[int, Tag]]) -> list[Json]:
        """EnumDescriptions (Part 14, 6.2.3.2.5) that the fields of these tags need."""
        wanted = [tag.enumeration for handle, tag in tags if _type_id(tag, int(self._types[handle]) & ~_FLAGS)]
        return [_enumeration(each) for each in dict.fromkeys(wanted) if each is not None]

    def structures(self, handles: Sequence[int]) -> list[Json]:
        """StructureDescriptions that the fields of these tags need, with those inside them."""
        wanted: list[str] = []
        pending = [self._structure_of[h] for h in handles if h in self._structure_of]
        while pending:
            name = pending.pop(0)
            if name in self._structures and name not in wanted:
                wanted.append(name)
                pending += _used_by(self._structures[name])
        return [self._structures[name] for name in wanted]


def _type_id(tag: Tag, kind: int) -> str | None:
    """The enumeration of a tag whose values are the numbers that it names."""
    return tag.enumeration.type_id if tag.enumeration is not None and kind == INT32 else None


def _enumeration(each: Enumeration) -> Json:
    """EnumField (Part 3, 8.52) has the number as Int64, which is text in JSON (Part 6, 5.4.2.3)."""
    return {
        "DataTypeId": each.type_id,
        "Name": each.name,
        "EnumDefinition": {"Fields": [{"Value": str(value), "Name": name} for value, name in each.members]},
        "BuiltInType": INT32,
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
