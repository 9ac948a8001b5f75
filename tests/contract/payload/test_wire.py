"""Formats at a real broker: what travels beside the payload, and what who comes late still gets."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path

import aiomqtt
import jsonschema
import pytest

from gateway.config import BrokerConfig
from gateway.delivery import Verdict
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.model import Message, Tag
from gateway.mqtt.connect import open_sink
from gateway.payload.cloudevents import STRUCTURED, EventEnvelope
from gateway.payload.columns import ColumnsEncoder
from gateway.payload.frames import FramesEncoder
from gateway.payload.json import JsonEncoder
from gateway.payload.pubsub import NetworkEnvelope, StatusPresence, pubsub_schema
from gateway.payload.splitting import FormatSettings
from gateway.topics import Rules
from tests.support import brokers
from tests.support.cloud_events import read_event
from tests.support.mqtt_collect import collecting
from tests.support.mqtt_sessions import ALL, SPEAKS_5, Session, message, opened
from tests.support.payloads import Counting, batch_of


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


async def publish(
    session: Session, url: str, messages: Sequence[Message], login: tuple[str, str] | None = None
) -> None:
    async with opened(session, url, login=login) as sink:
        for message in messages:
            assert (await sink.send(message)).verdict is Verdict.DELIVERED


async def received(client: aiomqtt.Client, count: int) -> list[aiomqtt.Message]:
    found = []
    async for each in client.messages:
        found.append(each)
        if len(found) == count:
            break
    return found


def raw(message: aiomqtt.Message) -> bytes:
    assert isinstance(message.payload, bytes)
    return message.payload


def body_of(message: aiomqtt.Message) -> dict[str, object]:
    found: dict[str, object] = json.loads(raw(message))
    return found


def rows_of(body: dict[str, object], key: str) -> list[dict[str, object]]:
    rows = body[key]
    assert isinstance(rows, list)
    return rows


def subscribed(broker: brokers.Process) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5)


@pytest.mark.parametrize("session", SPEAKS_5)
def test_attributes_of_a_binary_event_arrive_as_user_properties(session: Session, tmp_path: Path) -> None:
    form = FramesEncoder(FormatSettings("e.1", "f/{machine}", "edge"), EventEnvelope("urn:x", "binary"))
    metadata, event = form.encode(batch_of([(11, 61.5)]), lambda stream: 1)

    async def body() -> None:
        async with subscribed(broker) as client:
            await client.subscribe("f/#", qos=1)
            await publish(session, broker.url, [metadata, event])
            for got, sent in zip(await received(client, 2), (metadata, event), strict=True):
                told = vars(got.properties)  # the library keeps them as attributes
                assert tuple(told["UserProperty"]) == sent.properties
                read = read_event(raw(got), told["ContentType"], told["UserProperty"])
                assert read.get_id() == f"{sent.stream}#{sent.seq}"
            assert read.get_data() == {"tag0": {"Value": 61.5, "SourceTimestamp": "2025-08-18T14:13:20.1234567Z"}}

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@pytest.mark.parametrize("session", ALL)
def test_a_structured_event_needs_no_properties(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with subscribed(broker) as client:
            await structured_events_arrive(client, partial(publish, session, broker.url))

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


def test_structured_events_pass_a_broker_that_knows_mqtt_3_only(tmp_path: Path) -> None:
    async def body() -> None:
        client = aiomqtt.Client(
            "127.0.0.1", broker.port, username="u", password="p", protocol=aiomqtt.ProtocolVersion.V311
        )
        async with client:
            await structured_events_arrive(client, partial(publish, "general-3.1.1", broker.url, login=("u", "p")))

    with brokers.nats(tmp_path) as broker:
        run(body())


async def structured_events_arrive(
    client: aiomqtt.Client, publishing: Callable[[Sequence[Message]], Awaitable[None]]
) -> None:
    form = FramesEncoder(FormatSettings("e.1", "f/{machine}", "edge"), EventEnvelope("urn:x", "structured"))
    await client.subscribe("f/#", qos=1)
    await publishing(form.encode(batch_of([(11, 61.5)]), lambda stream: 1))
    events = [read_event(raw(got), STRUCTURED) for got in await received(client, 2)]
    assert [event.get_type() for event in events] == ["ua-metadata", "ua-keyframe"]
    assert events[1].get_data() == {"tag0": {"Value": 61.5, "SourceTimestamp": "2025-08-18T14:13:20.1234567Z"}}


@pytest.mark.parametrize("ends_with", ["a goodbye", "a loss"])
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_the_status_of_the_publisher_is_retained_and_true(version: str, ends_with: str, tmp_path: Path) -> None:
    config = BrokerConfig.model_validate({"url": "mqtt://localhost", "version": version, "ack_timeout": 1.5})
    presence = StatusPresence(NetworkEnvelope("edge", "opcua", "verbose"))

    async def status_now() -> object:
        async with subscribed(broker) as client:
            await client.subscribe("opcua/json/status/#", qos=1)
            (got,) = await received(client, 1)
            assert got.retain
            body = body_of(got)
            jsonschema.validate(body, pubsub_schema())
            return body["MessageType"], body["PublisherId"], body["Status"]

    async def body() -> None:
        link, there = Link("broker", broker.url), config.model_copy(update={"url": broker.url})
        async with collecting(broker.port, "opcua/json/status/#") as told:
            async with open_sink(there, link, "edge", presence) as sink:
                assert await status_now() == ("ua-status", "edge", 2)
                if ends_with == "a loss":
                    broker.stall()
                    with pytest.raises(Unavailable):
                        await sink.send(message())
            broker.go_on()
            await told.wait_count(2)
        assert await status_now() == ("ua-status", "edge", 0 if ends_with == "a goodbye" else 3)

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@pytest.mark.parametrize("session", ALL)
def test_a_late_subscriber_gets_the_tag_list_before_the_data(session: Session, tmp_path: Path) -> None:
    counting, form = Counting(), ColumnsEncoder(FormatSettings("e.1", "f/{machine}", "edge"))

    async def body() -> None:
        batch = batch_of([(11, 61.5), (11, 62.5)])
        await publish(session, broker.url, counting.append(form.encode(batch, counting.next_seq)))
        async with subscribed(broker) as client:
            await client.subscribe("f/#", qos=1)
            await publish(session, broker.url, counting.append(form.encode(batch, counting.next_seq)))
            tags, data = [body_of(m) for m in await received(client, 2)]
            assert data["tags"] == tags["version"]
            assert [tag["name"] for tag in rows_of(tags, "tags")] == ["tag0", "tag1"]
            assert (data["tag"], data["value"]) == ([0, 1], [61.5, 62.5])

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@pytest.mark.parametrize("session", ALL)
def test_the_last_value_of_every_tag_is_retained(session: Session, tmp_path: Path) -> None:
    tags = [Tag(f"T{n}", f"i={n}", {"site": "hall"}) for n in range(2)]
    form, counting = JsonEncoder(FormatSettings("e.1", "acme/{site}/{tag}", "edge", retain=True)), Counting()

    async def body() -> None:
        for values in ((1, 2), (3, 4)):
            batch = batch_of([(6, v) for v in values], tags=tags)
            await publish(session, broker.url, counting.append(form.encode(batch, counting.next_seq)))
        async with subscribed(broker) as client:
            await client.subscribe("acme/#", qos=1)
            got = {str(m.topic): body_of(m) for m in await received(client, 2)}
            assert {topic: rows_of(body, "values")[0]["value"] for topic, body in got.items()} == {
                "acme/hall/T0": 3,
                "acme/hall/T1": 4,
            }

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


NAMES = ("a/b", "+", "#", "$SYS", "\x00", "\x01", "\x85", "\ufeff", "\ufdd0", "\ufffe", "\U0001ffff", "%", " ", ".",
         "", "ä", "\u202e", "*", ">", "x" * 1000)  # fmt: skip


@pytest.mark.parametrize(("name", "session"), [*(("mosquitto", each) for each in ALL), ("nats", "general-3.1.1")])
def test_every_variable_name_gives_a_topic_that_the_broker_accepts(name: str, session: Session, tmp_path: Path) -> None:
    """mosquitto cuts the connection over control characters and noncharacters, NATS over dots and spaces."""
    is_nats = name == "nats"
    tags = [Tag(name, f"i={n}", {}) for n, name in enumerate(NAMES)]
    form = JsonEncoder(FormatSettings("e.1", "f/{tag}", "edge", rules=Rules(200, ". " if is_nats else "")))
    sent = form.encode(batch_of([(6, 1)] * len(NAMES), tags=tags), Counting().next_seq)
    login = ("u", "p") if is_nats else None

    async def body() -> None:
        username, password = login or (None, None)
        async with collecting(broker.port, "f/#", username=username, password=password) as got:
            await publish(session, broker.url, sent, login)
            await got.wait_count(len(NAMES))
        assert sorted(topic for topic, _ in got.messages) == sorted(m.topic for m in sent)
        assert len({m.topic for m in sent}) == len(NAMES)

    with (brokers.nats if is_nats else brokers.mosquitto)(tmp_path) as broker:
        run(body())
