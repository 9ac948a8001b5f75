"""The services of one connection to the load server that have to be cheap: subscriptions, items, publishing, browsing.

`Services` takes over these requests from asyncua's server, which keeps the secure channel, sessions and all else.
Every answer that is ready when a segment of requests has been read goes out in one write.
"""

import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tests.bench.chain import wire
from tests.bench.chain.browsing import Browsing, Tree
from tests.bench.chain.load import LoadSubscription, available
from tests.bench.chain.wire import NO_DIAGNOSTICS, Reader, Status

SHORTEST_MS = 10.0
MOST_REQUESTS = 200
"""PublishRequests that may wait in one session; then the oldest is sent back."""
VALUE, EVENTS = 13, 12
SERVER = b"\x00\xfd"
"""The NodeId of the Server object in two bytes."""


class Wire(Protocol):
    """How a connection sends."""

    def send(self, request_id: int, body: bytes) -> None:
        """Have it go out with the next flush."""

    def flush(self) -> None: ...

    @property
    def congested(self) -> bool:
        """Whether the client takes less than it asked for."""


@dataclass
class Book:
    """What all connections share: who serves which subscription, and which variables there are."""

    tree: Tree
    owners: "dict[int, Services]" = field(default_factory=dict)
    subscriptions: dict[int, LoadSubscription] = field(default_factory=dict)
    last: int = 0


