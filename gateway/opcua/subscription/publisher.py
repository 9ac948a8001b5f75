"""PublishRequests: several wait at the server, and acknowledgements travel with the next one.

Each request occupies a slot until the values of its response are durable, so the amount received but not stored is
bounded.  The number of slots grows while the server answers all requests at once, which means that it has more to send,
and shrinks again.
"""

import asyncio
import sys
from collections import deque

from asyncua import ua

from gateway.errors import Unavailable
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.publish_channel import Acknowledgements, PublishChannel
from gateway.opcua.session.session import Session
from gateway.opcua.subscription.turns import Turns, turns, wake

_Arrival = tuple[Acknowledgements, bytes] | BaseException | None

MOST_REQUESTS = 64
"""The limit of the automatic growth; a configuration may ask for more."""
_RESULT = slice(16, 20)
"""The position of the ServiceResult in a response whose node id has four bytes."""
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
        """How many requests the server accepts, as far as known."""
        self._extra = 0
        self._answered = 0
        """Responses since the last request was sent."""
        self._inbox: deque[_Arrival] = deque()
        self._waiter: asyncio.Future[bool] | None = None
        self._turns: Turns | None = None
        self._alarm: asyncio.TimerHandle | None = None
        """Rings when a wait may be over.  It stays from one wait to the next, since nearly all end before."""
        self._alarm_at_s = self._until_s = 0.0
        self._acks: list[tuple[int, int]] = []

    @property
    def is_idle(self) -> bool:
        """Whether no request waits at the server, so that it cannot send anything."""
        return self._channel is None or not self._channel.waiting

    @property
    def has_arrived(self) -> bool:
        """Whether `receive` would return at once."""
        return bool(self._inbox)

    def acknowledge(self, subscription: int, sequence: int) -> None:
        """This notification is durable.  The next request acknowledges it."""
        self._acks.append((subscription, sequence))

    def fill(self, requests: int) -> None:
        """Send requests until `requests` are outstanding; more while the server uses them up, never more than it
        accepts.  While the server uses only some of them up, the rest are sent when half are left: a write that wakes
        the server costs as much as the work on a small response, so one write carries several.

        Raises `Unavailable` when the socket is closed and all its responses were received.
        """
        if not self._session.is_open and self._inbox:
            return
        channel = self._channel or self._opened()
        unread, waiting = len(self._inbox), channel.waiting
        if not self._extra and waiting > (min(requests, self._allowed) - unread) // 2:
            return
        if not waiting and self._answered >= requests:
            self._extra = min(max(1, 2 * self._extra), max(0, MOST_REQUESTS - requests))
        elif self._extra and waiting > self._answered:
            self._extra -= 1
        self._answered = 0
        wanted = min(requests + self._extra, self._allowed) - unread
        if waiting >= wanted:
            return
        with peer_errors("ask for values", self._session.where):
            acks, self._acks = self._acks, []
            channel.request(wanted - waiting, acks)

    def _opened(self) -> PublishChannel:
        self._channel = PublishChannel(self._session.protocol, self._arrived, self.fail)
        return self._channel

    def fail(self, error: BaseException) -> None:
        """Raise this error to the receiver, after the responses that have arrived."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._put(error)

    def wake(self) -> None:
        """Let `receive` return None, so that the caller can do other work."""
        self._put(None)

    async def receive(self, timeout_s: float) -> bytes | None:
        """The next response in the order of arrival.  None: woken, or the server returned a request without content.

        Raises `Unavailable` when the link breaks, `Silent` after `timeout_s` without a response.
        """
        if not self._inbox and not await self._wait(timeout_s) and not self._inbox:
            raise Silent(f"{self._session.where} has been silent for {timeout_s:.1f} s")
        arrival = self._inbox.popleft()
        if arrival is None:
            return None
        if isinstance(arrival, BaseException):
            with peer_errors("receive values", self._session.where):
                raise arrival
        return self._checked(*arrival)

    async def _wait(self, timeout_s: float) -> bool:
        """Wait for a response.  Returns whether one arrived in time."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiter, self._until_s = waiter, loop.time() + timeout_s
        if self._alarm is None or self._alarm_at_s > self._until_s:
            self._set_alarm(loop)
        try:
            return await waiter
        finally:
            self._waiter = None

    def _set_alarm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at_s, self._alarm = self._until_s, loop.call_at(self._until_s, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = None
        if self._waiter is None:
            return
        if loop.time() < self._until_s:
            self._set_alarm(loop)
        else:
            wake(self._waiter, False)

    def _put(self, arrival: _Arrival) -> None:
        self._inbox.append(arrival)
        self._answered += 1
        if self._waiter is not None:
            wake(self._waiter, True)

    def _arrived(self, acks: Acknowledgements, body: bytes) -> None:
        self._inbox.append((acks, body))
        self._answered += 1
        if self._waiter is None:
            return
        if self._channel is None or not self._channel.waiting:
            wake(self._waiter, True)  # until then the server cannot send any more
        elif len(self._inbox) == 1:
            self._turns = self._turns or turns()
            self._turns.wake(self._waiter, self)

    def _checked(self, acks: Acknowledgements, body: bytes) -> bytes | None:
        """The response.  None: the server returned the request; its acknowledgements are sent again."""
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
