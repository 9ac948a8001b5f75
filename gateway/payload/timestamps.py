"""OPC UA ticks as RFC 3339 text: UTC, all seven digits (100 ns)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.model import TICKS_PER_SECOND

T = TypeVar("T", str, bytes)
_EPOCH = datetime(1601, 1, 1)
LAST_TICKS = 2_650_467_743_999_999_999
"""9999-12-31T23:59:59.9999999Z: what Part 6 (5.4.2.6) makes of anything later."""


def texts_of(ticks: NDArray[np.int64]) -> list[str]:
    """`2026-11-21T10:00:00.1234567Z` for each row.

    The part down to the second is made once per distinct second, because the values of one response rarely span two;
    the digits behind it come from tables, because formatting a number costs more than looking it up twice.
    """
    return _made_of(ticks, _prefix, *_tables())


def bytes_of(ticks: NDArray[np.int64]) -> list[bytes]:
    """The same as ASCII."""
    return _made_of(ticks, _prefix_bytes, *_tables_of_bytes())


def _made_of(ticks: NDArray[np.int64], prefix: Callable[[int], T], tens: list[T], ends: list[T]) -> list[T]:
    if not len(ticks):
        return []
    seconds, fractions = np.divmod(np.clip(ticks, 0, LAST_TICKS), TICKS_PER_SECOND)
    upper, lower = np.divmod(fractions, 1000)
    first = int(seconds[0])
    if (seconds == first).all():
        text = prefix(first)
        return [text + tens[u] + ends[v] for u, v in zip(upper.tolist(), lower.tolist(), strict=True)]
    distinct, where = np.unique(seconds, return_inverse=True)
    texts = [prefix(s) for s in distinct.tolist()]
    return [
        texts[w] + tens[u] + ends[v] for w, u, v in zip(where.tolist(), upper.tolist(), lower.tolist(), strict=True)
    ]


def text_of(ticks: int) -> str:
    """The same for one instant."""
    second, fraction = divmod(min(max(ticks, 0), LAST_TICKS), TICKS_PER_SECOND)
    return f"{_prefix(second)}{fraction:07d}Z"


@lru_cache(maxsize=1024)
def _prefix(second: int) -> str:
    """Everything down to the second; remembered, because messages of the same seconds follow each other."""
    return (_EPOCH + timedelta(seconds=second)).isoformat() + "."


@cache
def _tables() -> tuple[list[str], list[str]]:
    """The first four digits of a fraction, and the last three with the zone behind them."""
    return [f"{n:04d}" for n in range(10_000)], [f"{n:03d}Z" for n in range(1000)]


@lru_cache(maxsize=1024)
def _prefix_bytes(second: int) -> bytes:
    return _prefix(second).encode()


@cache
def _tables_of_bytes() -> tuple[list[bytes], list[bytes]]:
    tens, ends = _tables()
    return [text.encode() for text in tens], [text.encode() for text in ends]
