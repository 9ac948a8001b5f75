"""What a subscription of the load server has to send, and what it has been acknowledged.  No I/O: time is given.

First comes one initial value for each item, -1 - base - n for variable n, as any server sends them.  Then, for each
load, the serial numbers 0, 1, 2 …, which go on from load to load: serial s is the value `base + s + 0.5` of
variable s % N.  So a value says which one it is and whose, and who receives it can tell whether each came once.

Sequence numbers and acknowledgements are honest (Part 4, 5.14.1): a notification is kept until it is acknowledged and
can be asked for again; numbers never skip; an acknowledgement of what is not kept is told to be unknown.
"""

import struct
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tests.bench.chain.wire import (
    DOUBLE,
    MASK,
    ONE_ROW,
    ROW,
    UNIX_EPOCH_TICKS,
    Status,
    blank_rows,
    data_change,
    keep_alive,
    notification,
)  # fmt: skip

STEP_TICKS = 1
"""Source time from one value of a response to the next."""
MOST_KEPT = 10_000
"""Notifications that wait for an acknowledgement; then the oldest goes, as in any server."""
LARGEST_START = 5_000
"""Initial values in one response."""


@dataclass(frozen=True)
class Load:
    """`total` values, or fewer where `seconds` end it; `per` in a response."""

    total: int
    per: int
    rate_hz: float = 0.0
    """Values per second; 0: whenever the client asks."""
    seconds: float = 0.0
    """For a load without a rate: how long; 0: until all are sent."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a notification carries, from which it can be made again."""

    first: int
    """The serial number of its first value, or -1 - n for initial values from variable n on."""
    count: int
    ticks: int


