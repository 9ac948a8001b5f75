"""Links: edges are told once, waiting is jittered and bounded, a cancellation always gets through."""

import asyncio
import random
import socket
import ssl

import pytest

from gateway.errors import CAUSES, Unavailable
from gateway.link import Backoff, Link, LinkState, keep_connected

AT_ONCE = Backoff(first_s=0.0, most_s=0.0)


def test_backoff_grows_to_its_ceiling_and_is_never_negative() -> None:
    backoff, rng = Backoff(first_s=0.5, most_s=8.0), random.Random(1)
    for attempt in range(2000):
        assert 0.0 <= backoff.wait_s(attempt, rng) <= min(8.0, 0.5 * 2.0 ** min(attempt, 60))


def test_backoff_spreads_a_fleet_over_the_whole_interval() -> None:
    waits = [Backoff(1.0, 16.0).wait_s(10, random.Random(seed)) for seed in range(400)]
    assert min(waits) < 1.0
    assert max(waits) > 15.0


def test_each_edge_is_told_once() -> None:
    edges: list[LinkState] = []
    link = Link("a", "b", lambda changed: edges.append(changed.state))
    link.up()
    link.up()
    link.down("gone")
    link.down("still gone")
    link.up()
    assert edges == [LinkState.UP, LinkState.DOWN, LinkState.UP]
    assert link.connects == 2


def test_unavailable_is_tried_again_until_the_work_is_done() -> None:
    link, attempts = Link("a", "b"), 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise Unavailable("not yet")
        link.up()

    asyncio.run(asyncio.wait_for(keep_connected(link, attempt, AT_ONCE), 60))
    assert attempts == 4
    assert link.is_up


def test_a_bug_is_not_waited_out() -> None:
    async def attempt() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(asyncio.wait_for(keep_connected(Link("a", "b"), attempt, AT_ONCE), 60))


def test_a_cancellation_that_a_failing_child_would_hide_ends_the_loop() -> None:
    """CPython before 3.13: a TaskGroup whose child fails while its parent is cancelled forgets the cancellation."""

    async def attempt() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            raise Unavailable("the child's error wins") from None

    async def body() -> None:
        task = asyncio.create_task(keep_connected(Link("a", "b"), attempt, AT_ONCE), name="keep")
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
def test_a_failure_is_told_with_its_cause(error: Exception, cause: str) -> None:
    told: list[str] = []

    async def attempt() -> None:
        if told:
            return
        try:
            raise error
        except type(error) as behind:
            raise Unavailable("gone") from behind

    link = Link("a", "b", on_failure=lambda link, why: told.append(why))
    asyncio.run(asyncio.wait_for(keep_connected(link, attempt, AT_ONCE), 60))
    assert told == [cause]
    assert cause in CAUSES
