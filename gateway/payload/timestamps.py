"""OPC UA ticks as RFC 3339 text: UTC, all seven digits (100 ns)."""

from datetime import datetime, timedelta
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from gateway.model import TICKS_PER_SECOND

TIME_SOURCES = ("source", "server", "receipt")
"""What messages call each `TimeSource`."""
_EPOCH = datetime(1601, 1, 1)
LAST_TICKS = 2_650_467_743_999_999_999
"""9999-12-31T23:59:59.9999999Z: Part 6 (5.4.2.6) limits all later times to it."""

MANY = 20
"""From this number on, a column costs less than single texts."""


def texts_of(ticks: NDArray[np.int64]) -> list[str]:
    """`2026-11-21T10:00:00.1234567Z` for each row.

    The part down to the second is formatted once per distinct second, because the values of one response rarely span
    two. The digits behind it come from tables, because formatting a number takes longer than two look-ups.
    """
    if len(ticks) < MANY:
        return [text_of(each) for each in ticks.tolist()]
    seconds, fractions = np.divmod(_clipped(ticks), TICKS_PER_SECOND)
    upper, lower = np.divmod(fractions, 1000)
    tens, ends = _tables()
    first = int(seconds[0])
    if (seconds == first).all():
        prefix = _prefix(first)
        return [prefix + tens[u] + ends[v] for u, v in zip(upper.tolist(), lower.tolist(), strict=True)]
    distinct, where = np.unique(seconds, return_inverse=True)
    prefixes = [_prefix(s) for s in distinct.tolist()]
    return [
        prefixes[w] + tens[u] + ends[v] for w, u, v in zip(where.tolist(), upper.tolist(), lower.tolist(), strict=True)
    ]


def framed_bytes_of(ticks: NDArray[np.int64], before: bytes, behind: bytes) -> list[bytes]:
    """The same as ASCII, each between two texts: one table of characters for all rows, with the digits as columns."""
    if len(ticks) < MANY:
        return [b"%b%b%b" % (before, text_of(each).encode(), behind) for each in ticks.tolist()]
    seconds, fractions = np.divmod(_clipped(ticks), TICKS_PER_SECOND)
    start = len(before) + len(_prefix(0))
    first = int(seconds[0])
    if (seconds == first).all():
        rows = np.empty((len(ticks), start + 8 + len(behind)), np.uint8)
        rows[:, :start] = np.frombuffer(before + _prefix(first).encode(), np.uint8)
    else:
        distinct, where = np.unique(seconds, return_inverse=True)
        heads = b"".join(before + _prefix(second).encode() for second in distinct.tolist())
        rows = np.empty((len(ticks), start + 8 + len(behind)), np.uint8)
        rows[:, :start] = np.frombuffer(heads, np.uint8).reshape(len(distinct), start)[where]
    upper, lower = np.divmod(fractions, 1000)
    tens, ends = _digits()
    rows[:, start : start + 4] = tens[upper]
    rows[:, start + 4 : start + 7] = ends[lower]
    rows[:, start + 7 :] = np.frombuffer(b"Z" + behind, np.uint8)
    texts: list[bytes] = rows.view(f"S{rows.shape[1]}").ravel().tolist()
    return texts


def text_of(ticks: int) -> str:
    """The same for one instant."""
    second, fraction = divmod(min(max(ticks, 0), LAST_TICKS), TICKS_PER_SECOND)
    return f"{_prefix(second)}{fraction:07d}Z"


def _clipped(ticks: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.minimum(np.maximum(ticks, 0), LAST_TICKS)  # `clip` asks first what the type can hold


@lru_cache(maxsize=1024)
def _prefix(second: int) -> str:
    """The text down to the second; cached, because consecutive messages share seconds."""
    return (_EPOCH + timedelta(seconds=second)).isoformat() + "."


@cache
def _tables() -> tuple[list[str], list[str]]:
    """The first four digits of a fraction, and the last three with the zone."""
    return [f"{n:04d}" for n in range(10_000)], [f"{n:03d}Z" for n in range(1000)]


@cache
def _digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The same digits as characters: 10 000 rows of four, 1000 rows of three."""
    tens = b"".join(b"%04d" % n for n in range(10_000))
    ends = b"".join(b"%03d" % n for n in range(1000))
    return np.frombuffer(tens, np.uint8).reshape(10_000, 4), np.frombuffer(ends, np.uint8).reshape(1000, 3)
