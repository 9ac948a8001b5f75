"""Filtering and shaping per tag, between the source and the format: the user's `shape:` rules.

    batch ─ scale ─► dead-band ─ rate limit ─┐
                  ─► swinging door ──────────┼─► names and fields ─► batches, and what to count for them
                  ─► window (aggregates) ────┘

The order is fixed.  A tag uses at most one of the three middle rules; the configuration refuses combinations.
Everything here is a function of batches and `now_ticks`: no I/O, no clock, no task.  The state is one small record per
tag with a rule, created anew for every tag table; `Shaper` holds it for one source.

Truthful values: values that are not Good, nulls, values that are not numbers, and changes of status pass dead-band,
swinging door and window unchanged and in order.  A rate limit passes every change of status.

The books: a value counts as received when it has passed or is filtered, so `received = passed + filtered`, with derived
rows counted on both sides, holds at every instant.  A value that still waits is *held*.  The number of held values is
stored with the source's checkpoint; if the process is killed meanwhile, the next one announces them as a gap.
"""

from gateway.shaping.shaper import Shaped, Shaper

__all__ = ["Shaped", "Shaper"]
