"""When an alarm is active: functions of its input (Part 9, 5.8.18 to 5.8.24)."""

from dataclasses import dataclass
from typing import Protocol

from simulators.alarms import Discrepancy, Limits, OffNormal

EXTRA = {"HighHigh": 100, "LowLow": 100}
"""By how much a level is more severe than the alarm itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from one input."""

    active: bool
    levels: frozenset[str] = frozenset()
    severity: int = 0
    """Added to that of the alarm."""


class Rule(Protocol):
    """Judges an input at a simulated time."""

    def __call__(self, value: float, now_s: float) -> Verdict: ...


def rule_of(alarm: Limits | OffNormal | Discrepancy) -> Rule:
    if isinstance(alarm, OffNormal):
        return lambda value, now_s: Verdict(value != alarm.normal)
    return LimitRule(alarm) if isinstance(alarm, Limits) else DiscrepancyRule(alarm)


class LimitRule:
    """Exclusive: the worst limit that the input passes.  Non-exclusive: all of them."""

    def __init__(self, alarm: Limits) -> None:
        self._exclusive = alarm.kind == "exclusive_limit"
        self._over = [(n, at) for n, at in (("HighHigh", alarm.high_high), ("High", alarm.high)) if at is not None]
        self._under = [(n, at) for n, at in (("LowLow", alarm.low_low), ("Low", alarm.low)) if at is not None]

    def __call__(self, value: float, now_s: float) -> Verdict:
        passed = [n for n, at in self._over if value > at] or [n for n, at in self._under if value < at]
        levels = frozenset(passed[:1] if self._exclusive else passed)
        return Verdict(bool(passed), levels, EXTRA.get(passed[0], 0) if passed else 0)


class DiscrepancyRule:
    """Remembers since when the input has been away from its target."""

    def __init__(self, alarm: Discrepancy) -> None:
        self._alarm = alarm
        self._since_s: float | None = None

    def __call__(self, value: float, now_s: float) -> Verdict:
        if abs(value - self._alarm.target) <= self._alarm.tolerance:
            self._since_s = None
            return Verdict(False)
        if self._since_s is None:
            self._since_s = now_s
        return Verdict(now_s - self._since_s >= self._alarm.expected_time)
