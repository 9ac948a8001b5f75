"""A backlog over a slow link to a real broker: what is urgent keeps its delay bound, and nothing is missing.

The link carries 100 kB/s and the backlog is 480 kB, most of which fits into the window: at full speed it would be in
sockets and buffers at once, and whatever comes next would wait for seconds behind it.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import pytest

from gateway.config import BrokerConfig, ReplayConfig
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, books_of
from gateway.model import Message, Priority
from gateway.mqtt.connect import open_sink
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.pipeline.forward import forward
from tests.support import brokers
from tests.support.forwarding import queue
from tests.support.mqtt_collect import Collected, collecting
from tests.support.proxy import open_proxy

LINK_BYTES_PER_S = 100_000
BACKLOG, SIZE = 60, 8000
BOUND_S = 1.0
LATE_S = 3.0
"""The bound with room for a machine that has other work; behind the whole backlog it is five seconds."""


async def store(found: BrokerQueue, stream: str, priority: Priority, size: int) -> bytes:
    """A message that begins with its stream and number."""
    seq = found.outbox.next_seq(stream)
    name = f"{stream} {seq} ".encode()
    payload = name.ljust(size, b"x")
    await found.outbox.append([Message("a/b", payload, stream, seq, values=1, priority=priority)])
    found.all_metrics.for_source("s").received.inc()
    return name


async def arrival(got: Collected, name: bytes) -> None:
    while not any(payload.startswith(name) for payload in got.payloads[-20:]):
        await got.wait_count(len(got.payloads) + 1)


class Replay:
    """A backlog on its way over the slow link, and new messages beside it."""

    def __init__(self, folder: Path, broker: brokers.Process, replay: ReplayConfig, stream: str) -> None:
        self.folder, self.broker, self.replay, self.stream = folder, broker, replay, stream
        self.priority = Priority.EVENT if stream == "alarms" else Priority.TELEMETRY
        self.metrics = Metrics()
        self.took_s: list[float] = []
        """How long each of the new messages took."""
        self.order: list[tuple[str, int]] = []

    async def run(self) -> None:
        leave = asyncio.Event()
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(open_proxy(self.broker.port))
            got = await stack.enter_async_context(collecting(self.broker.port, "a/b"))
            found = await stack.enter_async_context(queue(self.folder, self.metrics, replay=self.replay))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            for _ in range(BACKLOG):
                await store(found, "values", Priority.TELEMETRY, SIZE)
            await asyncio.sleep(BOUND_S)  # only what waited for so long is a backlog
            proxy.slow(LINK_BYTES_PER_S)
            config = BrokerConfig(url=f"mqtt://127.0.0.1:{proxy.port}", version="5")
            link = Link("b", config.url)
            opening = lambda: open_sink(config, link, "g")  # noqa: E731
            tasks.create_task(forward(found, opening, link, Backoff(), leave), name="forward")
            await got.wait_count(10)
            await self._send_beside(found, got)
            await found.outbox.wait_empty()
            stored = {stream: found.outbox.next_seq(stream) - 1 for stream in found.outbox.streams}
            await got.wait_count(sum(stored.values()))
            leave.set()
            self.order = [(p.split()[0].decode(), int(p.split()[1])) for p in got.payloads]
        assert books_of(self.metrics.registry, "b").balance
        assert sorted(self.order) == sorted((s, n) for s, last in stored.items() for n in range(1, last + 1))

    async def _send_beside(self, found: BrokerQueue, got: Collected) -> None:
        """One new message after another until the backlog is nearly through."""
        while found.reader.messages > 10:
            stored_s = time.monotonic()
            await arrival(got, await store(found, self.stream, self.priority, 100))
            self.took_s.append(time.monotonic() - stored_s)


def replayed(tmp_path: Path, order: str, delay_s: float, stream: str) -> Replay:
    with brokers.mosquitto(tmp_path, "max_inflight_messages 200") as broker:
        config = ReplayConfig.model_validate({"order": order, "delay": delay_s})
        replay = Replay(tmp_path / "outbox", broker, config, stream)
        asyncio.run(asyncio.wait_for(replay.run(), 240))
    return replay


@pytest.mark.parametrize(("order", "stream"), [("newest-first", "values"), ("in-order", "alarms")])
def test_priority_messages_keep_their_delay_bound_during_a_replay(tmp_path: Path, order: str, stream: str) -> None:
    """Newest first that is all that is new, in order it is what has a higher priority."""
    replay = replayed(tmp_path, order, BOUND_S, stream)
    assert median(replay.took_s) < BOUND_S
    assert max(replay.took_s) < LATE_S
    count = replay.metrics.registry.get_sample_value("gateway_values_replayed_total", {"sink": "b"})
    assert count is not None
    assert count >= BACKLOG
    if order == "in-order":
        values = [n for name, n in replay.order if name == "values"]
        assert values == sorted(values)


def test_without_the_bound_priority_messages_are_late(tmp_path: Path) -> None:
    """The same with a bound that is never reached: the link is as slow as this file says."""
    assert max(replayed(tmp_path, "newest-first", 30.0, "values").took_s) > LATE_S
