"""At least once, in order, whatever the line does: cuts, stalls and half-open lines at random moments, seeded."""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.delivery import Verdict
from gateway.errors import Unavailable
from gateway.model import Message
from gateway.mqtt.sink import Sink
from tests.support import brokers
from tests.support.mqtt_collect import collecting
from tests.support.mqtt_sessions import ALL, Session, message, opened
from tests.support.proxy import Proxy, open_proxy

COUNT = 1000
WINDOW = 20
MOST_BETWEEN = 100
"""Messages between two faults: counted, not timed, so that a slow machine meets no more faults than a fast one."""


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


async def harm(proxy: Proxy, rng: random.Random, left: list[Message], moved: asyncio.Event) -> None:
    """One fault after another, each healed before the next, and some messages delivered in between."""
    while True:
        until = len(left) - rng.randrange(1, MOST_BETWEEN)
        while len(left) > until:
            moved.clear()
            await moved.wait()
        fault = rng.choice([proxy.cut, proxy.cut, proxy.stall, proxy.half_open])
        fault()
        await asyncio.sleep(rng.uniform(0.0, 0.3))
        proxy.heal()


async def deliver(sink: Sink, left: list[Message], moved: asyncio.Event) -> None:
    """As a forwarder does: in order, a window at a time; what got no verdict stays."""
    while left:
        batch = left[: sink.window]
        futures = [sink.send(each) for each in batch]
        await asyncio.wait(futures)
        delivered = [future.exception() is None and future.result().verdict is Verdict.DELIVERED for future in futures]
        left[: len(batch)] = [each for each, done in zip(batch, delivered, strict=True) if not done]
        moved.set()
        if not all(delivered):
            return


@pytest.mark.parametrize("session", ALL)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_message_arrives_in_order_and_repeats_stay_within_a_window(
    session: Session, seed: int, tmp_path: Path
) -> None:
    async def body() -> None:
        rng, moved = random.Random(seed), asyncio.Event()
        left = [message("a/b", b"%d" % number, seq=number) for number in range(COUNT)]
        sessions = 0
        async with collecting(broker.port, "a/b") as got, open_proxy(broker.port) as proxy:
            harming = asyncio.create_task(harm(proxy, rng, left, moved), name="harm")
            while left:
                with suppress(Unavailable):
                    url = f"mqtt://127.0.0.1:{proxy.port}"
                    async with opened(session, url, ack_timeout_s=1.0, window=WINDOW, within_s=5.0) as sink:
                        sessions += 1
                        await deliver(sink, left, moved)
                await asyncio.sleep(0.01)
            harming.cancel()
            await asyncio.wait([harming])
            while b"%d" % (COUNT - 1) not in got.payloads:
                await got.wait_count(len(got.messages) + 1)
        numbers = [int(payload) for payload in got.payloads]
        firsts = list(dict.fromkeys(numbers))
        assert firsts == list(range(COUNT)), f"seed {seed}"
        assert len(numbers) - COUNT <= WINDOW * (sessions - 1)
        assert sessions > 3, "no fault was met"

    with brokers.mosquitto(tmp_path) as broker:
        run(body())
