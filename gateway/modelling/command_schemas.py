"""The JSON Schema of requests and answers, with the variables and methods that commands are allowed for."""

from collections.abc import Iterable

from gateway.commands.schema import schema as command_schema
from gateway.model import DataType
from gateway.modelling.description import CommandTarget
from gateway.modelling.messages import moved
from gateway.modelling.value_schemas import Schema, schema_of_type
from gateway.operations import Argument
from gateway.values import NAMES_OF_TYPES


def command_definitions(root: str) -> dict[str, Schema]:
    """The definitions of `gateway schema command`, as `command.NAME`, and `command` itself."""
    said = command_schema()
    parts = said.get("$defs")
    found = {f"command.{name}": moved(each, "command", root) for name, each in _items(parts)}
    kept = {key: value for key, value in said.items() if key not in ("$defs", "$schema")}
    return {"command": moved(kept, "command", root), **found}


def _items(parts: object) -> Iterable[tuple[str, object]]:
    return parts.items() if isinstance(parts, dict) else ()


def schema_of_target(target: CommandTarget) -> Schema:
    """What may be written to a variable, as far as the rule and the server's type say."""
    schema = schema_of_type(_type(target.built_in), target.rank)
    if target.values:
        return {"enum": list(target.values)}
    if target.low is not None and _is_number(schema):
        schema = {**schema, "minimum": target.low}
    if target.high is not None and _is_number(schema):
        schema = {**schema, "maximum": target.high}
    return schema


def _is_number(schema: Schema) -> bool:
    return schema.get("type") in ("integer", "number") or "anyOf" in schema


def schema_of_inputs(inputs: Iterable[Argument]) -> Schema:
    """The arguments of a method by name."""
    described = {each.name: schema_of_type(_type(each.form.built_in), each.rank) for each in inputs}
    return {"type": "object", "properties": described, "required": list(described)}


def _type(built_in: int) -> DataType | None:
    known = 0 < built_in < len(NAMES_OF_TYPES)
    return DataType(f"i={built_in}", NAMES_OF_TYPES[built_in], built_in) if known else None


def request_schema(target: CommandTarget) -> Schema:
    """A request for one variable or method."""
    common: Schema = {"id": {"type": "string"}, "deadline": {"type": "string", "format": "date-time"}}
    if target.is_method:
        properties: Schema = {
            **common,
            "operation": {"const": "call"},
            "method": {"const": target.name},
            "arguments": schema_of_inputs(target.inputs),
        }
        return {"type": "object", "properties": properties, "required": ["operation", "method"]}
    one: Schema = {"tag": {"const": target.name}, "value": schema_of_target(target)}
    writes: Schema = {
        **common,
        "operation": {"const": "write"},
        "writes": {"type": "array", "items": {"type": "object", "properties": one, "required": ["tag", "value"]}},
    }
    reads: Schema = {
        **common,
        "operation": {"enum": [each for each in target.operations if each in ("read", "refresh")] or ["read"]},
        "tags": {"type": "array", "items": {"const": target.name}},
    }
    wanted: list[Schema] = [
        {"type": "object", "properties": each, "required": ["operation", needed]}
        for each, needed, is_allowed in (
            (writes, "writes", "write" in target.operations),
            (reads, "tags", "read" in target.operations or "refresh" in target.operations),
        )
        if is_allowed
    ]
    return wanted[0] if len(wanted) == 1 else {"oneOf": wanted} if wanted else {"type": "object"}
