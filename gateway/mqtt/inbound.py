"""The messages that arrive in one session: bounded, in order, acknowledged when the reader asks for more.

The Receive Maximum of MQTT 5 limits a broker to `WINDOW` unacknowledged messages.  MQTT 3.1.1 has no such limit, and
mosquitto 2.0.11 exceeds it after our first PUBACKs.  So the memory they take decides: a broker that sends more than
fits loses the session.  QoS 0 messages cannot be held back; they are dropped when more than a window waits.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace

from gateway.delivery import Packet
from gateway.delivery.inflight import InFlight
from gateway.errors import Rejected

WINDOW = 16
"""The largest number of messages that wait for our PUBACK."""
MOST_BYTES = 2**23
"""The memory for all arrivals together.  More ends the session."""
_OVERHEAD_BYTES = 500
"""The memory that a message takes besides topic and payload."""


class Inbox:
    """The arrivals of one session.  The session reports packets (`put`, `answered`) and sends the PUBACKs."""

    def __init__(
        self,
        in_flight: InFlight,
        subscribe: Callable[[Sequence[str]], object],
        acknowledge: Callable[[int], object],
    ) -> None:
        self._in_flight = in_flight
        self._subscribe = subscribe
        self._acknowledge = acknowledge
        self._is_asked = False
        self._codes: Sequence[int] | None = None
        """The broker's reason codes for our SUBSCRIBE."""
        self._waiting: deque[tuple[Packet, int]] = deque()
        """The messages with their packet ids; 0 for QoS 0."""
        self._taken: list[tuple[Packet, int]] = []
        """Those that the reader has."""
        self._unacknowledged: set[int] = set()
        self._bytes = 0
        self._missed = 0
        self._changed = asyncio.Event()

    @property
    def is_asked(self) -> bool:
        """Whether anything is subscribed to."""
        return self._is_asked

    def answered(self, codes: Sequence[int]) -> None:
        """Handle a SUBACK.  Raises `ValueError` when nothing has asked for it."""
        if not self._is_asked or self._codes is not None:
            raise ValueError("an answer to a subscription that nobody asked for")
        self._codes = codes
        self._changed.set()

    def put(self, packet: Packet, packet_id: int) -> None:
        """Handle a PUBLISH.  Raises `ValueError` when the broker must not have sent it."""
        if not self._is_asked:
            raise ValueError("a message, and nothing is subscribed to")
        if packet_id in self._unacknowledged:
            return  # a repeat, which 3.1.1 allows
        if not packet_id and len(self._waiting) >= WINDOW:
            self._missed += 1
            return
        if self._bytes + _size(packet) > MOST_BYTES:
            raise ValueError(f"more than fits, while {len(self._unacknowledged)} messages wait for our PUBACK")
        if packet_id:
            self._unacknowledged.add(packet_id)
        if self._missed:
            packet, self._missed = replace(packet, missed_before=self._missed), 0
        self._bytes += _size(packet)
        self._waiting.append((packet, packet_id))
        self._changed.set()

    async def arrivals(self, topics: Sequence[str], within_s: float) -> AsyncGenerator[Packet, None]:
        """See `delivery.Session`.  The broker must answer the subscription within `within_s`, from the answer to
        what was sent before it."""
        if self._is_asked:
            raise RuntimeError("a session subscribes once")
        self._is_asked = True
        self._in_flight.when_broken(lambda reason: self._changed.set())
        for topic, code in zip(topics, await self._ask(topics, within_s), strict=False):
            if code >= 0x80:
                detail = f"the broker refuses the subscription to {topic} (0x{code:02x})"
                raise Rejected("subscription_refused", detail)
        while True:
            await self._wait(lambda: bool(self._waiting))
            [packet] = self._take(1)
            yield packet
            for packet, packet_id in self._taken:
                self._bytes -= _size(packet)
                if packet_id and not self._in_flight.is_broken:
                    self._unacknowledged.discard(packet_id)
                    self._acknowledge(packet_id)
            self._taken.clear()

    def arrived(self) -> Sequence[Packet]:
        """See `delivery.Session`."""
        return self._take(len(self._waiting))

    def _take(self, count: int) -> list[Packet]:
        taken = [self._waiting.popleft() for _ in range(count)]
        self._taken += taken
        return [packet for packet, _ in taken]

    async def _ask(self, topics: Sequence[str], within_s: float) -> Sequence[int]:
        in_flight = self._in_flight
        settled = in_flight.verdicts
        before = settled + len(in_flight.open)  # all of it is answered first, which takes long on a slow line
        if not in_flight.is_broken:
            self._subscribe(topics)
        while self._codes is None:
            try:
                async with asyncio.timeout(within_s):
                    await self._wait(lambda: self._codes is not None)
            except TimeoutError:
                if settled < before and (in_flight.verdicts > settled or in_flight.is_slow):
                    settled = in_flight.verdicts
                    continue
                why = f"the broker has not answered a subscription for {within_s:g} s"
                in_flight.break_off(why, cause="timeout")
                await in_flight.wait_broken()
        return self._codes

    async def _wait(self, condition: Callable[[], bool]) -> None:
        """Wait for the condition.  Raises `Unavailable` once the session is broken, even if messages are left."""
        while not condition() or self._in_flight.is_broken:
            if self._in_flight.is_broken:
                await self._in_flight.wait_broken()
            self._changed.clear()
            await self._changed.wait()


def _size(packet: Packet) -> int:
    return len(packet.payload) + len(packet.topic) + _OVERHEAD_BYTES
