"""Turns: responses of several sources that arrive within a few milliseconds are worked on together.

    response ─► inbox ─┬─ the last turn was this source's, or is long ago: the source wakes at once
                       └─ else with all others, when the pause is over

A process that wakes for one response runs cold code: the same work costs several times what it costs right after other
work of its kind.  With many sources, each with small responses, that is most of the cost.  So sources take turns: one
that has something shortly after another one waits a little, and then all that have something wake.  What is worked on
together also becomes durable with one commit, and leaves in one write.

A source by itself never waits: what arrives while it works is merged anyway.
"""

import asyncio
from weakref import WeakKeyDictionary

PAUSE_S = 0.01
"""The least time from a turn of one source to a turn of others, in seconds: the longest delay."""


class Turns:
    """The turns of the sources of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._last_s = -PAUSE_S
        self._last: object = None
        """Whose the last turn was; None if several took part."""
        self._waiting: list[asyncio.Future[bool]] = []

    def wake(self, waiter: "asyncio.Future[bool]", who: object) -> None:
        """Set `waiter` of this source to True in the next turn: now, or when the pause is over."""
        if self._waiting:
            self._waiting.append(waiter)
            return
        now_s = self._loop.time()
        if who is self._last or now_s - self._last_s >= PAUSE_S:
            self._last, self._last_s = who, now_s
            wake(waiter, True)
            return
        self._waiting.append(waiter)
        self._loop.call_at(self._last_s + PAUSE_S, self._begin)

    def _begin(self) -> None:
        self._last, self._last_s = None, self._loop.time()
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            wake(waiter, True)


def wake(waiter: "asyncio.Future[bool]", value: bool) -> None:
    """Set `waiter` unless it is done."""
    if not waiter.done():
        waiter.set_result(value)


def turns() -> Turns:
    """The turns of the running event loop."""
    loop = asyncio.get_running_loop()
    return _OF.get(loop) or _OF.setdefault(loop, Turns(loop))


_OF: "WeakKeyDictionary[asyncio.AbstractEventLoop, Turns]" = WeakKeyDictionary()
