"""OPC UA ticks as RFC 3339 text: UTC, all seven digits (100 ns)."""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from gateway.model import TICKS_PER_SECOND

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
LAST_TICKS = 2_650_467_743_999_999_999
"""9999-12-31T23:59:59.9999999Z: what Part 6 (5.4.2.6) makes of anything later."""


def texts_of(ticks: NDArray[np.int64]) -> list[str]:
    """`2026-11-21T10:00:00.1234567Z` for each row.

    The part down to the second is made once per distinct second: the values of one response rarely span two.
    """
    seconds, fractions = np.divmod(np.clip(ticks, 0, LAST_TICKS), TICKS_PER_SECOND)
    distinct, where = np.unique(seconds, return_inverse=True)
    prefixes = [(_EPOCH + timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%S.") for s in distinct.tolist()]
    if len(prefixes) == 1:
        prefix = prefixes[0]
        return [f"{prefix}{f:07d}Z" for f in fractions.tolist()]
    return [f"{prefixes[w]}{f:07d}Z" for w, f in zip(where.tolist(), fractions.tolist(), strict=True)]


def text_of(ticks: int) -> str:
    """The same for one instant."""
    return texts_of(np.array([ticks], dtype=np.int64))[0]
