"""A real broker without persistence that is restarted has all of its retained messages again soon after."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from gateway.config import BrokerConfig
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, books_of
from gateway.model import Message
from gateway.mqtt import open_sink
from gateway.pipeline.forward import forward
from tests.support import brokers
from tests.support.forwarding import queue, until
from tests.support.mqtt_collect import collecting

TOPICS = [f"line/tag{n}" for n in range(40)] + ["line/metadata", "line/tags/0"]


async def retained(broker: brokers.Process) -> dict[str, bytes]:
    async with collecting(broker.port) as got:
        await got.wait_count(len(TOPICS))
        return dict(got.messages)


@pytest.mark.parametrize(("version", "is_kept"), [("5", False), ("5", True), ("3.1.1", False)])
def test_every_retained_message_comes_back_after_the_broker_lost_them(
    version: str, is_kept: bool, tmp_path: Path
) -> None:
    async def body() -> None:
        metrics, leave = Metrics(), asyncio.Event()
        config = BrokerConfig.model_validate({"url": broker.url, "version": version})
        link = Link("b", broker.url)
        async with queue(tmp_path / "outbox", metrics) as found, asyncio.TaskGroup() as tasks:
            opening = partial(open_sink, config, link, "g")
            tasks.create_task(forward(found, opening, link, Backoff(0.05, 0.1), leave), name="forward")
            for number in (1, 2):
                said = [Message(t, b"%d" % number, t, number, values=1, retain=True) for t in TOPICS]
                await found.outbox.append(said)
                metrics.for_source("s").received.inc(len(said))
            await found.outbox.wait_empty()
            for restart in (1, 2):
                if is_kept:
                    broker.terminate()  # it saves, but not the session of who began anew
                broker.restart()
                await until(lambda: link.connects == 1 + restart)  # noqa: B023 - awaited within the loop
                assert await retained(broker) == dict.fromkeys(TOPICS, b"2")
                await until(lambda: not found.in_flight)
                repeated = metrics.registry.get_sample_value("gateway_sink_messages_repeated_total", {"sink": "b"})
                assert repeated == len(TOPICS) * (1 if is_kept else restart)
            leave.set()
        assert books_of(metrics.registry, "b").balance

    options = [f"persistence_location {tmp_path}/", "persistence true"] if is_kept else []
    with brokers.mosquitto(tmp_path, *options) as broker:
        asyncio.run(asyncio.wait_for(body(), 60))
