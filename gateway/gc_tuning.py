"""Shorter pauses of the garbage collector: a full collection stops everything while it looks at every object.

Measured with 2 000 variables: 140 000 objects, most of them the classes of the OPC UA library, 70 to 130 ms per
collection.  Everything else waits, and the slowest hundredth of the values shows it.  Nearly all these objects live as
long as the process.  So once everything is connected, `gc.freeze` takes them out of the collector, which then looks
only at later objects.  A frozen object is still freed when its last reference goes; only frozen cycles stay, once.

The interpreter delays a full collection until the new objects are a quarter of the survivors of the last one.  So it
must see that nothing survived (the second `gc.collect`).  Otherwise it waits for a quarter of all frozen objects, and
until then every lost connection leaves some hundred objects behind.  Measured: 50 KiB per connection.

What the start needed for a while (requests, responses, the tree that was browsed) is free then, but malloc keeps it
where something that stays lies behind it.  It is told once to give back whole pages: 11 of 202 MiB with 100 000
variables.
"""

import asyncio
import ctypes
import gc
from collections.abc import Sequence
from time import monotonic

from gateway.link import Link

SETTLED_S = 5.0
"""The tables and first values exist this long after the last peer has connected."""
LONGEST_S = 60.0
"""The longest wait for peers that are away."""
LOOK_EVERY_S = 0.25


async def spare_the_collector(
    links: Sequence[Link], settled_s: float = SETTLED_S, longest_s: float = LONGEST_S
) -> None:
    """Wait until every link is up for `settled_s` (at most `longest_s`), then collect once and freeze all objects.

    What is free goes back to the system, where the C library knows how.
    """

    def settled() -> bool:
        return all(link.is_up and link.since_s >= settled_s for link in links)

    until_s = monotonic() + longest_s
    while not settled() and monotonic() < until_s:  # noqa: ASYNC110 - waits for time, not for an event
        await asyncio.sleep(min(LOOK_EVERY_S, settled_s))
    gc.collect()
    gc.freeze()
    gc.collect()
    _give_back()


def _give_back() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        trim(0)
