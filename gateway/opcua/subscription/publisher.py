"""PublishRequests: several wait at the server, and acknowledgements ride on the next one.

A request is sent only for a place that is free, and a place is free again only when what its response carried is
durable.  So what the server has sent and we have not stored is bounded by the number of requests.
"""

import asyncio

from asyncua import ua
from asyncua.common.utils import Buffer

from gateway.errors import Unavailable
from gateway.opcua.session.asyncua_edge import peer_errors, send_publish
from gateway.opcua.session.session import Session

_Arrival = asyncio.Future[Buffer] | BaseException | None
_Acks = list[ua.SubscriptionAcknowledgement]

MOST_REQUESTS = 1000
"""What the library sends without waiting for answers."""


class Silent(Unavailable):
    """The server says nothing although it should: no keep-alive in time."""


class Publisher:
    """The outstanding PublishRequests of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._allowed = MOST_REQUESTS
        self._waiting: dict[asyncio.Future[Buffer], _Acks] = {}
        self._inbox: asyncio.Queue[_Arrival] = asyncio.Queue()
        self._acks: _Acks = []

    @property
    def is_idle(self) -> bool:
        """No request waits at the server: it cannot tell us anything."""
        return all(sent.done() for sent in self._waiting)

    def acknowledge(self, subscription: int, sequence: int) -> None:
        """This notification is durable; the server hears it with the next request."""
        self._acks.append(ua.SubscriptionAcknowledgement(ua.UInt32(subscription), ua.UInt32(sequence)))

    def fill(self, requests: int) -> None:
        """Send requests until so many are outstanding, or as many as the server takes.

        Raises `Unavailable` when the socket is closed and everything it brought was received.
        """
        if not self._session.is_open and not self._inbox.empty():
            return
        while len(self._waiting) < min(requests, self._allowed):
            request = ua.PublishRequest()
            request.Parameters.SubscriptionAcknowledgements, self._acks = self._acks, []
            with peer_errors("ask for values", self._session.where):
                sent = send_publish(self._session.protocol, request)
            self._waiting[sent] = request.Parameters.SubscriptionAcknowledgements
            sent.add_done_callback(self._arrived)

    def fail(self, error: BaseException) -> None:
        """Whoever receives next gets this error, after what has arrived before it."""
        self._inbox.put_nowait(error)

    def wake(self) -> None:
        """Whoever receives next gets None: there is something to look at elsewhere."""
        self._inbox.put_nowait(None)

    async def receive(self, timeout_s: float) -> bytes | None:
        """The next response in the order of arrival; None when woken, or when the server gave a request back empty.

        Raises `Unavailable` when the link breaks, `Silent` after `timeout_s` without a word.
        """
        try:
            async with asyncio.timeout(timeout_s):
                arrival = await self._inbox.get()
        except TimeoutError as error:
            raise Silent(f"{self._session.where} has been silent for {timeout_s:.1f} s") from error
        if arrival is None:
            return None
        if isinstance(arrival, BaseException):
            raise arrival
        with peer_errors("receive values", self._session.where):
            return self._response(arrival)

    def _arrived(self, sent: asyncio.Future[Buffer]) -> None:
        if not sent.cancelled():
            sent.exception()  # looked at here, so that nobody complains about it when we leave
        self._inbox.put_nowait(sent)

    def _response(self, arrival: asyncio.Future[Buffer]) -> bytes | None:
        acks = self._waiting.pop(arrival)
        if arrival.cancelled():
            raise ConnectionError("the connection was closed")
        try:
            buffer = arrival.result()
            self._session.protocol.check_answer(buffer, "")
        except ua.uaerrors.BadTooManyPublishRequests:
            self._allowed = max(1, len(self._waiting))
            self._acks = acks + self._acks
            return None
        except ua.uaerrors.BadTimeout:
            self._acks = acks + self._acks
            return None
        return bytes(buffer)
