"""Connecting in portions: many sources that begin together do not browse and subscribe all at once.

A source has a place while it connects.  One that takes long gives its place to the next and goes on connecting without,
so a server that is slow, or silent, delays nobody.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 16
PATIENCE_S = 1.0
"""How long a source may hold its place, in seconds."""


class Admission:
    """Of one gateway."""

    def __init__(self, at_once: int = AT_ONCE, patience_s: float = PATIENCE_S) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._patience_s = patience_s

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place, and have it while inside, for as long as the patience lasts.  First come, first served."""
        await self._places.acquire()
        held = [self._places]

        def give_back() -> None:
            while held:
                held.pop().release()

        timer = asyncio.get_running_loop().call_later(self._patience_s, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()
