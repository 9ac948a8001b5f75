"""One producer of Kafka as a session.  librdkafka has threads of its own; one of ours brings its reports to the loop.

It is idempotent: acknowledged by all replicas in sync, each record once, and in the order of its partition through
retries and changes of leaders.  All of that holds within one session: a new one sends again what had no verdict, and
consumers know repeats by `stream` and `seq`, which are headers too.
"""

import asyncio
import math
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import gateway.kafka.verdicts as verdicts
from gateway.delivery import DELIVERED, LateStage, Outcome, Packet
from gateway.delivery.inflight import InFlight
from gateway.errors import Rejected
from gateway.model import Message

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer
    from confluent_kafka import Message as Record

POLL_S = 0.1
_OVERHEAD_BYTES = 100
"""What a record takes beside key, value and headers."""

Report = tuple[int, int, str, bool]
"""Number of a message, code of its error (0: none), its text, and whether the producer is broken for good."""


class KafkaSession:
    """The contract of `gateway/delivery`.  Made by `gateway/kafka/connect.py`."""

    window: int
    has_forgotten = False
    certificate_ends_s = math.nan

    def __init__(
        self, address: str, topic: str, window: int, most_bytes: int, ack_timeout_s: float,
        late: Callable[[], LateStage] | None,
    ) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self.address = address
        self.window, self.most_bytes = window, most_bytes
        self._topic = topic
        self.header = b""
        """What each payload begins with: the number of its schema."""
        self._late = late() if late is not None else None
        self._producer: Producer | None = None
        self._refusal: type[Exception] = RuntimeError
        """What librdkafka raises."""
        self.in_flight = InFlight(address, ack_timeout_s, self._hang_up)
        self.last_error = ""
        """What librdkafka said last of its connections."""
        self._is_over = threading.Event()
        self._reports: list[Report] = []
        self._last = 0

    def attach(self, producer: "Producer", refusal: type[Exception]) -> None:
        """Use it from now on, and bring its reports here.  The thread ends with the session."""
        self._producer, self._refusal = producer, refusal
        threading.Thread(target=self._listen, args=(producer,), name=f"Kafka {self.address}", daemon=True).start()

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        if self.in_flight.is_broken:
            return self.in_flight.failed()
        message, size = self._dressed(message)
        if size > self.most_bytes:
            return self.in_flight.settled(verdicts.too_large(size, self.most_bytes))
        if len(self.in_flight.open) >= self.window:
            raise RuntimeError(f"more than {self.window} messages are open")
        self._last += 1
        number, future = self._last, self.in_flight.add(self._last, size)
        if (outcome := self._produce(message, partial(self._reported, number))) is not None:
            self.in_flight.settle(number, outcome)
        return future

    def tell(self, message: Message) -> Outcome | None:
        if self.in_flight.is_broken:
            return None
        message, size = self._dressed(message)
        if size > self.most_bytes:
            return verdicts.too_large(size, self.most_bytes)
        return self._produce(message, None)

    async def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        """Commands do not come by Kafka; `gateway validate` says so."""
        raise Rejected("subscription_refused", "commands are not taken from Kafka")
        yield Packet("", b"")  # makes it a generator

    def arrived(self) -> Sequence[Packet]:
        return ()

    async def wait_closed(self) -> None:
        await self.in_flight.wait_broken()

    def _dressed(self, message: Message) -> tuple[Message, int]:
        """The message as it is sent, and its size."""
        if self._late is not None:
            message = self._late.dress(message)
        headers = sum(len(key) + len(value or b"") for key, value in _headers(message))
        return message, len(self.header) + len(message.payload) + headers + len(_key(message)) + _OVERHEAD_BYTES

    def _produce(self, message: Message, then: "Callable[[KafkaError | None, Record], None] | None") -> Outcome | None:
        """Hand it over to librdkafka.  Returns why that knows already that it is refused."""
        assert self._producer is not None
        if self._late is not None:
            self._late.sent(message)
        value = self.header + message.payload if self.header else message.payload
        try:
            self._producer.produce(self._topic, value, _key(message), headers=_headers(message), on_delivery=then)
        except BufferError:  # what is told without an acknowledgement has filled its queue
            self.in_flight.break_off(f"{self.address} takes nothing: the queue to it is full", cause="timeout")
        except self._refusal as error:  # it remembers what a broker said of the topic, until its next look
            refused: KafkaError = error.args[0]
            return verdicts.outcome_of(refused.code(), refused.str())
        return None

    # In the thread of the reports.

    def _listen(self, producer: "Producer") -> None:
        while not self._is_over.is_set():
            producer.poll(POLL_S)
            if self._reports:
                reports, self._reports = self._reports, []
                self._call(partial(self._settle, reports))
        producer.purge()
        producer.poll(0)

    def _reported(self, number: int, error: "KafkaError | None", record: "Record") -> None:
        told = (0, "", False) if error is None else (error.code(), error.str(), error.fatal())
        self._reports.append((number, *told))

    def failed(self, error: "KafkaError") -> None:
        """An error of the producer: of one connection, of all, or for good."""
        self.last_error = error.str()
        if error.name() == "_ALL_BROKERS_DOWN":
            self._call(partial(self._lost, f"{self.address} and all brokers it knows are away", "cut"))
        elif error.fatal():
            self._call(partial(self._lost, f"{self.address}: {error.str()}", "answer"))

    def _call(self, what: Callable[[], object]) -> None:
        if not self._is_over.is_set() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what)

    # In the event loop.

    def _lost(self, why: str, cause: str) -> None:
        more = f": {self.last_error}" if self.last_error and self.last_error not in why else ""
        self.in_flight.break_off(f"{why}{more}", was_cut=True, cause=cause)

    def _settle(self, reports: Sequence[Report]) -> None:
        for number, code, text, is_fatal in reports:
            if not code:
                self.in_flight.settle(number, DELIVERED)
            elif code == verdicts.TIMED_OUT:
                self._lost(f"{self.address} has not acknowledged a record in time", "timeout")
            elif is_fatal or code in verdicts.PURGED:
                self._lost(f"{self.address}: {text}", "answer")
            else:
                self.in_flight.settle(number, verdicts.outcome_of(code, text))

    def _hang_up(self) -> None:
        self._is_over.set()
        self._producer = None  # the thread has it, and is where its end may take time


def _key(message: Message) -> bytes:
    return (message.stream or message.topic).encode(errors="replace")


def _headers(message: Message) -> list[tuple[str, str | bytes | None]]:
    found: list[tuple[str, str | bytes | None]] = [("topic", message.topic.encode(errors="replace"))]
    if message.stream:
        found += [("stream", message.stream.encode(errors="replace")), ("seq", b"%d" % message.seq)]
    if message.content_type:
        found.append(("content-type", message.content_type.encode()))
    return [*found, *((key, value.encode(errors="replace")) for key, value in message.properties)]
