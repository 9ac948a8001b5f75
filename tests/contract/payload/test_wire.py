"""Formats at a real broker: what travels beside the payload, and what who comes late still gets."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from pathlib import Path

import aiomqtt
import pytest

from gateway.model import Message, Tag
from gateway.mqtt.reasons import Verdict
from gateway.payload.cloudevents import EventEnvelope
from gateway.payload.columns import ColumnsFormat
from gateway.payload.frames import FramesFormat
from gateway.payload.json import JsonFormat
from gateway.payload.parts import Terms
from tests.support import brokers
from tests.support.mqtt_sessions import ALL, SPEAKS_5, Session, opened
from tests.support.payloads import Counting, batch_of


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 20))


async def publish(session: Session, url: str, messages: Sequence[Message]) -> None:
    async with opened(session, url) as sink:
        for message in messages:
            assert (await sink.send(message)).verdict is Verdict.DELIVERED


async def received(client: aiomqtt.Client, count: int) -> list[aiomqtt.Message]:
    found = []
    async for message in client.messages:
        found.append(message)
        if len(found) == count:
            break
    return found


def body_of(message: aiomqtt.Message) -> dict[str, object]:
    assert isinstance(message.payload, bytes)
    found: dict[str, object] = json.loads(message.payload)
    return found


def rows_of(body: dict[str, object], key: str) -> list[dict[str, object]]:
    rows = body[key]
    assert isinstance(rows, list)
    return rows


def subscribed(broker: brokers.Process) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5)


@pytest.mark.parametrize("session", SPEAKS_5)
def test_attributes_of_a_binary_event_arrive_as_user_properties(session: Session, tmp_path: Path) -> None:
    form = FramesFormat(Terms("e.1", "f/{machine}", "edge"), EventEnvelope("urn:x", "binary"))
    metadata, event = form.encode(batch_of([(11, 61.5)]), lambda stream: 1)

    async def body() -> None:
        async with subscribed(broker) as client:
            await client.subscribe("f/#", qos=1)
            await publish(session, broker.url, [metadata, event])
            for got, sent in zip(await received(client, 2), (metadata, event), strict=True):
                told = vars(got.properties)  # the library keeps them as attributes
                assert tuple(told["UserProperty"]) == sent.properties
                assert (told["ContentType"], got.payload) == ("application/json", sent.payload)

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@pytest.mark.parametrize("session", ALL)
def test_a_structured_event_needs_no_properties(session: Session, tmp_path: Path) -> None:
    form = FramesFormat(Terms("e.1", "f/{machine}", "edge"), EventEnvelope("urn:x", "structured"))

    async def body() -> None:
        async with subscribed(broker) as client:
            await client.subscribe("f/press", qos=1)
            await publish(session, broker.url, form.encode(batch_of([(11, 61.5)]), lambda stream: 1))
            (got,) = await received(client, 1)
            assert isinstance(got.payload, bytes)
            assert json.loads(got.payload)["type"] == "ua-keyframe"

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@pytest.mark.parametrize("session", ALL)
def test_who_comes_late_gets_the_list_of_tags_before_the_data(session: Session, tmp_path: Path) -> None:
    counting, form = Counting(), ColumnsFormat(Terms("e.1", "f/{machine}", "edge"))

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
    form, counting = JsonFormat(Terms("e.1", "acme/{site}/{tag}", "edge", retain=True)), Counting()

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
