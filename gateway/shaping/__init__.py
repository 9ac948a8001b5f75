"""Filtering and shaping per tag, between the source and the format: what the user's `shape:` rules say.

    batch ─ scale ─► dead-band ─ rate limit ─┐
                  ─► swinging door ──────────┼─► names and fields ─► batches, and what to count for them
                  ─► window (aggregates) ────┘

The order is fixed.  A tag has at most one of the three middle ways; the configuration refuses others.  Everything here
is a function of batches and of `now_ticks`: no I/O, no clock, no task.  State is one small record per tag with a rule,
made anew for every tag table; `Shaper` holds it for one source.

Truthful values: a value that is not Good, a null, a value that is no number and a change of status pass dead-band,
swinging door and window as they are, in order; a rate limit lets every change of status pass.

The books: a value is counted as received when its fate is known, so `received = passed + filtered + derived rows'
own count` at every instant; what waits for its fate is `held`, travels as a count beside the source's mark, and is
announced as a gap if the process is killed while it holds something.
"""

from gateway.shaping.shaper import Shaped, Shaper

__all__ = ["Shaped", "Shaper"]
