"""One value with what belongs to it, and what the rules ask of it."""

import math
from typing import NamedTuple, Protocol

from gateway.model import IS_ARRAY, IS_MATRIX

FIRST_NUMBER, LAST_NUMBER, DOUBLE = 2, 11, 11
"""Built-in types SByte … Double (Part 6, 5.1.2)."""
LARGEST_EXACT = 2**53
"""Integers beyond this are not exact as doubles: no rule judges them, they pass."""
ARRAYS = IS_ARRAY | IS_MATRIX


class Sample(NamedTuple):
    ticks: int
    """Source time; server time or the time of arrival where the source gave none."""
    value: object
    status: int
    type: int
    source_ticks: int
    server_ticks: int
    column: int = 0
    """0: a value of the tag itself; n: of the n-th aggregate of the tag."""


class Way(Protocol):
    """What happens to the values of one tag.  Every sample taken is passed, filtered (told by rule) or held."""

    held: int
    """How many samples wait for their fate."""
    due_ticks: int | None
    """When `flush` will have something to do, on the clock of `now_ticks`."""

    def take(self, sample: Sample, now_ticks: int) -> list[Sample]:
        """What passes now, in order."""

    def flush(self, now_ticks: int) -> list[Sample]:
        """What passes because nothing came."""

    def cut(self) -> list[Sample]:
        """Let go of all that is held; what comes next begins anew."""

    def filtered(self) -> dict[str, int]:
        """How many samples each rule held back since this was asked last."""


def number_of(sample: Sample) -> float | None:
    """The value as a finite double, where it is a Good scalar number that a double holds exactly."""
    value = sample.value
    if sample.status >> 30 or not FIRST_NUMBER <= sample.type <= LAST_NUMBER:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if isinstance(value, float) or abs(value) <= LARGEST_EXACT else None
