"""PublishRequests: several wait at the server, and acknowledgements ride on the next one.

There is a number of places for requests.  A place is free again only when the values of its response are durable, so
what the server has sent and we have not stored is bounded.  The number grows while the server answers all requests at
once, because then it has more to send than we ask for, and shrinks again.
"""

import asyncio
import sys
from collections import deque

from asyncua import ua

from gateway.errors import Unavailable
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.publish_channel import Acknowledgements, PublishChannel
from gateway.opcua.session.session import Session

_Arrival = tuple[Acknowledgements, bytes] | BaseException | None

MOST_REQUESTS = 64
"""How far the number of requests grows by itself; more are sent where more are asked for."""
_RESULT = slice(16, 20)
"""Where the ServiceResult stands in a response whose node id has four bytes."""
_BAD = 0x8000_0000
_TIMEOUT, _TOO_MANY = 0x800A_0000, 0x8078_0000


class Silent(Unavailable):
    """The server sent nothing for too long, not even a keep-alive."""


class Publisher:
    """The outstanding PublishRequests of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._channel: PublishChannel | None = None
        self._allowed = sys.maxsize
        """So many the server takes, as far as it has said."""
        self._extra = 0
        self._answered = 0
        """Since the last request was sent."""
        self._inbox: deque[_Arrival] = deque()
        self._waiter: asyncio.Future[bool] | None = None
        self._acks: list[tuple[int, int]] = []

    @property
    def is_idle(self) -> bool:
        """No request waits at the server, so it cannot send us anything."""
        return self._channel is None or not self._channel.waiting

    @property
    def has_arrived(self) -> bool:
        """`receive` would return at once."""
        return bool(self._inbox)

    def acknowledge(self, subscription: int, sequence: int) -> None:
        """This notification is durable; the server hears it with the next request."""
        self._acks.append((subscription, sequence))

    def fill(self, requests: int) -> None:
        """Send requests until so many are outstanding, more while the server uses them up, at most what it takes.

        Raises `Unavailable` when the socket is closed and everything it brought was received.
        """
        if not self._session.is_open and self._inbox:
            return
        channel = self._channel or self._opened()
        unread = len(self._inbox)
        if not channel.waiting and self._answered >= requests:
            self._extra = min(max(1, 2 * self._extra), max(0, MOST_REQUESTS - requests))
        elif self._extra and channel.waiting > self._answered:
            self._extra -= 1
        self._answered = 0
        wanted = min(requests + self._extra, self._allowed) - unread
        if channel.waiting >= wanted:
            return
        with peer_errors("ask for values", self._session.where):
            while channel.waiting < wanted:
                acks, self._acks = self._acks, []
                channel.request(acks)

    def _opened(self) -> PublishChannel:
        self._channel = PublishChannel(self._session.protocol, self._arrived, self.fail)
        return self._channel

    def fail(self, error: BaseException) -> None:
        """Whoever receives next gets this error, after what has arrived before it."""
        self._put(error)

    def wake(self) -> None:
        """Whoever receives next gets None, to look at something else."""
        self._put(None)

    async def receive(self, timeout_s: float) -> bytes | None:
        """The next response in the order of arrival; None when woken, or when the server gave a request back empty.

        Raises `Unavailable` when the link breaks, `Silent` after `timeout_s` without a word.
        """
        if not self._inbox and not await self._wait(timeout_s):
            raise Silent(f"{self._session.where} has been silent for {timeout_s:.1f} s")
        arrival = self._inbox.popleft()
        if arrival is None:
            return None
        if isinstance(arrival, BaseException):
            with peer_errors("receive values", self._session.where):
                raise arrival
        return self._checked(*arrival)

    async def _wait(self, timeout_s: float) -> bool:
        """Whether something arrived in time."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiter = waiter
        timer = loop.call_later(timeout_s, _set, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _put(self, arrival: _Arrival) -> None:
        self._inbox.append(arrival)
        self._answered += 1
        if self._waiter is not None:
            _set(self._waiter, True)

    def _arrived(self, acks: Acknowledgements, body: bytes) -> None:
        self._put((acks, body))

    def _checked(self, acks: Acknowledgements, body: bytes) -> bytes | None:
        """The response; None for one that was given back, whose acknowledgements are sent again."""
        result = int.from_bytes(body[_RESULT], "little") if body[:1] == b"\1" else 0
        if result < _BAD and body:
            return body
        if result not in (_TIMEOUT, _TOO_MANY) and body:
            with peer_errors("receive values", self._session.where):
                ua.StatusCode(ua.UInt32(result)).check()
        if result == _TOO_MANY and self._channel is not None:
            self._allowed = max(1, self._channel.waiting)
        self._acks[:0] = acks
        return None


def _set(waiter: "asyncio.Future[bool]", value: bool) -> None:
    if not waiter.done():
        waiter.set_result(value)