@dataclass
class LoadSubscription:
    """One subscription of one client."""

    number: int
    base: int = 0
    most: int = 0
    """MaxNotificationsPerPublish; 0 for no limit."""
    items: dict[int, int] = field(default_factory=dict)
    """Variable → client handle."""
    kept: dict[int, Sent] = field(default_factory=dict)
    sequence_number: int = 0
    next: int = 0
    """The next serial number."""
    end: int = 0
    began_ns: int = 0
    load: Load = field(default=Load(0, 1))
    acknowledged: int = 0
    """Values."""
    unknown_acknowledgements: int = 0
    forgotten: int = 0
    """Notifications that went without an acknowledgement."""
    _initial: deque[int] = field(default_factory=deque)
    _waiting: deque[Sent] = field(default_factory=deque)
    _made: int = 0
    _rows: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, ROW))
    _steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, variable: int, handle: int) -> None:
        self.items[variable] = handle
        self._initial.append(variable)

    def begin(self, load: Load, now_ns: int) -> None:
        """Give it a load; the one before has to be finished."""
        assert self.finished, "a load is still under way"
        self.load, self.began_ns, self.end, self._made = load, now_ns, self.next + load.total, self.next
        handles = np.array([self.items[variable] for variable in sorted(self.items)], np.uint32)
        longest = max(load.per, len(self._steps))  # what was sent in an earlier load may be asked for again
        self._rows, self._steps = blank_rows(handles, longest), np.arange(longest)

    def enough(self) -> None:
        """End a load with a rate: what has not been made yet will not be."""
        self.end = min(self.end, self._made)

    @property
    def finished(self) -> bool:
        return self.next >= self.end

    def wakes_at_ns(self) -> int | None:
        """When the next values of a load with a rate are due; None when none will be."""
        if not self.load.rate_hz or self._made >= self.end:
            return None
        begun = self._made - (self.end - self.load.total)
        return self.began_ns + int(begun / self.load.rate_hz * 1e9)

    def advance(self, now_ns: int) -> None:
        """Make the values that are due; one response of `per` values at a time, with the time at which it was made."""
        if self.load.rate_hz:
            while (due := self.wakes_at_ns()) is not None and due <= now_ns:
                count = min(self.load.per, self.end - self._made)
                self._waiting.append(Sent(self._made, count, now_ns // 100 + UNIX_EPOCH_TICKS))
                self._made += count
        elif self.load.seconds and now_ns - self.began_ns > self.load.seconds * 1e9:
            self.end = min(self.end, self.next)

    @property
    def ready(self) -> bool:
        """Whether there is something to send."""
        if self._initial:
            return True
        return bool(self._waiting) if self.load.rate_hz else not self.finished

    def take(self, now_ns: int) -> bytes:
        """The next NotificationMessage, kept from now on."""
        self.sequence_number += 1
        sent = self.kept[self.sequence_number] = (
            self._next_initial(now_ns) if self._initial else self._next_load(now_ns)
        )
        if len(self.kept) > MOST_KEPT:
            del self.kept[next(iter(self.kept))]
            self.forgotten += 1
        return notification(self.sequence_number, self._body(sent))

    def again(self, sequence_number: int) -> bytes | None:
        """A NotificationMessage that was sent and not acknowledged (Republish)."""
        sent = self.kept.get(sequence_number)
        return None if sent is None else notification(sequence_number, self._body(sent))

    def nothing(self) -> bytes:
        return keep_alive(self.sequence_number + 1)

    def acknowledge(self, sequence_number: int) -> int:
        """Gives the status code of the acknowledgement."""
        sent = self.kept.pop(sequence_number, None)
        if sent is None:
            self.unknown_acknowledgements += 1
            return Status.SEQUENCE_NUMBER_UNKNOWN
        self.acknowledged += sent.count if sent.first >= 0 else 0
        return 0

    def _next_initial(self, now_ns: int) -> Sent:
        """As many as follow each other."""
        first, count = self._initial.popleft(), 1
        most = min(self.most or LARGEST_START, LARGEST_START)
        while self._initial and count < most and self._initial[0] == first + count:
            self._initial.popleft()
            count += 1
        return Sent(-1 - first, count, now_ns // 100 + UNIX_EPOCH_TICKS)

    def _next_load(self, now_ns: int) -> Sent:
        most = min(self.load.per, self.most) if self.most else self.load.per
        if not self.load.rate_hz:
            sent = Sent(self.next, min(most, self.end - self.next), now_ns // 100 + UNIX_EPOCH_TICKS)
        else:
            sent = self._waiting.popleft()
            if sent.count > most:
                self._waiting.appendleft(Sent(sent.first + most, sent.count - most, sent.ticks))
                sent = Sent(sent.first, most, sent.ticks)
        self.next = sent.first + sent.count
        return sent

    def _body(self, sent: Sent) -> bytes:
        if sent.first < 0:
            return self._initial_body(sent)
        variables, value = len(self.items), self.base + sent.first + 0.5
        start = sent.first % variables
        if sent.count == 1:
            handle = int(self._rows["handle"][start])
            return data_change(ONE_ROW.pack(handle, MASK, DOUBLE, value, sent.ticks, sent.ticks), 1)
        rows, steps = self._rows[start : start + sent.count], self._steps[: sent.count]
        rows["value"] = steps + value
        rows["source"] = steps * STEP_TICKS + sent.ticks
        rows["server"] = sent.ticks
        return data_change(rows.tobytes(), sent.count)

    def _initial_body(self, sent: Sent) -> bytes:
        variables = range(-1 - sent.first, -1 - sent.first + sent.count)
        rows = blank_rows(np.array([self.items[variable] for variable in variables], np.uint32), 0)[: sent.count]
        rows["value"] = -1.0 - self.base - np.array(variables)
        rows["source"] = rows["server"] = sent.ticks
        return data_change(rows.tobytes(), sent.count)


def available(subscription: LoadSubscription) -> bytes:
    """AvailableSequenceNumbers: all that can be asked for again."""
    kept = subscription.kept
    return struct.pack(f"<i{len(kept)}I", len(kept), *kept)
