"""What an attack costs everybody else in one process: measured in a way that other processes do not change.

The loop of `measured` notes how much CPU time of its thread each turn takes.  While a turn lasts, nobody else is
served: so the longest turn is by how much an attacker makes a healthy peer late, on a machine of any load.
"""

import asyncio
import resource
import selectors
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_PAGE_BYTES = resource.getpagesize()


def resident_bytes() -> int:
    """How much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


@dataclass
class Turns:
    """The turns of a loop since `begin`."""

    longest_s: float = 0.0
    all_s: float = 0.0
    count: int = 0
    _since_s: float | None = None

    def begin(self) -> None:
        self.longest_s, self.all_s, self.count, self._since_s = 0.0, 0.0, 0, None

    def ended(self) -> None:
        if self._since_s is not None:
            took_s = time.thread_time() - self._since_s
            self.longest_s, self.all_s, self.count = max(self.longest_s, took_s), self.all_s + took_s, self.count + 1

    def began(self) -> None:
        self._since_s = time.thread_time()


class _Selector(selectors.DefaultSelector):
    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns.ended()
        found = super().select(timeout)
        self._turns.began()
        return found


def measured(body: Callable[[Turns], Coroutine[object, object, T]], within_s: float) -> T:
    """Run this in a loop that is measured."""
    turns = Turns()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Selector(turns))) as runner:
        return runner.run(asyncio.wait_for(body(turns), within_s))
