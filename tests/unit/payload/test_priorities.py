"""Events have topics of their own, state changes a lane of their own, and every format and announcement keeps to it."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import Config, OutboxConfig, PayloadConfig
from gateway.model import Batch, Message, Priority, Tag
from gateway.outbox import open_outbox
from gateway.payload.choose import encoder_for
from gateway.payload.layout import Topics, priority_of, stream_of
from gateway.pipeline.announce import Teller, announce
from tests.support.payloads import Counting, batch_of

FIELDS = {"line": "l1"}
TAGS = (
    Tag("Speed", "i=1", FIELDS),
    Tag("State", "i=2", FIELDS, priority=Priority.STATE),
    Tag("Alarms", "i=3", FIELDS, priority=Priority.EVENT),
)
FORMATS = ("json", "json-columns", "msgpack", "opcua-pubsub", "cloudevents", "omp")


def batch() -> Batch:
    return batch_of([(6, 1), (6, 2), (6, 3)], tags=TAGS)


def config(form: str, **payload: object) -> Config:
    source = {"name": "s", "url": "opc.tcp://x:1", "insecure": True, "select": [{"node": "i=1"}]}
    wanted = {"format": form, "topic": "f/{line}", **payload}
    return Config.model_validate({"sources": [source], "broker": {"url": "mqtt://localhost"}, "payload": wanted})


def encoded(form: str, **payload: object) -> list[Message]:
    counting = Counting()
    return counting.append(encoder_for(config(form, **payload), "s", "gw.e1").encode(batch(), counting.next_seq))


@pytest.mark.parametrize("form", FORMATS)
def test_every_stream_has_one_priority_and_every_topic_with_its_list_of_tags_one_writer(form: str) -> None:
    messages = encoded(form, retain=True)
    assert {m.priority for m in messages if m.values} == set(Priority)
    assert all(priority_of(m.stream) is m.priority for m in messages)
    descriptions = [m.topic for m in messages if not m.values]
    assert len(set(descriptions)) == len(descriptions)


def test_events_go_below_the_topic_of_values_or_to_their_own_template() -> None:
    assert [m.topic for m in encoded("json")] == ["f/l1", "f/l1", "f/l1/events"]
    told = encoded("json", events_topic="alarms/{line}/{tag}")
    assert [m.topic for m in told] == ["f/l1", "f/l1", "alarms/l1/Alarms"]


def test_neither_events_nor_history_are_retained() -> None:
    kept = {m.topic: m.retain for m in encoded("json", topic="f/{line}/{tag}")}
    assert kept == {"f/l1/Speed": True, "f/l1/State": True, "f/l1/Alarms/events": False}
    past = replace(batch(), historical=True)
    form = encoder_for(config("json", topic="f/{line}/{tag}"), "s", "gw.e1")
    assert not any(m.retain for m in form.encode(past, Counting().next_seq))


def test_a_key_frame_repeats_neither_events_nor_history() -> None:
    counting = Counting()
    form = encoder_for(config("opcua-pubsub", pubsub={"key_frame_every": 1}), "s", "gw.e1")
    for each in (batch(), replace(batch(), historical=True), batch()):
        messages = counting.append(form.encode(each, counting.next_seq))
        bodies = [json.loads(m.payload) for m in messages if m.values]
        kinds = [body["Messages"][0]["MessageType"] for body in bodies]
        assert kinds[-1] == "ua-deltaframe"
        assert kinds[0] == ("ua-deltaframe" if each.historical else "ua-keyframe")


def test_the_default_for_events_is_below_the_values() -> None:
    assert Topics("a/{tag}").of_events == "a/{tag}/events"
    assert Topics("a", "b").of_events == "b"
    assert stream_of("g.e", "s", "t", Priority.STATE) == "g.e.state/s/t"


def test_a_loss_of_events_is_announced_with_their_priority(tmp_path: Path) -> None:
    async def body() -> None:
        kept = OutboxConfig(path=tmp_path, max_bytes=40_000, segment_bytes=4096, commit="os", min_free=1)
        async with open_outbox(kept, readers=("b",)) as outbox:
            stream = stream_of("gw.e1", "s", "f/events", Priority.EVENT)
            for seq in range(1, 40):
                event = Message("f/events", b"x" * 2000, stream=stream, seq=seq, values=1, priority=Priority.EVENT)
                await outbox.append([event])
            telling = asyncio.create_task(
                announce([outbox], outbox, Teller("gw", "gw.e1", lambda route: PayloadConfig()))
            )
            reader = outbox.reader("b")
            while True:
                for record in await reader.read(100, 10**6):
                    reader.ack(record.number)
                    if not record.message.values:
                        telling.cancel()
                        assert (record.message.stream, record.message.priority) == (stream, Priority.EVENT)
                        return

    asyncio.run(asyncio.wait_for(body(), 60))
