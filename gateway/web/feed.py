"""The feed of states: made once a second for all viewers, and only while there are any.

A viewer that does not read misses states, and is disconnected when it has not read for a while.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

MOST_VIEWERS = 256
EVERY_S = 1.0
BYTES_PER_S = 65_536
"""What a viewer gets at most: longer states come less often."""
FRESH_S = 0.5
"""A state that is not older than this answers a single question, too."""
STALLED_S = 30.0


@dataclass(slots=True)
class Viewer:
    """One connection that gets every state."""

    transport: asyncio.Transport
    gone: "asyncio.Future[None]"
    """Done when the connection is closed."""
    read_s: float
    """Monotonic time when it had read everything."""


class Feed:
    """The states of one gateway, as JSON.  `run` must run."""

    def __init__(self, make: Callable[[], Awaitable[bytes]], clock: Callable[[], float] = time.monotonic) -> None:
        self._make = make
        self._clock = clock
        self._viewers: dict[asyncio.Transport, Viewer] = {}
        self._watched = asyncio.Event()
        self._making = asyncio.Lock()
        self._latest = b""
        self._latest_s = float("-inf")

    async def latest(self) -> bytes:
        """The present state: that of the feed, or one made now."""
        async with self._making:
            if self._clock() - self._latest_s > FRESH_S:
                self._latest = await self._make()
                self._latest_s = self._clock()
            return self._latest

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    @property
    def is_full(self) -> bool:
        return len(self._viewers) >= MOST_VIEWERS

    async def show(self, transport: asyncio.Transport) -> None:
        """Write every state to a chunked answer whose first part has been written.  Returns when it is closed."""
        viewer = Viewer(transport, asyncio.get_running_loop().create_future(), self._clock())
        self._viewers[transport] = viewer
        self._watched.set()
        try:
            await viewer.gone
        finally:
            self._viewers.pop(transport, None)

    async def run(self) -> None:
        """Make and send states while there are viewers, until cancelled."""
        while True:
            if not self._viewers:
                self._watched.clear()
                await self._watched.wait()
            began_s = self._clock()
            chunk = chunk_of(await self.latest())
            for viewer in tuple(self._viewers.values()):
                self._send(viewer, chunk, began_s)
            every_s = max(EVERY_S, len(chunk) / BYTES_PER_S)
            await asyncio.sleep(max(0.0, every_s - (self._clock() - began_s)))

    def _send(self, viewer: Viewer, chunk: bytes, now_s: float) -> None:
        transport = viewer.transport
        if not transport.is_closing():
            if not transport.get_write_buffer_size():
                viewer.read_s = now_s
                transport.write(chunk)
            elif now_s - viewer.read_s > STALLED_S:
                transport.abort()
        if transport.is_closing() and not viewer.gone.done():
            viewer.gone.set_result(None)

    def close(self) -> None:
        """Disconnect all viewers."""
        for viewer in tuple(self._viewers.values()):
            viewer.transport.abort()
            if not viewer.gone.done():
                viewer.gone.set_result(None)


def event_of(state: bytes) -> bytes:
    """A state as a server-sent event."""
    return b"event: state\ndata: %b\n\n" % state


def chunk_of(state: bytes) -> bytes:
    """The same as one chunk of an HTTP answer (RFC 9112, 7.1)."""
    event = event_of(state)
    return b"%x\r\n%b\r\n" % (len(event), event)
