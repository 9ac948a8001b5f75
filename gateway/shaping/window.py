"""Aggregates over windows of source time.

Windows lie side by side from the OPC UA epoch: `[n·w, (n+1)·w)`.  A window closes when a value of a later window comes,
or when no value came for the rest of the window plus a grace time, measured on our clock from the arrival of its first
value.  So a server whose clock is hours wrong is shaped like any other.  A window without values gives no rows.

Qualities are never mixed: a window takes only Good numbers of one status code.  Any other value closes it early and
passes unchanged under the tag's own name.  Rows carry the status of their values plus the bits of Part 4, 7.39.1:
*Calculated*, and *Partial* where the window closed early or its beginning is unknown.  Their time is the beginning of
the window (as in Part 13); if an earlier part of the window is already reported, it is the time of the first value.

The time-weighted mean holds each value until the next one (stepped), including the last value before the window, and
until the end of the window.  A value older than its predecessor passes unchanged.  A clock set back by more than a
window starts anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.shaping.sample import DOUBLE, Sample, number_of

CALCULATED, PARTIAL = 0x401, 0x404
"""InfoType DataValue with the aggregate bits (Part 4, 7.39.1)."""
CODE = 0xFFFF0000
UINT32 = 7


@dataclass(slots=True)
class Span:
    """The values of one window."""

    start_ticks: int
    end_ticks: int
    samples: list[Sample] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    carried: float | None = None
    """The number that was valid when the window began."""

    def weighted(self, until_ticks: int) -> float:
        """The time-weighted mean: each number counts until the next one."""
        times = [s.ticks for s in self.samples]
        numbers = self.numbers
        if self.carried is not None:
            times, numbers = [self.start_ticks, *times], [self.carried, *numbers]
        total = until_ticks - times[0]
        if total <= 0:
            return numbers[-1]
        ends = [*times[1:], until_ticks]
        return sum(n * ((end - begin) / total) for n, begin, end in zip(numbers, times, ends, strict=True))

    def mean(self) -> float:
        count = len(self.numbers)
        return sum(n / count for n in self.numbers)  # divided first: the sum of large numbers could overflow


_FUNCTIONS: Mapping[str, Callable[[Span, int], tuple[object, int]]] = {
    "min": lambda span, until: (min(s.value for s in span.samples), span.samples[-1].type),  # type: ignore[type-var]  # `take` admits only numbers
    "max": lambda span, until: (max(s.value for s in span.samples), span.samples[-1].type),  # type: ignore[type-var]  # `take` admits only numbers
    "mean": lambda span, until: (span.mean(), DOUBLE),
    "last": lambda span, until: (span.samples[-1].value, span.samples[-1].type),
    "count": lambda span, until: (len(span.samples), UINT32),
    "time_weighted_mean": lambda span, until: (span.weighted(until), DOUBLE),
}


@dataclass(slots=True)
class Window:
    length_ticks: int
    functions: tuple[str, ...]
    grace_ticks: int = 0
    held: int = 0
    due_ticks: int | None = None
    _span: Span | None = None
    _last: tuple[int, float, int, int] | None = None
    """Time, number, type and status code of the latest number."""
    _told_ticks: int = 0
    """The end of the window of which a part is already reported."""
    _used: int = 0

    def take(self, sample: Sample, now_ticks: int) -> list[Sample]:
        number = number_of(sample)
        if number is None:
            return [*self.cut(), sample]
        rows = self._before(sample)
        if self._last is not None and sample.ticks < self._last[0]:
            return [*rows, sample]
        self._add(sample, number, now_ticks)
        return rows

    def flush(self, now_ticks: int) -> list[Sample]:
        return self._close(early=False) if self.due_ticks is not None and now_ticks >= self.due_ticks else []

    def cut(self) -> list[Sample]:
        rows = self._close(early=True)
        self._last = None
        return rows

    def filtered(self) -> dict[str, int]:
        count, self._used = self._used, 0
        return {"aggregate": count} if count else {}

    def _before(self, sample: Sample) -> list[Sample]:
        """Close the windows that this sample does not belong to."""
        last = self._last
        if last is None:
            return []
        is_other = (sample.type, sample.status & CODE) != last[2:]
        if is_other or last[0] - sample.ticks > self.length_ticks:
            return self.cut()
        is_later = self._span is not None and sample.ticks >= self._span.end_ticks
        return self._close(early=False) if is_later else []

    def _add(self, sample: Sample, number: float, now_ticks: int) -> None:
        if self._span is None:
            self._span = self._opened(sample)
            self.due_ticks = now_ticks + self._span.end_ticks - sample.ticks + self.grace_ticks
        self._span.samples.append(sample)
        self._span.numbers.append(number)
        self.held += 1
        self._last = (sample.ticks, number, sample.type, sample.status & CODE)

    def _opened(self, sample: Sample) -> Span:
        start = sample.ticks - sample.ticks % self.length_ticks
        end = start + self.length_ticks
        if self._told_ticks == end:
            return Span(sample.ticks, end)
        return Span(start, end, carried=None if self._last is None else self._last[1])

    def _close(self, early: bool) -> list[Sample]:
        span, self._span = self._span, None
        if span is None:
            return []
        self._told_ticks = span.end_ticks
        self._used += self.held
        self.held, self.due_ticks = 0, None
        last = span.samples[-1]
        is_begun_late = span.carried is None and (span.samples[0].ticks % self.length_ticks) > 0
        status = last.status & CODE | CALCULATED | (PARTIAL if early or is_begun_late else 0)
        until = last.ticks if early else span.end_ticks
        return [
            Sample(
                span.start_ticks,
                *_FUNCTIONS[f](span, until)[:1],
                status,
                _FUNCTIONS[f](span, until)[1],
                span.start_ticks,
                last.server_ticks,
                column,
                last.time_source,
            )
            for column, f in enumerate(self.functions, 1)
        ]
