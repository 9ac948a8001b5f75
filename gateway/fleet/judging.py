"""What is wrong with one gateway, by what it told last and when."""

from collections.abc import Iterator
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from gateway.fleet.reading import Condition, Counted, Told

LATE_S = 60.0
"""A backlog that is older is told."""
RECENT_S = 900.0
"""A gap that is younger is told."""
SPARE_S = 5.0
"""How much later than two heartbeats a gateway may be heard."""
CLOCK_S = 30.0
"""How far a gateway's clock may be off."""


class Level(IntEnum):
    """How bad it is; exit codes and colours follow."""

    GOOD = 0
    WARNING = 1
    BAD = 2


class Fault(NamedTuple):
    level: Level
    text: str


def faults_of(told: Told, heard_s: float, now_s: float, clock_off_s: float) -> Iterator[Fault]:
    """What is wrong, the worst first.  `heard_s`: Unix time when the gateway was heard last."""
    if not told.online:
        yield Fault(Level.BAD, f"offline: {told.reason or 'it said so'}")
        return
    silent_s = now_s - heard_s
    if told.heartbeat_s is not None and silent_s > 2 * told.heartbeat_s + SPARE_S:
        yield Fault(Level.BAD, f"silent for {span(silent_s)}")
    if told.condition is not None:
        yield from _ills(told.condition, now_s)
    if abs(clock_off_s) > CLOCK_S:
        yield Fault(Level.WARNING, f"its clock is {span(abs(clock_off_s))} {'behind' if clock_off_s < 0 else 'ahead'}")


def _ills(now: Condition, now_s: float) -> Iterator[Fault]:
    if now.trouble:
        yield Fault(Level.BAD, f"nothing can be stored: {now.trouble}")
    if now.refused:
        yield Fault(Level.BAD, f"a configuration is refused: {now.refused}")
    if now.sources.all and not now.sources.up:
        yield Fault(Level.BAD, "no source is connected")
    elif (text := _away("source", now.sources)) is not None:
        yield Fault(Level.WARNING, text)
    if (text := _away("broker", now.brokers)) is not None:
        yield Fault(Level.WARNING, text)
    if now.backlog_age_s >= LATE_S:
        yield Fault(Level.WARNING, f"{span(now.backlog_age_s)} behind")
    if now.gap is not None and now.gap[0] is not None and now_s - now.gap[0].timestamp() < RECENT_S:
        yield Fault(Level.WARNING, f"a gap in {now.gap[1]}: {now.gap[2]}")
    if now.lost_values:
        yield Fault(Level.WARNING, f"{now.lost_values} values lost since its start")


def _away(kind: str, counted: Counted) -> str | None:
    if counted.up >= counted.all:
        return None
    return f"{counted.all - counted.up} of {counted.all} {kind}s away"


def span(seconds: float) -> str:
    """A duration for people: `41 s`, `12 min`, `3 h`, `2 d`."""
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def text_of(instant: datetime | None) -> str:
    """RFC 3339, UTC, seconds; empty: unknown."""
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z") if instant is not None else ""
