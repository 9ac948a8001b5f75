"""Swinging-door compression with an error bound: every omitted number lies within ±`error` of the straight line between
the kept numbers before and after it (within the rounding of doubles).

The last kept number is the hinge.  Every omitted number narrows the range of slopes allowed for a line from the hinge.
The newest number is held; it can end the line only while its own slope is in that range.  Refused: the common variant
that only checks whether the doors cross, since its lines can miss by more than `error`.
"""

import math
from dataclasses import dataclass

from gateway.shaping.sample import Sample, number_of


@dataclass(slots=True)
class SwingingDoor:
    error: float
    most_ticks: int
    """The longest time that the newest number is held, and the largest age of a kept one."""
    held: int = 0
    due_ticks: int | None = None
    _hinge: tuple[int, float, int] | None = None
    """Time, number and status of the last kept number."""
    _pending: Sample | None = None
    _steepest: float = math.inf
    _flattest: float = -math.inf
    _dropped: int = 0

    def take(self, sample: Sample, now_ticks: int) -> list[Sample]:
        number = number_of(sample)
        if number is None or not self._continues(sample):
            return self._pass(sample, number)
        if self._reaches(sample.ticks, number):
            self._leave_out()
            self._hold(sample, now_ticks)
            return []
        kept = self._let_go()
        if not self._reaches(sample.ticks, number):  # the hinge is too old, or the slope exceeds a double
            return [*kept, *self._pass(sample, number)]
        self._hold(sample, now_ticks)
        return kept

    def flush(self, now_ticks: int) -> list[Sample]:
        return self._let_go() if self.due_ticks is not None and now_ticks >= self.due_ticks else []

    def cut(self) -> list[Sample]:
        kept = self._let_go()
        self._hinge = None
        return kept

    def filtered(self) -> dict[str, int]:
        count, self._dropped = self._dropped, 0
        return {"swinging_door": count} if count else {}

    def _continues(self, sample: Sample) -> bool:
        """Whether the sample may continue the line: same status, later time."""
        if self._hinge is None or sample.status != self._hinge[2]:
            return False
        return sample.ticks > (self._pending.ticks if self._pending is not None else self._hinge[0])

    def _reaches(self, ticks: int, number: float) -> bool:
        """Whether a line from the hinge to this number is close enough to all omitted numbers."""
        assert self._hinge is not None
        if ticks - self._hinge[0] > self.most_ticks:
            return False
        low, high = self._slopes(self._pending) if self._pending is not None else (-math.inf, math.inf)
        slope = self._slope(ticks, number)
        return max(low, self._flattest) <= slope <= min(high, self._steepest) and math.isfinite(slope)

    def _slope(self, ticks: int, number: float) -> float:
        assert self._hinge is not None
        return (number - self._hinge[1]) / (ticks - self._hinge[0])

    def _slopes(self, sample: Sample) -> tuple[float, float]:
        number = number_of(sample)
        assert number is not None
        return self._slope(sample.ticks, number - self.error), self._slope(sample.ticks, number + self.error)

    def _leave_out(self) -> None:
        if self._pending is None:
            return
        low, high = self._slopes(self._pending)
        self._flattest, self._steepest = max(low, self._flattest), min(high, self._steepest)
        self._dropped += 1

    def _hold(self, sample: Sample, now_ticks: int) -> None:
        self._pending, self.held, self.due_ticks = sample, 1, now_ticks + self.most_ticks

    def _pass(self, sample: Sample, number: float | None) -> list[Sample]:
        kept = self._let_go()
        self._hinge = None if number is None else (sample.ticks, number, sample.status)
        return [*kept, sample]

    def _let_go(self) -> list[Sample]:
        """Keep the held number after all: it becomes the new hinge."""
        pending = self._pending
        self._pending, self.held, self.due_ticks = None, 0, None
        self._flattest, self._steepest = -math.inf, math.inf
        if pending is None:
            return []
        number = number_of(pending)
        assert number is not None
        self._hinge = (pending.ticks, number, pending.status)
        return [pending]
