"""One value with its time, status and tag, and the interface of a rule."""

import math
from typing import NamedTuple, Protocol

from gateway.model import IS_ARRAY, IS_MATRIX

FIRST_NUMBER, LAST_NUMBER, DOUBLE = 2, 11, 11
"""Built-in types SByte … Double (Part 6, 5.1.2)."""
LARGEST_EXACT = 2**53
"""Doubles do not hold larger integers exactly.  Such integers pass every rule."""
ARRAYS = IS_ARRAY | IS_MATRIX


class Sample(NamedTuple):
    ticks: int
    """Source time; server time or time of arrival where the source gave none."""
    value: object
    status: int
    type: int
    source_ticks: int
    server_ticks: int
    column: int = 0
    """0: a value of the tag itself; n: a value of the tag's n-th aggregate."""
    time_source: int = 0
    """Whose clock `source_ticks` is by: a `TimeSource`."""


class Rule(Protocol):
    """The rule for the values of one tag.  Every sample is passed, filtered (counted by rule) or held."""

    held: int
    """How many samples are neither passed nor filtered yet."""
    due_ticks: int | None
    """When `flush` will have something to do, on the clock of `now_ticks`."""

    def take(self, sample: Sample, now_ticks: int) -> list[Sample]:
        """Take a sample; return the samples that pass now, in order."""

    def flush(self, now_ticks: int) -> list[Sample]:
        """The samples that pass because no newer one came."""

    def cut(self) -> list[Sample]:
        """Pass every held sample, and start anew with the next one."""

    def filtered(self) -> dict[str, int]:
        """How many samples each rule filtered since the last call."""


def number_of(sample: Sample) -> float | None:
    """The value as a finite double, if it is a Good scalar number that a double holds exactly."""
    value = sample.value
    if sample.status >> 30 or not FIRST_NUMBER <= sample.type <= LAST_NUMBER:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if isinstance(value, float) or abs(value) <= LARGEST_EXACT else None
