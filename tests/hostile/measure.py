"""What an attack costs everybody else in one process: measured in a way that other processes do not change.

The loop of `measured` notes of each turn how much CPU time of its thread it takes, and how long it lasts beside the
time in which the thread only waits for a processor: that shows what blocks without computing.  While a turn lasts,
nobody else is served: so the longest turn is by how much an attacker makes a healthy peer late, on a machine of any
load.
"""

import asyncio
import gc
import os
import resource
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LATE_S = 0.5
"""No turn blocks for so long, in a call that does not compute.

Of shorter ones nobody can tell on a busy machine whether another thread of ours had no processor.
"""
_PAGE_BYTES = resource.getpagesize()


def resident_bytes() -> int:
    """How much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


@dataclass
class Turns:
    """The turns of a loop since `begin`."""

    longest_s: float = 0.0
    """In CPU time."""
    latest_s: float = 0.0
    """The longest by the clock, without the time in which the thread was ready and had no processor."""
    _since: tuple[float, float] | None = None

    def begin(self) -> None:
        """Count from the next wait on: what lies between two runs of the loop is no turn."""
        self.longest_s, self.latest_s, self._since = 0.0, 0.0, None

    def ended(self, now: tuple[float, float]) -> None:
        if self._since is not None:
            self.longest_s = max(self.longest_s, now[0] - self._since[0])
            self.latest_s = max(self.latest_s, now[1] - self._since[1])

    def began(self, now: tuple[float, float]) -> None:
        self._since = now


class _Selector(selectors.DefaultSelector):
    def __init__(self, turns: Turns, schedule: int) -> None:
        super().__init__()
        self._turns = turns
        self._schedule = schedule

    def _now(self) -> tuple[float, float]:
        """CPU time, and time without that of waiting for a processor."""
        waited_ns = int(os.pread(self._schedule, 100, 0).split()[1])
        return time.thread_time(), time.monotonic() - waited_ns * 1e-9

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns.ended(self._now())
        found = super().select(timeout)
        self._turns.began(self._now())
        return found


@contextmanager
def measuring(turns: Turns) -> Iterator[asyncio.Runner]:
    """Runs coroutines in this thread, in a loop that is measured.  Nobody collects garbage meanwhile."""
    schedule = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Selector(turns, schedule))) as runner:
            yield runner
    finally:
        gc.enable()
        gc.unfreeze()
        os.close(schedule)


def measured(body: Callable[[Turns], Coroutine[object, object, T]], within_s: float) -> T:
    """Run this in a loop that is measured."""
    turns = Turns()
    with measuring(turns) as runner:
        return runner.run(asyncio.wait_for(body(turns), within_s))
