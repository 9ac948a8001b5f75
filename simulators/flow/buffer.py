"""The places in front of a station, and the hand-over into them.

A part goes straight to a machine that waits for one; failing that to a free place; failing that it stays where it is,
and blocks the machine that holds it, in the order of asking.  With no places at all this is a pure hand-over, which
simpy's own stores cannot do (they refuse capacity 0).
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import simpy

from simulators.flow.part import Part


class Taker(Protocol):
    """A machine that waits for a part."""

    @property
    def ready(self) -> bool:
        """Whether it would start on a part at once.  One that is down is loaded only when the places are full."""
        ...


class Buffer:
    """A first-in first-out buffer of `capacity` places (infinity allowed) in front of one station."""

    def __init__(self, env: simpy.Environment, capacity: float) -> None:
        self.env = env
        self.capacity = capacity
        self.supply: Callable[[], Part | None] | None = None
        self._parts: deque[Part] = deque()
        self._takers: list[tuple[Taker, simpy.Event]] = []
        self._putters: deque[tuple[Part, simpy.Event]] = deque()
        self._part_seconds = 0.0
        self._counted_s = 0.0

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def blocked(self) -> int:
        """How many parts wait outside, each blocking a machine."""
        return len(self._putters)

    def part_seconds(self, now_s: float) -> float:
        """The time integral of the number of parts in the places, in part seconds."""
        return self._part_seconds + len(self._parts) * (now_s - self._counted_s)

    def offer(self, part: Part) -> bool:
        """Hand a part over if there is a taker or a place.  False: nothing has happened."""
        first = self._first(even_down=len(self._parts) >= self.capacity)
        if first is not None:
            self._takers.pop(first)[1].succeed(part)
        elif len(self._parts) < self.capacity:
            self._count()
            self._parts.append(part)
        else:
            return False
        part.queued_s = self.env.now
        return True

    def wait_room(self, part: Part) -> simpy.Event:
        """Stand in line with a part that was not accepted; the event comes when it has been handed over."""
        event = self.env.event()
        self._putters.append((part, event))
        return event

    def take(self) -> Part | None:
        """The next part: from the places, from a blocked machine, or from the supply.  None: there is none now."""
        if self._parts:
            self._count()
            part = self._parts.popleft()
            self._admit()
            return part
        if self._putters:
            part, event = self._putters.popleft()
            part.queued_s = self.env.now
            event.succeed()
            return part
        return self.supply() if self.supply else None

    def wait_part(self, taker: Taker) -> simpy.Event:
        """Stand in line for a part; the event carries it."""
        event = self.env.event()
        self._takers.append((taker, event))
        return event

    def rouse(self) -> None:
        """A machine in line is ready again, or there is supply: hand over what can be had."""
        while (first := self._first(even_down=False)) is not None:
            part = self.take()
            if part is None:
                return
            self._takers.pop(first)[1].succeed(part)

    def _first(self, even_down: bool) -> int | None:
        """The place in line of the first taker that is ready, or just of the first."""
        if even_down:
            return 0 if self._takers else None
        return next((index for index, (taker, _) in enumerate(self._takers) if taker.ready), None)

    def _admit(self) -> None:
        """A place is free: the part that has waited longest outside moves in."""
        if self._putters:
            part, event = self._putters.popleft()
            part.queued_s = self.env.now
            self._parts.append(part)
            event.succeed()

    def _count(self) -> None:
        now = self.env.now
        self._part_seconds += len(self._parts) * (now - self._counted_s)
        self._counted_s = now
