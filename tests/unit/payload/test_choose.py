"""Choosing a format: every one there is obeys the same contract and its own schema.

Who reads each format in the tests, other than who writes it:

| format | schema (`gateway schema …`) | reader | tests |
| --- | --- | --- | --- |
| `json` | `json_schema` | the table of forms (`tests/support/payloads.py`) | `test_json`, `test_parts` |
| `json-columns` | `columns_schema` | from its description (`test_columns.Reader`) | `test_columns`, `test_wire` |
| `flat` | of its settings | `json` of Python, and the jsonschema of its model | `test_flat` |
| `msgpack` | `json_schema`, unpacked | from the MessagePack specification (`test_packed.unpack`) | `test_packed` |
| `opcua-pubsub` | `pubsub_schema` | from Parts 6, 14 (`tests/support/part6.py`) | `test_pubsub`, `test_wire` |
| `cloudevents` | `events_schema` | the SDK (`tests/support/cloud_events.py`) | `test_cloudevents`, `test_wire` |
| `sparkplug` | none: protobuf | Eclipse Tahu (`tests/support/sparkplug.py`) | `test_sparkplug` |
| `gzip`, `zstd` | that of what is inside | the programs gzip and zstd | `test_packed`, `test_programs` |

All of them pass a real broker in `tests/e2e/test_examples.py`.
"""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import jsonschema
import msgspec
import numpy as np
import pytest

from gateway.config import Config, PayloadConfig
from gateway.config.payload import FormatName
from gateway.errors import ConfigError
from gateway.loading import load
from gateway.model import Gap, Loss, Message, Priority, Tag
from gateway.payload.choose import FORMATS, announcement_for, encoder_for, format_of, with_needs_of_format
from gateway.payload.presence import presence_of
from tests.support.payloads import TICKS, Counting, batch_of

FILE = """
sources:
  - {name: line-1, url: "opc.tcp://127.0.0.1:4840", insecure: true, select: [{subtree: i=85, levels: [machine]}]}
broker: {url: "mqtt://127.0.0.1"}
payload: {topic: "factory/{machine}", %s}
"""
NAMES = sorted({*FORMATS} - {"sparkplug"})
"""The promises of `sparkplug`, whose messages are completed by its sessions, are in `test_sparkplug.py`."""


def config(folder: Path, payload: str, presence: str = "") -> Config:
    path = folder / "gateway.yaml"
    path.write_text(FILE.replace('127.0.0.1"}', f'127.0.0.1"{presence}}}') % payload, encoding="utf-8")
    return load(path)


def body_of(message: Message) -> object:
    payload = (
        gzip.decompress(message.payload) if ("content-encoding", "gzip") in message.properties else message.payload
    )
    if message.content_type == "application/msgpack":
        return msgspec.msgpack.decode(payload)
    attributes = dict(message.properties)
    return {**attributes, "data": json.loads(payload)} if "uuid" in attributes else json.loads(payload)


def settings_of(name: str) -> str:
    """Compressed where the format can say so."""
    if FORMATS[name].takes_compression:
        return "compress: gzip"
    return "cloudevents: {mode: structured}" if name == "cloudevents" else "server_time: false"


def test_there_is_a_schema_for_every_format() -> None:
    assert set(FORMATS) == set(get_args(FormatName))
    for form in FORMATS.values():
        jsonschema.Draft202012Validator.check_schema(form.schema())


@pytest.mark.parametrize("name", NAMES)
def test_every_format_numbers_counts_and_fits_its_schema(tmp_path: Path, name: str) -> None:
    chosen = config(tmp_path, f"format: {name}, max_bytes: 2KiB, {settings_of(name)}")
    form, counting = encoder_for(chosen, "line-1", "edge.e1"), Counting()
    gap = Gap("server_overflow", "the queue ran over", TICKS, TICKS)
    batch = replace(batch_of([(11, 1.5), (12, "x"), (0, None)] * 40), gaps=(gap,))
    batch = replace(batch, time_sources=np.arange(len(batch), dtype=np.uint8) % 3)
    messages = [m for _ in range(3) for m in counting.append(form.encode(batch, counting.next_seq))]
    assert sum(m.values for m in messages) == 3 * len(batch)
    validator = jsonschema.Draft202012Validator(FORMATS[name].schema())
    for message in messages:
        validator.validate(body_of(message))
    assert sum("server_overflow" in str(body_of(m)) for m in messages) == 3


@pytest.mark.parametrize("name", NAMES)
def test_selected_fields_are_sent_beside_the_topic(tmp_path: Path, name: str) -> None:
    chosen = config(tmp_path, f"format: {name}, fields: [machine]")
    tags = [Tag("x", "i=1", {"machine": "press", "site": "hall"}), Tag("y", "i=2", {})]
    form = encoder_for(
        chosen.model_copy(update={"payload": chosen.payload.model_copy(update={"topic": "f"})}), "line-1", "e"
    )
    bodies = [body_of(m) for m in form.encode(batch_of([(6, 1), (6, 2)], tags=tags), lambda stream: 1)]
    for body in bodies if name != "cloudevents" else ():
        jsonschema.Draft202012Validator(FORMATS[name].schema()).validate(body)
    told = json.dumps(bodies)
    assert told.count('"press"') == 1
    assert "hall" not in told


@pytest.mark.parametrize("name", NAMES)
def test_every_topic_of_every_format_is_valid_and_of_allowed_length(tmp_path: Path, name: str) -> None:
    chosen = config(tmp_path, f"format: {name}, max_topic_bytes: 140, topic_escape: '. '")
    tags = [
        Tag("x", f"i={n}", {"machine": f"press {n}. " + "/ü." * 200}, priority=Priority(1 + n % 2)) for n in range(40)
    ]
    messages = encoder_for(chosen, "line-1", "e").encode(batch_of([(6, 1)] * 40, tags=tags), lambda stream: 1)
    assert all(len(m.topic.encode()) <= 140 for m in messages)
    assert not any(set(m.topic) & set(". ") for m in messages)
    assert len({(m.topic, m.priority) for m in messages if m.values}) == 40


