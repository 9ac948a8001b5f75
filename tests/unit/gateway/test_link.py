"""Links: edges are told once, waiting is jittered and bounded, a cancellation always gets through."""

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from gateway.errors import CAUSES, Unavailable
from gateway.link import FLAPS, Backoff, Link, LinkState, keep_connected

AT_ONCE = Backoff(first_s=0.0, most_s=0.0)


async def nothing(peer: None = None) -> None:
    """No work."""


@asynccontextmanager
async def entered(attempt: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """A peer that is there once an attempt has succeeded."""
    await attempt()
    yield


def test_backoff_grows_to_its_ceiling_and_is_never_negative() -> None:
    backoff, rng = Backoff(first_s=0.5, most_s=8.0), random.Random(1)
    for attempt in range(2000):
        assert 0.0 <= backoff.wait_s(attempt, rng) <= min(8.0, 0.5 * 2.0 ** min(attempt, 60))


def test_the_longest_wait_doubles_with_each_failure() -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    backoff = Backoff(first_s=0.5, most_s=8.0)
    assert [backoff.wait_s(attempt, Highest()) for attempt in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_backoff_spreads_a_fleet_over_the_whole_interval() -> None:
    waits = [Backoff(1.0, 16.0).wait_s(10, random.Random(seed)) for seed in range(400)]
    assert min(waits) < 1.0
    assert max(waits) > 15.0


def test_each_change_of_a_link_is_logged_once() -> None:
    edges: list[LinkState] = []
    link = Link("a", "b", lambda changed: edges.append(changed.state))
    link.up()
    link.up()
    link.down("gone")
    link.down("still gone")
    link.up()
    assert edges == [LinkState.UP, LinkState.DOWN, LinkState.UP]
    assert link.connects == 2


def test_an_unavailable_peer_is_retried_until_the_work_is_done() -> None:
    link, attempts = Link("a", "b"), 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        assert not link.is_up
        if attempts < 4:
            raise Unavailable("not yet")

    async def serve(peer: None) -> None:
        assert link.is_up

    asyncio.run(asyncio.wait_for(keep_connected(link, partial(entered, attempt), serve, AT_ONCE), 60))
    assert attempts == 4
    assert link.is_up


def test_a_bug_is_not_retried() -> None:
    async def attempt() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(asyncio.wait_for(keep_connected(Link("a", "b"), partial(entered, attempt), nothing, AT_ONCE), 60))


def test_a_cancellation_ends_the_loop_even_if_a_failing_child_replaces_it() -> None:
    """CPython before 3.13: a TaskGroup whose child fails while its parent is cancelled forgets the cancellation."""

    async def attempt() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            raise Unavailable("the child's error wins") from None

    async def body() -> None:
        keeping = keep_connected(Link("a", "b"), partial(entered, attempt), nothing, AT_ONCE)
        task = asyncio.create_task(keeping, name="keep")
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(body(), 60))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionRefusedError(), "refused"),
        (ConnectionResetError(), "cut"),
        (TimeoutError(), "timeout"),
        (ssl.SSLCertVerificationError(), "tls"),
        (socket.gaierror(), "name"),
        (OSError(113, "No route to host"), "unreachable"),
        (ValueError(), "answer"),
    ],
)
def test_a_failure_is_logged_with_its_cause(error: Exception, cause: str) -> None:
    told: list[str] = []

    async def attempt() -> None:
        if told:
            return
        try:
            raise error
        except type(error) as behind:
            raise Unavailable("gone") from behind

    link = Link("a", "b", on_failure=lambda link, why: told.append(why))
    asyncio.run(asyncio.wait_for(keep_connected(link, partial(entered, attempt), nothing, AT_ONCE), 60))
    assert told == [cause]
    assert cause in CAUSES


def lines_of(logs: Sequence[EventDict]) -> list[str]:
    return [str(line["event"]) for line in logs if line["log_level"] != "debug"]


at_once = partial(entered, nothing)


class Flapping:
    """A peer that takes us and cuts, `losses` times in a row; then it holds until it is told to cut again."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.holds = asyncio.Event()

    async def serve(self, peer: None) -> None:
        if self.losses:
            self.losses -= 1
            raise Unavailable("cut", "cut")
        self.holds.set()
        await asyncio.Event().wait()


def test_a_flapping_link_is_logged_once_and_again_when_stable() -> None:
    async def body() -> None:
        link = Link("broker", "b")
        link.held_after_s, link.hint = 0.05, "another client"
        peer = Flapping(losses=50)
        keeping = asyncio.create_task(keep_connected(link, at_once, peer.serve, AT_ONCE), name="keep")
        with capture_logs() as logs:
            await peer.holds.wait()
            while "connected and stable" not in lines_of(logs):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        keeping.cancel()
        await asyncio.wait([keeping])
        assert lines_of(logs) == [
            "connected", "not connected", "connected", "not connected", "connected",
            "connects, and is lost again each time", "connected and stable",
        ]  # fmt: skip
        [flaps] = [line for line in logs if line["event"] == "connects, and is lost again each time"]
        assert (flaps["times"], flaps["may_be"], flaps["reason"]) == (FLAPS, "another client", "cut")
        assert logs[-1]["lost_before"] == 50

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_flapping_link_that_is_gone_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        monkeypatch.setattr("gateway.link.GONE_S", 0.0)
        link = Link("broker", "b")
        with capture_logs() as logs:
            for _ in range(10):
                link.up()
                link.down("cut", "cut")
            link.down("refused", "refused")
            link.down("refused", "refused")
        assert lines_of(logs)[-2:] == ["connects, and is lost again each time", "not connected"]
        link.up()
        link.release()

    asyncio.run(body())


def test_a_released_link_logs_nothing() -> None:
    async def body() -> None:
        link = Link("broker", "b")
        link.held_after_s = 0.02
        peer = Flapping(losses=5)
        with capture_logs() as logs:
            keeping = asyncio.create_task(keep_connected(link, at_once, peer.serve, AT_ONCE), name="keep")
            await peer.holds.wait()
            keeping.cancel()
            await asyncio.wait([keeping])
            await asyncio.sleep(0.05)
        assert lines_of(logs)[-1] == "connects, and is lost again each time"

    asyncio.run(asyncio.wait_for(body(), 60))


def test_the_waits_grow_until_a_connection_held() -> None:
    asked: list[int] = []

    class Asked(Backoff):
        def wait_s(self, attempt: int, rng: random.Random) -> float:
            asked.append(attempt)
            return 0.0

    async def body() -> None:
        link = Link("broker", "b")
        link.held_after_s = 0.05
        lives = iter([0.0, 0.0, 0.0, 0.1, 0.0, 0.0])

        async def serve(peer: None) -> None:
            try:
                await asyncio.sleep(next(lives))
            except StopIteration:
                return
            raise Unavailable("cut")

        await keep_connected(link, at_once, serve, Asked(0.0, 0.0))

    asyncio.run(asyncio.wait_for(body(), 60))
    assert asked == [1, 2, 3, 0, 1, 2]
