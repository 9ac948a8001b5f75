"""The time limit of opening a session, which begins anew while bytes move on the line.

On a slow line the handshake of TLS alone may need more than any time that one would wait for a silent broker.  So the
limit counts from the latest byte that the peer's machine has taken or sent.  A broker that drips bytes must not hold
the attempt for ever, since another address may be better: in all it has `MOST_TIMES` the limit.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType

MOST_TIMES = 12
"""How many times the limit an attempt may take when bytes move."""
_LOOKS = 4
"""How often within the limit the line is looked at."""
_COUNTS = struct.Struct("=QQ")
_COUNTS_AT = 120
"""Where `tcp_info` of Linux has `tcpi_bytes_acked` and `tcpi_bytes_received`."""


class Patience:
    """An async context with a time limit in seconds.  Raises `TimeoutError` at its end."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        """After an end: how long nothing moved, or how long it has taken in all."""
        self._sock: socket.socket | None = None
        self._moved = 0
        self._look: asyncio.TimerHandle | None = None
        self._timeout = asyncio.timeout(limit_s)

    def watch(self, sock: socket.socket) -> None:
        """From now on bytes of this TCP connection count, also when a library takes the socket over."""
        self._forget()
        with suppress(OSError):  # no descriptor left: then the limit stays as it is
            self._sock = sock.dup()
            self._moved = moved_bytes(self._sock)

    def _forget(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    async def __aenter__(self) -> "Patience":
        self._loop = asyncio.get_running_loop()
        self._ends_s = self._loop.time() + MOST_TIMES * self.limit_s
        await self._timeout.__aenter__()
        self._look_later()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._look is not None:
            self._look.cancel()
        self._forget()
        if self._timeout.when() == self._ends_s:
            self.limit_s *= MOST_TIMES
        await self._timeout.__aexit__(kind, error, traceback)

    def _look_later(self) -> None:
        self._look = self._loop.call_later(self.limit_s / _LOOKS, self._look_at_line)

    def _look_at_line(self) -> None:
        if self._timeout.expired():
            return
        if self._sock is not None and (moved := moved_bytes(self._sock)) > self._moved:
            self._moved = moved
            self._timeout.reschedule(min(self._loop.time() + self.limit_s, self._ends_s))
        self._look_later()


def moved_bytes(sock: socket.socket) -> int:
    """How many bytes the peer's machine has acknowledged and sent.  0: the system does not tell."""
    option: int | None = getattr(socket, "TCP_INFO", None)
    if option is None or sock.fileno() < 0:
        return 0
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, option, _COUNTS_AT + _COUNTS.size)
    except OSError:
        return 0
    return sum(_COUNTS.unpack_from(told, _COUNTS_AT)) if len(told) == _COUNTS_AT + _COUNTS.size else 0
