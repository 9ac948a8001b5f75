"""The schema of a topic accepts what the encoders send on it, and nothing else."""

import json

import jsonschema
import msgspec
import pytest

from gateway.config import Config
from gateway.model import DataType, Message, Priority, Tag, TagFacts, VariableType
from gateway.modelling.describe import describe
from gateway.modelling.description import SourceTable, Told
from gateway.modelling.json_schema import json_schema
from gateway.payload.choose import FORMATS, encoder_for, format_of
from tests.support.models import config_of
from tests.support.payloads import Counting, batch_of

ROWS = [(11, 61.5), (12, "Running"), (8, 2**60), (1, True), (11, float("nan")), (0, None)]
TAGS = [
    Tag(f"V{n}", f"nsu=urn:x;s=V{n}", {"machine": f"m{n % 2}"}, "°C" if kind == 11 else None,
        variable_type=VariableType(-1, (DataType(f"i={kind or 6}", "", kind or 6),)))
    for n, (kind, _) in enumerate(ROWS)
]  # fmt: skip
SETTINGS = [{"format": name} for name in FORMATS] + [
    {"format": "cloudevents", "cloudevents": {"mode": "structured"}},
    {"format": "json", "topic": "uns/{machine}/{tag}"},
]


def configured(payload: dict[str, object]) -> Config:
    source = {"name": "line-1", "url": "opc.tcp://h", "insecure": True, "select": [{"subtree": "i=85"}]}
    whole = {"topic": "factory/{machine}", **payload}
    broker = {"url": "mqtt://127.0.0.1", "version": "5"}
    return config_of(sources=[source], broker=broker, payload=whole, commands=None)


def sent(config: Config) -> list[Message]:
    counting = Counting()
    return counting.append(
        encoder_for(config, "line-1", "edge-1.e").encode(batch_of(ROWS, tags=TAGS), counting.next_seq)
    )


def body_of(message: Message) -> object:
    is_packed = message.content_type == "application/msgpack"
    return msgspec.msgpack.decode(message.payload) if is_packed else json.loads(message.payload)


@pytest.mark.parametrize("payload", SETTINGS, ids=str)
def test_every_message_of_every_format_fits_the_schema_of_its_topic(payload: dict[str, object]) -> None:
    config = configured(payload)
    table = SourceTable("line-1", "opc.tcp://h", TAGS, [TagFacts()] * len(TAGS))
    description = describe(config, [table], "1")
    document = json.loads("".join(json_schema(description, Told())))
    jsonschema.Draft202012Validator.check_schema(document)
    messages = sent(config)
    topics = {topic.topic for topic in description.topics}
    lists = {topic.described_on for topic in description.topics}
    assert {message.topic for message in messages} <= topics | lists
    assert {message.topic for message in messages if message.values} == topics
    is_text = "protobuf" not in format_of(config.payload).content_type
    for message in messages if is_text else ():
        schema = {"$ref": "#/$defs/" + message.topic.replace("/", "~1")} if message.topic in topics else {}
        jsonschema.Draft202012Validator({**document, **schema, "anyOf": [{}]} if schema else document).validate(
            body_of(message)
        )


@pytest.mark.parametrize(
    "wrong", [{"name": "V1", "value": "x"}, {"name": "V0", "value": "text"}, {"name": "V4", "value": {}}]
)
def test_a_variable_of_another_topic_and_a_value_of_another_type_do_not_fit(wrong: dict[str, object]) -> None:
    table = SourceTable("line-1", "opc.tcp://h", TAGS, [TagFacts()] * len(TAGS))
    document = json.loads("".join(json_schema(describe(configured({}), [table], "1"), Told())))
    document |= {"anyOf": [{"$ref": "#/$defs/factory~1m0"}]}
    message = {"stream": "s", "seq": 1, "values": [{"name": "V0", "value": 1.5}]}
    validator = jsonschema.Draft202012Validator(document)
    validator.validate(message)
    assert not validator.is_valid({**message, "values": [wrong]})


def test_states_and_several_servers_on_one_topic_are_one_topic() -> None:
    tags = [TAGS[0], msgspec.structs.replace(TAGS[2], priority=Priority.STATE)]
    sources = [
        {"name": name, "url": "opc.tcp://h", "insecure": True, "select": [{"subtree": "i=85"}]} for name in ("a", "b")
    ]
    config = config_of(sources=sources, payload={"topic": "factory/{machine}"}, commands=None)
    tables = [SourceTable(name, "opc.tcp://h", tags, [TagFacts()] * 2) for name in ("a", "b")]
    [topic] = describe(config, tables, "1").topics
    assert [(point.source, point.tag.name) for point in topic.points] == [
        ("a", "V0"),
        ("a", "V2"),
        ("b", "V0"),
        ("b", "V2"),
    ]


def test_shaping_is_told_as_consumers_see_it() -> None:
    shape = {
        "scale": 0.001,
        "unit": "kW",
        "rename": {"V0": "Power"},
        "aggregate": {"window": 60, "functions": ["mean", "count"]},
    }
    source = {"name": "s", "url": "opc.tcp://h", "insecure": True, "select": [{"subtree": "i=85", "shape": shape}]}
    config = config_of(sources=[source], payload={"topic": "t"}, commands=None)
    description = describe(config, [SourceTable("s", "opc.tcp://h", TAGS[:1], [TagFacts("", 1, 0, 5000, "WTT")])], "1")
    told = [(p.tag.name, p.tag.unit, p.facts.low, p.facts.high, p.facts.unit_code) for p in description.points]
    assert told == [("Power", "kW", 0, 5, ""), ("Power.mean", "kW", 0, 5, ""), ("Power.count", None, None, None, "")]
