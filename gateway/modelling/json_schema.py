"""One JSON Schema document (2020-12) for all messages: `$defs` has a schema for each topic, under its name.

The document itself accepts a message of any topic.
"""

from collections.abc import Iterator

from gateway.modelling.description import Description, Told
from gateway.modelling.messages import PRESENCE, definitions, schema_of_topic
from gateway.modelling.pieces import MARK, elements, members, whole, with_pieces

_ROOT = "#/$defs/"


def json_schema(description: Description, told: Told) -> Iterator[str]:
    """The document in pieces."""
    common = definitions(description, _ROOT)
    keys = _keys(description, set(common))
    if description.has_own_presence:
        common["presence"] = PRESENCE
    topics = zip(keys, description.topics, strict=True)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:connected-factory:{description.gateway}:messages",
        "title": f"Messages of {description.gateway}",
        "anyOf": [MARK],
        "$defs": {**common, f"{MARK}": None},
    }
    any_of = elements(
        whole({"$ref": _ROOT + key.replace("~", "~0").replace("/", "~1").replace("%", "%25")}) for key in keys
    )
    schemas = members((key, schema_of_topic(topic, _ROOT)) for key, topic in topics)
    yield from with_pieces(head, [any_of, schemas])


def _keys(description: Description, taken: set[str]) -> list[str]:
    """A key for each topic: itself; where two routes use it, the second has the name of its route beside it."""
    keys: list[str] = []
    for topic in description.topics:
        key = topic.topic
        for candidate in (key, f"{key} of {topic.route}", *(f"{key} {number}" for number in range(2, 10_000))):
            if candidate not in taken:
                break
        taken.add(candidate)
        keys.append(candidate)
    return keys