@dataclass
class Services:
    """The subscriptions of one connection."""

    wire: Wire
    book: Book
    base: int
    """In front of the serial numbers of this server."""
    on_items: Callable[[LoadSubscription], None]
    """Called when a subscription has got items."""
    asks: deque[tuple[int, int, bytes]] = field(default_factory=deque)
    """PublishRequests that wait: request id, handle, results of their acknowledgements."""
    subscriptions: dict[int, LoadSubscription] = field(default_factory=dict)
    browsing: Browsing = field(init=False)
    sent_at_s: dict[int, float] = field(default_factory=dict)
    keep_alive_s: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.browsing = Browsing(self.book.tree)

    def answer(self, kind: int, request_id: int, data: bytes, at: int) -> bool:
        """Answer a request whose body goes on at `at`; false when it is none of ours."""
        reader = Reader(data, at)
        if (service := _SERVICES.get(kind)) is not None:
            service(self, request_id, reader.request_header(), reader)
            return True
        if (look := _LOOKS.get(kind)) is not None:
            handle, (response, looked) = reader.request_header(), look
            body = looked(self.browsing, reader)
            if body is not None:
                self.wire.send(request_id, wire.response(response, handle) + body)
            return body is not None
        return False

    # -- publishing

    def publish(self, request_id: int, handle: int, reader: Reader) -> None:
        results = []
        for _ in range(reader.count()):
            subscription, number = self.book.subscriptions.get(reader.u32()), reader.u32()
            results.append(subscription.acknowledge(number) if subscription else Status.SUBSCRIPTION_ID_INVALID)
        if not self.subscriptions:
            self.wire.send(request_id, wire.fault(handle, Status.NO_SUBSCRIPTION))
            return
        self.asks.append((request_id, handle, wire.codes(results)))
        if len(self.asks) > MOST_REQUESTS:
            request_id, handle, _ = self.asks.popleft()
            self.wire.send(request_id, wire.fault(handle, Status.TOO_MANY_PUBLISH_REQUESTS))

    def pump(self) -> None:
        """Send what is due and asked for."""
        now_ns = time.time_ns()
        for subscription in self.subscriptions.values():
            subscription.advance(now_ns)
            while self.asks and subscription.ready and not self.wire.congested:
                self._respond(subscription, subscription.take(now_ns), subscription.ready)

    def keep_alive(self) -> None:
        """Say something to those that have heard nothing for a keep-alive interval."""
        now_s = time.monotonic()
        for number, subscription in self.subscriptions.items():
            if self.asks and now_s - self.sent_at_s[number] > self.keep_alive_s[number]:
                self._respond(subscription, subscription.nothing(), False)

    def _respond(self, subscription: LoadSubscription, message: bytes, more: bool) -> None:
        request_id, handle, results = self.asks.popleft()
        self.sent_at_s[subscription.number] = time.monotonic()
        parts = (
            wire.response(829, handle), struct.pack("<I", subscription.number), available(subscription),
            b"\1" if more else b"\0", message, results,
        )  # fmt: skip
        self.wire.send(request_id, b"".join(parts))

    def republish(self, request_id: int, handle: int, reader: Reader) -> None:
        subscription, number = self.book.subscriptions.get(reader.u32()), reader.u32()
        message = subscription.again(number) if subscription else None
        body = wire.response(835, handle) + message if message else wire.fault(handle, Status.MESSAGE_NOT_AVAILABLE)
        self.wire.send(request_id, body)

    # -- subscriptions

    def create_subscription(self, request_id: int, handle: int, reader: Reader) -> None:
        interval_ms, lifetime, keep_alive, most = reader.take("dIII")
        interval_ms, keep_alive = max(interval_ms, SHORTEST_MS), min(max(1, int(keep_alive)), 1000)
        self.book.last += 1
        number = self.book.last
        self._take_over(LoadSubscription(number, self.base, int(most)), keep_alive * interval_ms / 1000)
        revised = struct.pack("<IdII", number, interval_ms, max(int(lifetime), 3 * keep_alive), keep_alive)
        self.wire.send(request_id, wire.response(790, handle) + revised)

    def _take_over(self, subscription: LoadSubscription, keep_alive_s: float) -> None:
        number = subscription.number
        self.book.subscriptions[number], self.book.owners[number] = subscription, self
        self.subscriptions[number], self.keep_alive_s[number] = subscription, keep_alive_s
        self.sent_at_s[number] = time.monotonic()

    def _give_up(self, number: int) -> float:
        del self.subscriptions[number]
        return self.keep_alive_s.pop(number)

    def delete_subscriptions(self, request_id: int, handle: int, reader: Reader) -> None:
        results = []
        for _ in range(reader.count()):
            number = reader.u32()
            known = number in self.subscriptions
            results.append(0 if known else Status.SUBSCRIPTION_ID_INVALID)
            if known:
                self._give_up(number)
                del self.book.subscriptions[number], self.book.owners[number]
        self.wire.send(request_id, wire.response(850, handle) + wire.codes(results))
        while self.asks and not self.subscriptions:
            request_id, handle, _ = self.asks.popleft()
            self.wire.send(request_id, wire.fault(handle, Status.NO_SUBSCRIPTION))

    def set_publishing_mode(self, request_id: int, handle: int, reader: Reader) -> None:
        reader.at += 1
        results = [
            0 if reader.u32() in self.subscriptions else Status.SUBSCRIPTION_ID_INVALID for _ in range(reader.count())
        ]
        self.wire.send(request_id, wire.response(802, handle) + wire.codes(results))

    def transfer(self, request_id: int, handle: int, reader: Reader) -> None:
        numbers = [reader.u32() for _ in range(reader.count())]
        results = []
        for number in numbers:
            subscription = self.book.subscriptions.get(number)
            if subscription is None:
                results.append(struct.pack("<Ii", Status.SUBSCRIPTION_ID_INVALID, -1))
                continue
            self._take_over(subscription, self.book.owners[number]._give_up(number))
            results.append(struct.pack("<I", 0) + available(subscription))
        body = struct.pack("<i", len(results)) + b"".join(results) + NO_DIAGNOSTICS
        self.wire.send(request_id, wire.response(844, handle) + body)

    # -- items

    def create_items(self, request_id: int, handle: int, reader: Reader) -> None:
        subscription = self.subscriptions.get(reader.u32())
        if subscription is None:
            self.wire.send(request_id, wire.fault(handle, Status.SUBSCRIPTION_ID_INVALID))
            return
        reader.at += 4
        results = [self._create_item(subscription, reader) for _ in range(reader.count())]
        body = struct.pack("<i", len(results)) + b"".join(results) + NO_DIAGNOSTICS
        self.wire.send(request_id, wire.response(754, handle) + body)
        self.on_items(subscription)

    def _create_item(self, subscription: LoadSubscription, reader: Reader) -> bytes:
        """One MonitoredItemCreateRequest; what is no variable of the load is granted and silent, or refused."""
        node, attribute = reader.node_id(), reader.u32()
        reader.skip_text()
        reader.at += 2
        reader.skip_text()
        reader.at += 4
        client, sampling_ms = reader.take("Id")
        reader.skip_extension()
        queue = reader.u32()
        reader.at += 1
        variable, status = self.book.tree.numbers.get(node), 0
        if variable is not None and attribute == VALUE:
            subscription.add(variable, int(client))
        elif attribute != EVENTS and node != SERVER and node[0] not in (0, 1):
            status = Status.NODE_ID_UNKNOWN
        self.book.last += 1
        return struct.pack("<IIdI3s", status, self.book.last, max(sampling_ms, SHORTEST_MS), max(queue, 1), b"\0\0\0")

    def delete_items(self, request_id: int, handle: int, reader: Reader) -> None:
        """Granted; the load goes on to the items it had, so that its numbers stay whole."""
        reader.at += 4
        results = [0 for _ in range(reader.count()) if reader.u32()]
        self.wire.send(request_id, wire.response(784, handle) + wire.codes(results))


_Service = Callable[[Services, int, int, Reader], None]
PUBLISH = 826
_SERVICES: dict[int, _Service] = {
    PUBLISH: Services.publish,
    832: Services.republish,
    787: Services.create_subscription,
    847: Services.delete_subscriptions,
    799: Services.set_publishing_mode,
    841: Services.transfer,
    751: Services.create_items,
    781: Services.delete_items,
}
"""By the number of the request's binary encoding."""
_LOOKS: dict[int, tuple[int, Callable[[Browsing, Reader], bytes | None]]] = {
    527: (530, Browsing.browse),
    533: (536, Browsing.browse_next),
    631: (634, Browsing.read),
}
"""Request → response, and what makes its body."""
