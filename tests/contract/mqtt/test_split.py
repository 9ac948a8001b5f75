"""A broker with a small Maximum Packet Size gets every value, in messages split by values, whatever the format."""

import asyncio
from pathlib import Path

import pytest

from gateway.config import BrokerConfig
from gateway.delivery import Packet
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, books_of
from gateway.mqtt.connect import open_sink
from gateway.payload.choose import encoder_for
from gateway.payload.read import PayloadReader
from gateway.pipeline.forward import forward
from tests.support import brokers
from tests.support.forwarding import queue
from tests.support.mqtt_collect import collecting
from tests.support.payloads import batch_of, config_of

MOST_BYTES = 6000
VALUES = [(12, f"{n:03d}" * 70) for n in range(30)]
"""Longer than what describes them: metadata is one message, whatever the broker takes."""


@pytest.mark.parametrize("form", ["json", "json-columns", "opcua-pubsub", "cloudevents"])
def test_every_value_of_a_split_batch_arrives(form: str, tmp_path: Path) -> None:
    async def body() -> None:
        metrics, leave = Metrics(), asyncio.Event()
        config = BrokerConfig.model_validate({"url": broker.url})
        encoder = encoder_for(config_of({"format": form}), "line-1", "edge.k3x9q2")
        batch = batch_of(VALUES)
        async with open_sink(config, Link("b", broker.url), "first") as sink:
            most_bytes = sink.most_bytes
        async with (
            collecting(broker.port, version_5=True) as got,
            queue(tmp_path / "outbox", metrics) as found,
            asyncio.TaskGroup() as tasks,
        ):
            link = Link("b", broker.url)
            tasks.create_task(forward(found, lambda: open_sink(config, link, "g"), link, Backoff(), leave), name="f")
            messages = encoder.encode(batch, found.outbox.next_seq, most_bytes)
            await found.outbox.append(messages, source="line-1")
            metrics.for_source("line-1").received.inc(len(VALUES))
            await found.outbox.wait_empty()
            await got.wait_count(len(messages))
            leave.set()
        books = books_of(metrics.registry, "b")
        assert (books.delivered, books.dropped, books.balance) == (len(VALUES), 0, True)
        assert sum(message.values > 0 for message in messages) > 1
        assert max(len(payload) for payload in got.payloads) < MOST_BYTES
        reader = PayloadReader()
        packets_ = [Packet(m.topic, m.payload, m.content_type, dict(m.properties)) for m in messages]
        values = [value for packet in packets_ for value in reader.read(packet).values]
        assert values == [(f"tag{n}", value) for n, (_, value) in enumerate(VALUES)]

    with brokers.mosquitto(tmp_path, f"max_packet_size {MOST_BYTES}") as broker:
        asyncio.run(asyncio.wait_for(body(), 240))
