"""Sources take turns: what comes shortly after another source's work is worked on together."""

import asyncio

from gateway.opcua.subscription.turns import PAUSE_S, Turns, turns
from tests.support.in_loop import in_loop


class Clock:
    """The clock and the timers of a loop, set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[tuple[float, object]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when_s: float, call: object) -> None:
        self.timers.append((when_s, call))

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        due = [call for when_s, call in self.timers if when_s <= self.now_s]
        self.timers = [(when_s, call) for when_s, call in self.timers if when_s > self.now_s]
        for call in due:
            call()  # type: ignore[operator]


@in_loop
async def test_sources_that_follow_each_other_closely_wake_together() -> None:
    clock = Clock()
    made = Turns(clock)  # type: ignore[arg-type]
    first, second, third, later = (asyncio.get_running_loop().create_future() for _ in range(4))
    made.wake(first, "a")
    assert first.done()
    clock.advance(PAUSE_S / 4)
    made.wake(second, "b")
    clock.advance(PAUSE_S / 4)
    made.wake(third, "c")
    assert not second.done()
    assert not third.done()
    assert len(clock.timers) == 1
    clock.advance(PAUSE_S / 2 + 1e-9)
    assert second.done()
    assert third.done()
    clock.advance(PAUSE_S + 1e-9)
    made.wake(later, "b")
    assert later.done(), "nobody waits when the last turn is long ago"


@in_loop
async def test_a_source_by_itself_never_waits() -> None:
    clock = Clock()
    made = Turns(clock)  # type: ignore[arg-type]
    for _ in range(5):
        waiter = asyncio.get_running_loop().create_future()
        made.wake(waiter, "a")
        assert waiter.done()
        clock.advance(PAUSE_S / 100)


@in_loop
async def test_a_waiter_that_gave_up_in_the_pause_is_left_alone() -> None:
    made = turns()
    assert made is turns()
    for who in "ab":
        waiter = asyncio.get_running_loop().create_future()
        made.wake(waiter, who)
    waiter.cancel()
    last = asyncio.get_running_loop().create_future()
    made.wake(last, "c")
    assert await asyncio.wait_for(last, 1.0)
