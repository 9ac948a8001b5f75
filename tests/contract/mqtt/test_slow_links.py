"""Links so slow that a message, or what is in flight, needs longer than `ack_timeout`: everything is delivered.

The clock of these tests runs faster than the wall's.
"""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from gateway.link import Backoff, Link
from gateway.metrics import Metrics, books_of
from gateway.model import Message
from gateway.mqtt.line_rate import LineRate
from gateway.pipeline.forward import forward
from tests.support.fast_clock import run_fast
from tests.support.forwarding import queue
from tests.support.mqtt_fake import FakeBroker, fake_broker
from tests.support.mqtt_sessions import Session, opened
from tests.support.proxy import open_proxy

ACK_TIMEOUT_S = 20.0
lines = pytest.mark.parametrize(
    ("session", "rate"), [("lean", 100), ("lean", 300), ("lean", 1000), ("general", 300)]
)  # in bytes a second


async def deliver(
    folder: Path,
    session: Session,
    rate: float,
    sizes: list[int],
    ack_timeout_s: float = ACK_TIMEOUT_S,
    buffer_bytes: int | None = None,
) -> tuple[FakeBroker, LineRate]:
    """Messages of these sizes through a line that carries so many bytes a second."""
    metrics, leave, line = Metrics(), asyncio.Event(), LineRate()
    async with (
        fake_broker() as broker,
        open_proxy(broker.port, buffer_bytes=buffer_bytes) as proxy,
        queue(folder, metrics) as found,
    ):
        url = f"mqtt://127.0.0.1:{proxy.port}"
        messages = [Message("t", b"x" * size, "s", n, values=1) for n, size in enumerate(sizes, 1)]
        await found.outbox.append(messages)
        metrics.for_source("s").received.inc(len(sizes))
        proxy.slow(rate, every_s=1.0)
        async with asyncio.TaskGroup() as tasks:
            opening = partial(opened, session, url, ack_timeout_s=ack_timeout_s, line=line)
            tasks.create_task(forward(found, opening, Link("b", url), Backoff(0.1, 0.1), leave), name="forward")
            await found.outbox.wait_empty()
            proxy.heal()  # what is left is the goodbye
            leave.set()
        books = books_of(metrics.registry, "b")
        assert (books.delivered, books.balance) == (len(sizes), True)
    return broker, line


@lines
def test_arriving_acknowledgements_keep_the_session_alive(session: Session, rate: int, tmp_path: Path) -> None:
    """All that is in flight needs several times the time-out, each message less."""
    messages = int(3 * ACK_TIMEOUT_S * rate) // 800

    async def body() -> None:
        broker, _ = await deliver(tmp_path, session, rate, [700] * messages)
        assert (len(broker.connects), len(broker.publishes)) == (1, messages), "nothing was sent twice"

    run_fast(body())


@lines
def test_bytes_that_are_sent_keep_the_session_alive(session: Session, rate: int, tmp_path: Path) -> None:
    """One message needs several times the time-out, and the line shows how far it has come."""

    async def body() -> None:
        timeout_s = 3 * ACK_TIMEOUT_S  # the kernel takes it in steps of 2 kB
        size = 8192 + int(2 * timeout_s * rate)
        broker, _ = await deliver(tmp_path, session, rate, [size], timeout_s, buffer_bytes=256)
        assert len(broker.connects) == 1

    run_fast(body())


@lines
def test_a_message_held_in_a_network_buffer_gets_more_time_until_it_is_delivered(
    session: Session, rate: int, tmp_path: Path
) -> None:
    """The line takes it at once and says nothing for several time-outs; what it carries is known from then on."""

    async def body() -> None:
        size = int(3 * ACK_TIMEOUT_S * rate)
        broker, line = await deliver(tmp_path, session, rate, [size, 10])
        assert 2 <= len(broker.connects) <= 4
        most = line.most_bytes(ACK_TIMEOUT_S)
        assert most is not None
        assert most < size / 3, "what comes next is split"

    run_fast(body())
