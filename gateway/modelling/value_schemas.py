"""The JSON Schema of a value, by what the server says of its type: the forms of `gateway/payload/forms.py`.

Null is always possible, because Bad values without content are delivered.  A value outside of EURange is
delivered, too, so that range is an annotation.
"""

from collections.abc import Mapping, Sequence

from gateway.model import DataField, DataType
from gateway.modelling.description import Point
from gateway.modelling.units import unit_of
from gateway.values import NAMES_OF_TYPES

Schema = dict[str, object]

MOST_LEVELS = 6
"""Structures inside structures; what lies deeper is any object, as are structures that contain themselves."""
_INTEGERS = {
    2: (-128, 127),
    3: (0, 255),
    4: (-32768, 32767),
    5: (0, 65535),
    6: (-(2**31), 2**31 - 1),
    7: (0, 2**32 - 1),
}
_FLOAT: Schema = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_TEXT: Schema = {"type": "string"}
_BUILT_IN: Mapping[int, Schema] = {
    1: {"type": "boolean"},
    8: {"type": "string", "pattern": "^-?[0-9]+$"},
    9: {"type": "string", "pattern": "^[0-9]+$"},
    10: _FLOAT,
    11: _FLOAT,
    12: _TEXT,
    13: {"type": "string", "format": "date-time"},
    14: _TEXT,
    15: {"type": "string", "contentEncoding": "base64"},
    16: _TEXT,
    17: _TEXT,
    18: _TEXT,
    19: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    20: _TEXT,
    21: {"type": "object", "properties": {"locale": _TEXT, "text": _TEXT}},
    22: {"type": "object"},
    23: {"type": "object"},
    25: {"type": "object"},
}


def schema_of_type(
    data_type: DataType | None, rank: int, parts: Sequence[DataType] = (), above: tuple[str, ...] = ()
) -> Schema:
    """The schema of a value that is not null."""
    element = _element(data_type, {each.type_id: each for each in parts}, parts, above)
    if rank == -1 or not element:
        return element
    if rank < -1:
        return {} if rank != -3 else {"anyOf": [element, {"type": "array", "items": element}]}
    if rank == 0:
        return {"type": "array"}
    for _ in range(min(rank, 20)):
        element = {"type": "array", "items": element}
    return element


def _element(
    data_type: DataType | None, known: Mapping[str, DataType], parts: Sequence[DataType], above: tuple[str, ...]
) -> Schema:
    if data_type is None:
        return {}
    if data_type.members:
        told = ", ".join(f"{number} {name}" for number, name in data_type.members[:50])
        return {"type": "integer", "title": data_type.name, "description": told}
    if data_type.fields and data_type.type_id not in above and len(above) < MOST_LEVELS:
        inside = (*above, data_type.type_id)
        fields = {each.name: _field(each, known, parts, inside) for each in data_type.fields}
        return {"type": "object", "title": data_type.name, "properties": fields}
    if data_type.built_in in _INTEGERS:
        low, high = _INTEGERS[data_type.built_in]
        return {"type": "integer", "minimum": low, "maximum": high}
    return dict(_BUILT_IN.get(data_type.built_in, {}))


def _field(
    field: DataField, known: Mapping[str, DataType], parts: Sequence[DataType], above: tuple[str, ...]
) -> Schema:
    return nullable(schema_of_type(type_of_field(field, known), field.rank, parts, above))


def type_of_field(field: DataField, known: Mapping[str, DataType]) -> DataType | None:
    """The data type of a field; None where it is not described."""
    if field.type_id in known:
        return known[field.type_id]
    number = field.type_id.removeprefix("i=")
    is_built_in = field.type_id.startswith("i=") and number.isdecimal() and 1 <= int(number) <= 25
    return DataType(field.type_id, NAMES_OF_TYPES[int(number)], int(number)) if is_built_in else None


def nullable(schema: Schema) -> Schema:
    if not schema:
        return schema
    if isinstance(kind := schema.get("type"), str) and "anyOf" not in schema and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    if set(schema) == {"anyOf"} and isinstance(choices := schema["anyOf"], list):
        return {"anyOf": [*choices, {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}


def schema_of_point(point: Point, *, may_be_null: bool = True) -> Schema:
    """The schema of a value of this variable, with its description, unit and range."""
    parts = point.tag.variable_type.types if point.tag.variable_type is not None else ()
    schema = schema_of_type(point.data_type, point.rank, parts)
    schema = nullable(schema) if may_be_null else schema
    return {**schema, **annotations(point)}


def annotations(point: Point) -> Schema:
    """What is told of a variable beside its type."""
    facts, unit = point.facts, unit_of(point.facts.unit_code, point.tag.unit)
    told: Schema = {"x-node": point.tag.node_id}
    if facts.description:
        told["description"] = facts.description
    if point.tag.unit:
        told["x-unit"] = point.tag.unit
    if unit is not None:
        told["x-unit-code"] = unit.code
    if facts.low is not None and facts.high is not None:
        told["x-range"] = [facts.low, facts.high]
    return told


def type_name(point: Point) -> str:
    """For people: `Double`, `Int32[]`, the name of an enumeration or a structure."""
    data_type = point.data_type
    name = NAMES_OF_TYPES[point.built_in] if data_type is None or not data_type.name else data_type.name
    return name + ("[]" * max(0, min(point.rank, 5)) if point.rank > 0 else "")
