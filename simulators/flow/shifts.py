"""Shifts: when people work, by the clock of the plant's time zone, in seconds of simulated time.

The instants are computed in UTC day by day.  A night shift is therefore an hour shorter or longer when daylight saving
begins or ends.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from simulators.plant import Shift
from simulators.plant.lines import DAYS


def working_spans(shifts: Sequence[Shift], zone: str, start: datetime) -> Iterator[tuple[float, float]]:
    """Begin and end of work, in seconds since `start`, in order, without end.  Adjoining spans are merged."""
    held: tuple[float, float] | None = None
    for span in _spans(shifts, ZoneInfo(zone), start):
        if held is not None and span[0] <= held[1]:
            held = held[0], max(held[1], span[1])
            continue
        if held is not None:
            yield held
        held = span


def _spans(shifts: Sequence[Shift], zone: ZoneInfo, start: datetime) -> Iterator[tuple[float, float]]:
    day = start.astimezone(zone).date() - timedelta(days=1)
    while True:
        today = [_span(shift, day, zone, start) for shift in shifts if DAYS[day.weekday()] in shift.days]
        yield from sorted((max(begin, 0.0), end) for begin, end in today if end > 0)
        day += timedelta(days=1)


def _span(shift: Shift, day: date, zone: ZoneInfo, start: datetime) -> tuple[float, float]:
    last = day if shift.end > shift.begin else day + timedelta(days=1)
    begin = datetime.combine(day, shift.begin, zone).astimezone(UTC)
    end = datetime.combine(last, shift.end, zone).astimezone(UTC)
    return (begin - start).total_seconds(), (end - start).total_seconds()
