"""Which time a value has: its source may give none, its server neither."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from msgspec.structs import replace

from gateway.model import TimeSource
from gateway.opcua.codec.columns import Changes

Wish = Literal["source", "server", "source-only"]
"""See `SourceConfig.time_source`."""


def with_times(changes: Changes, wish: Wish, now_ticks: Callable[[], int]) -> Changes:
    """The same changes, each with a time in `source_ticks` and a word on whose it is; the same object where all times
    are the source's already.

    `now_ticks` is asked only for what has no time at all.  Ticks of 0 and below are no time (Part 6, 5.2.2.5).
    """
    given, server = changes.source_ticks, changes.server_ticks
    if not len(given) or wish == "source-only":
        return changes
    if wish == "source" and given[given.argmin()] > 0:
        return changes
    first, second = (given, server) if wish == "source" else (server, given)
    others = (TimeSource.SOURCE, TimeSource.SERVER) if wish == "source" else (TimeSource.SERVER, TimeSource.SOURCE)
    ticks = np.where(first > 0, first, second)
    sources = np.where(first > 0, *others).astype(np.uint8)
    without = ticks <= 0
    if without.any():
        ticks[without], sources[without] = now_ticks(), TimeSource.RECEIPT
    return replace(changes, source_ticks=ticks, time_sources=sources if sources.any() else None)
