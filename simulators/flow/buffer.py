"""The buffer in front of a station, and the hand-over of parts into it.

A part goes directly to a machine that waits for one.  If none waits, it goes to a free place.  If there is none, it
stays and blocks the machine that holds it; blocked machines are served in the order of asking.  A buffer without places
is a pure hand-over, which simpy's own stores cannot do (they refuse capacity 0).  A machine that blocks before service
reserves its room first.

Room = places - parts in them + waiting machines - reservations.  There is no room when the station needs a carrier and
none is there.  A waiting machine that is down counts as room, but gets a part last.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import simpy

from simulators.flow.loop import Loop
from simulators.flow.part import Part


class Taker(Protocol):
    """A machine that waits for a part."""

    @property
    def stopped(self) -> int:
        """How many causes keep it from starting on a part at once."""
        ...

    @property
    def waits_for(self) -> "Buffer | None":
        """The buffer in which it waits for room; None when it does not wait."""
        ...

    @property
    def can_take(self) -> bool:
        """Whether it can take another part while it waits for room."""
        ...


class Buffer:
    """A first-in first-out buffer of `capacity` places (infinity: without limit) in front of one station."""

    def __init__(self, env: simpy.Environment, capacity: float) -> None:
        self.env = env
        self.capacity = capacity
        self.loop: Loop | None = None
        self.supply: Callable[[], Part | None] | None = None
        self.users: list[Taker] = []
        """The machines that take parts from here."""
        self._parts: deque[Part] = deque()
        self._takers: list[tuple[Taker, simpy.Event]] = []
        self._waiting: deque[tuple[Part | None, simpy.Event]] = deque()
        self._reserved = 0
        self._part_seconds = 0.0
        self._counted_s = 0.0

    def __len__(self) -> int:
        return len(self._parts)

    def part_seconds(self, now_s: float) -> float:
        """The time integral of the number of parts in the places, in part seconds."""
        return self._part_seconds + len(self._parts) * (now_s - self._counted_s)

    def set_capacity(self, capacity: float) -> None:
        """Use another number of places from now on.  Parts beyond it stay until they are taken."""
        self.capacity = capacity
        self.admit()

    def has_room(self, part: Part) -> bool:
        """Whether `offer` would accept the part now."""
        return self._room(part) > 0

    def offer(self, part: Part) -> bool:
        """Hand a part over if there is room.  False: there is none, and nothing has changed."""
        if self.loop is None and not self._takers:  # the usual case
            parts = self._parts
            if len(parts) + self._reserved >= self.capacity:
                return False
            part.queued_s = now = self.env.now
            self._part_seconds += len(parts) * (now - self._counted_s)
            self._counted_s = now
            parts.append(part)
            return True
        if self._room(part) <= 0:
            return False
        self._place(part)
        return True

    def force(self, part: Part) -> bool:
        """Accept a part without room, to break a circle of waiting machines.  False: no carrier is there for it."""
        if self.loop is not None and part.carrier is not self.loop:
            if not self.loop.free:
                return False
            self.loop.load(part)
        now = part.queued_s = self.env.now
        self._part_seconds += len(self._parts) * (now - self._counted_s)
        self._counted_s = now
        self._parts.append(part)
        for index, (waiting, event) in enumerate(self._waiting):
            if waiting is part:
                del self._waiting[index]
                event.succeed()
                break
        return True

    def keeps_out(self, part: Part) -> bool:
        """Whether the part is queued for room."""
        return any(waiting is part for waiting, _ in self._waiting)

    def wait_room(self, part: Part) -> simpy.Event:
        """Queue with a part that was not accepted.  The event fires when the part has been handed over."""
        event = self.env.event()
        self._waiting.append((part, event))
        return event

    def reserve(self) -> bool:
        """Reserve room for a part that is yet to be made.  False: there is none."""
        if self._room(None) <= 0:
            return False
        self._reserved += 1
        return True

    def wait_reservation(self) -> simpy.Event:
        """Queue for room.  The event fires when room is reserved."""
        event = self.env.event()
        self._waiting.append((None, event))
        return event

    def unreserve(self) -> None:
        """Give up a reservation: to use the room, or to leave it to the next in the queue."""
        self._reserved -= 1

    def take(self) -> Part | None:
        """The next part: from the places, from a blocked machine, or from the supply.  None: there is no part now."""
        parts = self._parts
        if parts:
            now = self.env.now
            self._part_seconds += len(parts) * (now - self._counted_s)
            self._counted_s = now
            part = parts.popleft()
            if self._waiting:
                self.admit()
            return part
        if self._waiting and (first := self._first_outside()) is not None:
            return first
        if self.supply is None or (self.loop is not None and not self.loop.free):
            return None
        raw = self.supply()
        if raw is not None and self.loop is not None:
            self.loop.load(raw)
        return raw

    def wait_part(self, taker: Taker) -> simpy.Event:
        """Queue for a part.  The event carries it."""
        event = self.env.event()
        self._takers.append((taker, event))
        if self._waiting:
            self.admit()
        return event

    def give_up(self, event: simpy.Event) -> None:
        """Leave the queue for a part, before it has come."""
        self._takers = [(taker, other) for taker, other in self._takers if other is not event]

    def rouse(self) -> None:
        """Hand over what is available: a queued machine is ready again, a carrier is back, or there is new supply."""
        while (first := self._first_ready()) is not None:
            waiting = self._takers.pop(first)  # removed before `take`, which may admit others
            part = self.take()
            if part is None:
                self._takers.insert(first, waiting)
                break
            waiting[1].succeed(part)
        self.admit()

    def admit(self) -> None:
        """Admit parts from outside, the longest waiting first, as long as there is room."""
        while self._waiting:
            part, event = self._waiting[0]
            if self._room(part) <= 0:
                return
            self._waiting.popleft()
            if part is None:
                self._reserved += 1
            else:
                self._place(part)
            event.succeed()

    def _room(self, part: Part | None) -> float:
        if self.loop is not None and not self.loop.free and (part is None or part.carrier is not self.loop):
            return 0
        return self.capacity - len(self._parts) + len(self._takers) - self._reserved

    def _place(self, part: Part) -> None:
        now, parts = self.env.now, self._parts
        part.queued_s = now
        if self.loop is not None:
            self._board(part)
        first = self._first_ready() if self._takers else None
        if first is None and len(parts) >= self.capacity:
            first = 0
            if parts:  # the longest waiting part goes first, the new one takes its place
                parts.append(part)
                part = parts.popleft()
        if first is not None:
            self._takers.pop(first)[1].succeed(part)
        else:
            self._part_seconds += len(parts) * (now - self._counted_s)
            self._counted_s = now
            parts.append(part)

    def _board(self, part: Part) -> None:
        part.queued_s = self.env.now
        if self.loop is not None and part.carrier is not self.loop:
            self.loop.load(part)

    def _first_outside(self) -> Part | None:
        """The part that has waited longest outside; it does not pass through the places."""
        for index, (part, event) in enumerate(self._waiting):
            if part is not None and (self.loop is None or self.loop.free or part.carrier is self.loop):
                del self._waiting[index]
                self._board(part)
                event.succeed()
                return part
        return None

    def _first_ready(self) -> int | None:
        for index, (taker, _) in enumerate(self._takers):
            if not taker.stopped:
                return index
        return None
