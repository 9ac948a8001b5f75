"""The JSON Schema of the messages of one topic: that of their format, with the variables that come on it."""

from collections.abc import Iterator, Mapping

from gateway.modelling.description import Description, Topic
from gateway.modelling.pieces import MARK, elements, members, text_of, whole, with_pieces
from gateway.modelling.value_schemas import Schema, annotations, schema_of_point
from gateway.payload.choose import format_of

PRESENCE: Schema = {
    "type": "object",
    "description": "Retained; renewed every `heartbeat_s` while the gateway is there.",
    "properties": {
        "gateway": {"type": "string"},
        "state": {"enum": ["online", "offline"]},
        "reason": {"enum": ["stopped", "lost"]},
        "since": {"type": "string", "format": "date-time"},
        "time": {"type": "string", "format": "date-time"},
        "heartbeat_s": {"type": "number"},
        "version": {"type": "string"},
        "config": {"type": "string"},
        "streams": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["gateway", "state", "since"],
}


def name_of(topic: Topic) -> str:
    """The name of the messages of a topic's format, for references."""
    variant = format_of(topic.payload).variant(topic.payload)
    return f"{topic.payload.format}{f'-{variant}' if variant else ''}"


def definitions(description: Description, root: str) -> dict[str, Schema]:
    """The schemas that topics refer to: one for each format in use, and what these refer to, all below `root`."""
    found: dict[str, Schema] = {}
    for topic in description.topics:
        name, form = name_of(topic), format_of(topic.payload)
        if name not in found:
            schema = form.body(topic.payload) if form.body is not None else form.schema()
            parts = schema.get("$defs")
            for part, said in parts.items() if isinstance(parts, dict) else ():
                found[f"{name}.{part}"] = moved(said, name, root)
            kept = {key: value for key, value in schema.items() if key not in ("$defs", "$schema")}
            found[name] = moved(kept, name, root)
    return found


def moved(said: object, prefix: str, root: str) -> Schema:
    """A schema whose references lead to the definitions of a format."""
    found = _each_moved(said, prefix, root)
    assert isinstance(found, dict)
    return found


def _each_moved(said: object, prefix: str, root: str) -> object:
    if isinstance(said, list):
        return [_each_moved(each, prefix, root) for each in said]
    if not isinstance(said, Mapping):
        return said
    return {
        key: f"{root}{prefix}.{value.removeprefix('#/$defs/')}"
        if key == "$ref" and isinstance(value, str)
        else _each_moved(value, prefix, root)
        for key, value in said.items()
    }


def schema_of_topic(topic: Topic, root: str) -> Iterator[str]:
    """The schema of its messages, in pieces."""
    narrowing = format_of(topic.payload).narrowing
    base: Schema = {"title": topic.topic, "allOf": [{"$ref": f"{root}{name_of(topic)}"}]}
    if narrowing is None or topic.is_of_events:
        yield text_of(base)
        return
    inner: Schema = {"properties": {MARK: None}, **({} if narrowing.is_open else {"additionalProperties": False})}
    narrowed: Schema = inner if narrowing.by_name else {"anyOf": [MARK]}
    for key in reversed(narrowing.place):
        narrowed = {key: narrowed}
    described = (
        (each.tag.name, schema_of_point(each) if narrowing.has_plain_values else annotations(each))
        for each in topic.points
    )
    if narrowing.by_name:
        pieces = members((name, whole(schema)) for name, schema in described)
    else:
        pieces = elements(
            whole({"properties": {"name": {"const": name}, "value": schema}, "required": ["name"]})
            for name, schema in described
        )
    yield from with_pieces({**base, "allOf": [*base["allOf"], narrowed]}, [pieces])  # type: ignore[misc]  # a list
