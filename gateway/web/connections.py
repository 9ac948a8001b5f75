"""The connections of the HTTP port: few, each with a time limit, and never at the cost of the data.

A browser, a probe and Prometheus need a handful.  When `MOST` are open, a new one replaces the one that has been idle
for longest, so idle connections block no other client.  The last `KEPT` file descriptors of the process are reserved
for the data: a connection that would take one of them is closed at once.
"""

import asyncio
import errno
import resource
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

MOST = 64
"""The largest number of connections at the same time."""
HEAD_S = 10.0
"""How long the first request may take to be complete, from the start of the connection."""
IDLE_S = 75.0
"""How long a connection may be idle between requests, or take to read an answer."""
KEPT = 32
"""The number of file descriptors reserved for the data; at most half of those of the process."""
OVER_AFTER_S = 60.0
"""A shortage is over when no connection was closed for this long."""
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SHORT_S = 0.5
"""The pause when there is no descriptor for the next connection."""


@dataclass(slots=True)
class _Open:
    since_s: float
    limit: asyncio.TimerHandle
    is_busy: bool = False
    """Whether a request is being answered."""


class Connections:
    """The connections of one HTTP server."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: dict[asyncio.BaseTransport, _Open] = {}
        self._crowded = _Told("too many HTTP connections: the longest idle ones are closed", most=most)
        self._short = _Told("no file descriptors for HTTP: the remaining ones are reserved for the data")

    async def accept(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _SHORT:
                    self._short.happened()
                    self._close_idlest()
                    await asyncio.sleep(_SHORT_S)
                continue  # or the client has gone already
            if sock.fileno() >= _usable():
                sock.close()
                self._short.happened()
                self._close_idlest()
                continue
            self._short.look()
            await self._take(sock, protocol)

    async def _take(self, sock: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        for transport in [each for each in self._open if each.is_closing()]:
            self._forget(transport)
        if len(self._open) >= self._most:
            self._crowded.happened()
            self._close_idlest()
        else:
            self._crowded.look()
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(protocol, sock)
        except OSError:
            sock.close()
            return
        self._open[transport] = _Open(time.monotonic(), self._limit(transport, HEAD_S))

    def begins(self, transport: asyncio.BaseTransport | None) -> None:
        """A request is complete and is being answered."""
        self._again(transport, is_busy=True)

    def answered(self, transport: asyncio.BaseTransport | None) -> None:
        """The answer was sent or is being sent."""
        self._again(transport, is_busy=False)

    def let_go(self, transport: asyncio.BaseTransport) -> None:
        """Somebody else bounds this connection from now on, and closes it."""
        self._forget(transport)

    def _again(self, transport: asyncio.BaseTransport | None, *, is_busy: bool) -> None:
        if transport is None or (entry := self._open.get(transport)) is None:
            return
        entry.limit.cancel()
        self._open[transport] = _Open(time.monotonic(), self._limit(transport, IDLE_S), is_busy)

    def _limit(self, transport: asyncio.BaseTransport, within_s: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(within_s, self._close, transport)

    def _close_idlest(self) -> None:
        if self._open:
            self._close(min(self._open, key=lambda each: (self._open[each].is_busy, self._open[each].since_s)))

    def _close(self, transport: asyncio.BaseTransport) -> None:
        self._forget(transport)
        if isinstance(transport, asyncio.Transport):
            transport.abort()

    def _forget(self, transport: asyncio.BaseTransport) -> None:
        if (entry := self._open.pop(transport, None)) is not None:
            entry.limit.cancel()

    def close(self) -> None:
        """Close all connections."""
        for transport in tuple(self._open):
            self._close(transport)


class _Told:
    """A state that begins with an event and ends after a while without one.  Logs its beginning and its end."""

    def __init__(self, text: str, **more: object) -> None:
        self._text, self._more = text, more
        self._log = structlog.get_logger(__name__.rpartition(".")[0])
        self._times = 0
        self._latest_s = 0.0

    def happened(self) -> None:
        self.look()
        self._times += 1
        self._latest_s = time.monotonic()
        if self._times == 1:
            self._log.warning(self._text, **self._more)

    def look(self) -> None:
        if self._times and time.monotonic() - self._latest_s > OVER_AFTER_S:
            self._log.info(f"no longer: {self._text}", closed=self._times)
            self._times = 0


def _usable() -> int:
    """The first file descriptor that is not for HTTP."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit - min(KEPT, limit // 2)
