"""Dead-band, then rate limit.

The dead-band compares with the last value that passed, so it notices a slow drift.  The rate limit passes the first
value of an interval and keeps the newest of the others.  The kept value passes when the interval ends without a newer
one, so the last value of a burst is never missing.  Refused: keeping only the first value, which would leave the
consumer with a stale one.  Any later value replaces the kept one, also a value that passes because of its status.
"""

from dataclasses import dataclass, field

from gateway.shaping.sample import Sample, number_of


@dataclass(frozen=True, slots=True)
class Band:
    """How far a number may move: a fixed part plus a share of the last value."""

    absolute: float = 0.0
    share: float = 0.0
    most_ticks: int | None = None
    """A value passes when the last passed one is this old."""

    def holds(self, last: float, number: float) -> bool:
        return abs(number - last) <= self.absolute + self.share * abs(last)


@dataclass(slots=True)
class DeadbandRule:
    band: Band | None
    interval_ticks: int = 0
    """At most one value per interval; 0: no limit."""
    held: int = 0
    due_ticks: int | None = None
    _last: Sample | None = None
    _status: int | None = None
    _slot_ticks: int | None = None
    _pending: Sample | None = None
    _filtered: dict[str, int] = field(default_factory=dict)

    def take(self, sample: Sample, now_ticks: int) -> list[Sample]:
        if self._is_within_band(sample):
            self._count("deadband")
            return []
        self._last = sample
        return self._limited(sample, now_ticks) if self.interval_ticks else [sample]

    def flush(self, now_ticks: int) -> list[Sample]:
        if self.due_ticks is None or now_ticks < self.due_ticks:
            return []
        assert self._slot_ticks is not None
        self._slot_ticks += self.interval_ticks
        return self._let_go()

    def cut(self) -> list[Sample]:
        self._last = self._status = self._slot_ticks = None
        return self._let_go()

    def filtered(self) -> dict[str, int]:
        counts, self._filtered = self._filtered, {}
        return counts

    def _is_within_band(self, sample: Sample) -> bool:
        band, last = self.band, self._last
        if band is None or last is None or sample.status != last.status:
            return False
        if band.most_ticks is not None and abs(sample.ticks - last.ticks) >= band.most_ticks:
            return False
        before, number = number_of(last), number_of(sample)
        return before is not None and number is not None and band.holds(before, number)

    def _limited(self, sample: Sample, now_ticks: int) -> list[Sample]:
        slot = self._slot_ticks
        is_free = slot is None or not 0 <= sample.ticks - slot < self.interval_ticks
        if slot is None or is_free or sample.status != self._status:
            self._supersede()
            self._slot_ticks, self._status = sample.ticks, sample.status
            return [sample]
        due = now_ticks + slot + self.interval_ticks - sample.ticks if self._pending is None else self.due_ticks
        self._supersede()
        self._pending, self.held, self.due_ticks = sample, 1, due
        return []

    def _supersede(self) -> None:
        if self._pending is not None:
            self._count("rate_limit")
        self._pending, self.held, self.due_ticks = None, 0, None

    def _let_go(self) -> list[Sample]:
        pending = [] if self._pending is None else [self._pending]
        self._pending, self.held, self.due_ticks = None, 0, None
        return pending

    def _count(self, rule: str) -> None:
        self._filtered[rule] = self._filtered.get(rule, 0) + 1