@pytest.mark.parametrize("name", NAMES)
def test_every_format_announces_losses(tmp_path: Path, name: str) -> None:
    told = announcement_for(config(tmp_path, f"format: {name}, {settings_of(name)}").payload, "edge")
    for stream, topic in (
        ("e.1/line-1/factory/press", "factory/press"),
        ("e.1/gateway/gateways/e/losses", "gateways/e/losses"),
    ):
        loss = Loss(1, stream, 3, 5, 3, 30, "corrupt", 0, 0, ("broker",))
        message = told(loss, stream, topic, 6)
        jsonschema.Draft202012Validator(FORMATS[name].schema()).validate(body_of(message))
        assert (message.topic, message.stream, message.seq, message.values) == (topic, stream, 6, 0)
        assert "corrupt" in str(body_of(message))


def test_keep_alives_are_those_of_data_sets(tmp_path: Path) -> None:
    for name in NAMES:
        chosen, counting = config(tmp_path, f"format: {name}"), Counting()
        encoder = encoder_for(chosen, "line-1", "e.1")
        batch = batch_of([(6, 1)])
        encoder.encode(batch, counting.next_seq)
        encoder.keep_alives(counting.next_seq)
        has_some = name in ("opcua-pubsub", "cloudevents", "aio")
        assert (format_of(chosen.payload).keep_alive_s is not None) == has_some
        assert bool(encoder.keep_alives(counting.next_seq)) == has_some


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("format: xml", "'cloudevents', 'omp', 'sitewise', 'iotda', 'thing-model', 'aio' or 'sparkplug'"),
        ("format: cloudevents, compress: gzip", "cloudevents cannot mark compressed payloads"),
        ("max_topic_levels: 1", "at most 1 levels here, this one has 2"),
        ("max_topic_bytes: 5", "at most 5 bytes"),
        ("max_topic_bytes: 20", "at most 20 bytes, 16 of them for each field"),
        ("format: json-columns, max_topic_levels: 3", "4, as json-columns makes it: factory/{machine}/tags/000"),
        ("format: cloudevents, max_topic_levels: 2", "3, as cloudevents makes it: factory/{machine}/metadata"),
        ("format: opcua-pubsub, max_topic_levels: 5", "6, as opcua-pubsub makes it"),
        ("format: opcua-pubsub, topic_escape: '.', pubsub: {prefix: a.b}", "must not contain '.' here"),
        ("fields: [machine, hall]", "'hall' is not a field of any selection: there are machine"),
        ("topic_escape: y", "should match pattern"),
        ("max_bytes: 10B", "greater than or equal to 1024"),
    ],
)
def test_a_payload_that_cannot_work_is_refused_at_validation(tmp_path: Path, payload: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, payload)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("presence", "payload", "said"),
    [
        ("gateways/+/presence", "retain: true", "must not contain '+'"),
        ("gateways/{site}/presence", "retain: true", "{site} is not a field here: allowed are {gateway}"),
        ("gw.{gateway}", "topic_escape: '.'", "must not contain '.' here: gw.{gateway}"),
        (
            "gw/{gateway}",
            "max_topic_levels: 2",
            "gateways/{gateway}/losses, the topic of losses: a topic has at most 2",
        ),
        ("a/b/c/{gateway}", "max_topic_levels: 3", "at most 3 levels here, this one has 4: a/b/c/{gateway}"),
    ],
)
def test_topics_of_the_gateway_itself_are_checked_as_well(
    tmp_path: Path, presence: str, payload: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, payload, f', presence: {{topic: "{presence}"}}')
    assert said in str(caught.value)


def test_the_name_of_the_gateway_is_escaped_in_its_own_topics(tmp_path: Path) -> None:
    chosen = config(tmp_path, "topic_escape: '. '")
    presence = presence_of(chosen.all_brokers[0].presence, "edge.1", "1", lambda: "", rules=chosen.payload.rules)
    assert presence is not None
    assert presence.topic == "gateways/edge%2E1/presence"
    assert chosen.payload.losses_topic("edge.1") == "gateways/edge%2E1/losses"


def test_cloudevents_in_user_properties_need_mqtt_5(tmp_path: Path) -> None:
    def versions(payload: str) -> list[str]:
        chosen = config(tmp_path, payload)
        return [with_needs_of_format(broker, chosen.payload).version for broker in chosen.all_brokers]

    assert versions("format: cloudevents") == ["5"]
    structured = "format: cloudevents, cloudevents: {mode: structured}"
    assert versions(structured) == ["auto"]
    old = FILE.replace('127.0.0.1"}', '127.0.0.1", version: "3.1.1"}')
    (tmp_path / "old.yaml").write_text(old % "format: cloudevents", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"need MQTT 5.*set cloudevents\.mode to structured"):
        load(tmp_path / "old.yaml")
    (tmp_path / "old.yaml").write_text(old % structured, encoding="utf-8")
    assert load(tmp_path / "old.yaml").all_brokers[0].version == "3.1.1"


@pytest.mark.parametrize("name", ["json-columns", "opcua-pubsub", "cloudevents"])
def test_only_formats_of_single_values_allow_one_topic_per_tag(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"remove \{tag\} from the topic, or use json or msgpack"):
        config(tmp_path, f"format: {name}, events_topic: 'acme/{{tag}}'")
    assert PayloadConfig.model_validate({"topic": "acme/{tag}"}).retains
