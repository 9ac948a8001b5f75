"""Statistics of a watcher for each stream: rate, delay, and missing messages.

Every consumer can do the same, since `seq` rises by one.  A number above the next one leaves a gap.  A number in a gap
fills it (with `replay.order: newest-first` a backlog comes after newer messages).  Another number that is not above the
last one is a repeat.  Messages stored before the watcher started have lower numbers than the first one seen, and are
not repeats.  Retained messages come from the broker's memory: they are shown, but not counted.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.payload.read import Reading

WINDOW_S = 5.0
"""Rates and delays cover this many seconds."""
SLICE_S = 0.25
MOST_HOLES = 1000
MOST_STREAMS = 10_000


@dataclass(slots=True)
class _Slice:
    """The messages of a fraction of a second."""

    begun_s: float
    messages: int = 0
    values: int = 0
    delays: int = 0
    delay_sum_s: float = 0.0


@dataclass(slots=True)
class Stream:
    """One stream, as far as seen."""

    name: str
    messages: int = 0
    values: int = 0
    repeats: int = 0
    late: int = 0
    """Messages that filled a gap, or precede the first one seen."""
    missing: int = 0
    """Missing messages."""
    latest: Sequence[tuple[str, object]] = ()
    first: int = 0
    last: int = 0
    _holes: list[tuple[int, int]] = field(default_factory=list)
    """First and last number of each gap.  If there are too many, the oldest is forgotten and stays missing."""
    _recent: deque[_Slice] = field(default_factory=deque)

    def see(self, reading: Reading, now_s: float, delay_s: float | None) -> str:
        """Count one message.  Returns what is unusual about its number; empty: nothing."""
        self.messages += 1
        odd = self._odd(reading.seq)
        if odd != "repeat":
            self.values += len(reading.values)
            self._note(len(reading.values), now_s, delay_s)
        self.latest = reading.values or self.latest
        return odd

    def _note(self, values: int, now_s: float, delay_s: float | None) -> None:
        if not self._recent or now_s - self._recent[-1].begun_s > SLICE_S:
            self._recent.append(_Slice(now_s))
            self._forget(now_s)
        latest = self._recent[-1]
        latest.messages += 1
        latest.values += values
        if delay_s is not None:
            latest.delays += 1
            latest.delay_sum_s += delay_s

    def _forget(self, now_s: float) -> None:
        while self._recent and now_s - self._recent[0].begun_s > WINDOW_S:
            self._recent.popleft()

    def _odd(self, seq: int) -> str:
        if not self.last:
            self.first = self.last = seq
            return ""
        if seq > self.last:
            before, self.last = self.last, seq
            if seq == before + 1:
                return ""
            self.missing += seq - before - 1
            self._holes = [*self._holes[1 - MOST_HOLES :], (before + 1, seq - 1)]
            return f"missing {before + 1} to {seq - 1}" if seq > before + 2 else f"missing {seq - 1}"
        if seq < self.first or self._fills(seq):
            self.late += 1
            return "late"
        self.repeats += 1
        return "repeat"

    def _fills(self, seq: int) -> bool:
        for n, (low, high) in enumerate(self._holes):
            if low <= seq <= high:
                self._holes[n : n + 1] = [(a, b) for a, b in ((low, seq - 1), (seq + 1, high)) if a <= b]
                self.missing -= 1
                return True
        return False

    def rates(self, now_s: float) -> tuple[float, float, float | None]:
        """Messages and values per second, and the mean delay in seconds, over the last `WINDOW_S`."""
        self._forget(now_s)
        delays = sum(each.delays for each in self._recent)
        mean_s = sum(each.delay_sum_s for each in self._recent) / delays if delays else None
        messages, values = (sum(getattr(each, what) for each in self._recent) for what in ("messages", "values"))
        return messages / WINDOW_S, values / WINDOW_S, mean_s


class Streams:
    """All streams of one watcher."""

    def __init__(self) -> None:
        self.by_name: dict[str, Stream] = {}
        self.unreadable = 0

    def see(self, reading: Reading, now_s: float, delay_s: float | None) -> str:
        if reading.stream not in self.by_name and len(self.by_name) >= MOST_STREAMS:
            return "not counted: there are too many streams"
        return self.by_name.setdefault(reading.stream, Stream(reading.stream)).see(reading, now_s, delay_s)

    def total(self, what: str) -> int:
        return sum(int(getattr(stream, what)) for stream in self.by_name.values())

    @property
    def summary(self) -> str:
        text = (
            f"{self.total('messages')} messages, {self.total('values')} values, {self.total('repeats')} repeats, "
            f"{self.total('missing')} messages missing"
        )
        return text + (f", {self.unreadable} not readable" if self.unreadable else "")
