"""The messages of one broker on the disk, and the books of their delivery.

A message is in the outbox; or, if the broker refused it for now, in the refused outbox with all that follows in its
stream; or, if the broker refused it for good, among the dead letters.  A move is counted in the instant in which it is
durable.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

import structlog
from msgspec.structs import replace

from gateway.config import ReplayConfig
from gateway.delivery import Outcome, Verdict
from gateway.errors import Rejected
from gateway.logs import Sparing
from gateway.metrics import Metrics, SinkMetrics, Spread, value_of
from gateway.model import Message
from gateway.outbox import Buffer, Outbox, Position, Reader, Record
from gateway.pipeline.delivered import Delivered
from gateway.pipeline.pace import FIRST_BYTES
from gateway.pipeline.retained import Retained

HELD = Outcome(Verdict.LATER, "held", "an earlier message of its stream is still refused")

Books = Callable[[SinkMetrics, Mapping[str, Spread]], Delivered]
"""Opens the books of what the broker acknowledges."""


class BrokerQueue:
    """The three places of one broker's messages."""

    def __init__(
        self, broker: str, outbox: Buffer, refused: Outbox, dead: Outbox, metrics: Metrics, retry_refused_s: float,
        replay: ReplayConfig | None = None, expiry_s: float | None = None, delivered: Books = Delivered,
    ) -> None:  # fmt: skip
        self.broker = broker
        self.retry_refused_s = retry_refused_s
        self.replay = replay or ReplayConfig()
        self.expiry_s = expiry_s
        self.outbox, self.refused, self.dead = outbox, refused, dead
        self.reader: Position = outbox.reader(broker)
        self.refused_reader: Reader = refused.reader(broker)
        self.held: dict[str, float] = {}
        """Streams with refused messages, and when (monotonic, s) to offer these again.  What follows in such a stream
        is refused as well.  The times outlive the session, since some brokers cut the connection when they refuse."""
        self.released = asyncio.Event()
        """Set when the refused messages are to be offered at once."""
        self.why: dict[str, str] = {}
        """By stream: why its messages were refused last."""
        self.passed: set[str] = set()
        """Topics of retained messages that were sent ahead of the messages left behind."""
        self._lost_too: dict[tuple[str, int], int] = {}
        """Refused records that the outbox dropped while they were being moved: the number of values by stream and
        number.  They count as dropped, and are announced as such, so they are not offered again."""
        self.all_metrics = metrics
        self.metrics = metrics.for_sink(broker)
        self._delivered = delivered(self.metrics, metrics.delays(broker))
        self.retained = Retained(self.tell_forgotten)
        """What it was asked to retain."""
        self.allowance_bytes: float = FIRST_BYTES
        """How much of a backlog the next session may have in flight to begin with: what the latest has learned."""
        self.in_flight = 0
        """Messages without a verdict in the present session."""
        self._sparing = Sparing()
        self.log = structlog.get_logger("gateway.forward").bind(broker=broker)
        metrics.sink_begins(broker, self.stored_values)
        self.metrics.stored_values.set_function(lambda: self.stored_values)
        self.metrics.stored_messages.set_function(lambda: self.reader.messages + self.refused_reader.messages)
        self.metrics.held_messages.set_function(lambda: self.refused_reader.messages)
        self.metrics.dead_letters.set_function(lambda: self.dead.messages)
        self.metrics.left_behind.set_function(lambda: self.reader.left_behind)
        self.metrics.in_flight.set_function(lambda: self.in_flight)

    @property
    def stored_values(self) -> int:
        """Values on the disk that this broker has not acknowledged."""
        waiting = self.reader.values + self.refused_reader.values - sum(self._lost_too.values())
        return waiting + self._delivered.values

    @property
    def delivered_values(self) -> int:
        """Values that this broker acknowledged since the start."""
        return round(value_of(self.metrics.delivered)) + self._delivered.values

    @property
    def oldest_age_s(self) -> float:
        """The age of its oldest message on the disk; 0 where there is none."""
        return max(self.outbox.age_s_of(self.broker), self.refused.age_s_of(self.broker))

    @property
    def old_before_ns(self) -> int:
        """Records appended before this time (nanoseconds since 1970) belong to a backlog."""
        return time.time_ns() - int(self.replay.delay * 1e9)

    def to_send(self, record: Record) -> Message:
        """The message with its remaining expiry time.

        Retained messages do not expire: last values and descriptions.
        """
        if self.expiry_s is None or record.message.retain:
            return record.message
        left_s = self.expiry_s - max(0.0, time.time() - record.appended_at_ns / 1e9)
        return replace(record.message, expiry_s=max(1, int(left_s)))

    def count_delivered(self, record: Record, sent_at_s: float, replayed: bool = False) -> None:
        self._delivered.add(record.message, sent_at_s, replayed)

    def hold(self, message: Message, outcome: Outcome) -> None:
        """Put everything that follows in this message's stream into the refused outbox from now on."""
        self.why = {stream: why for stream, why in self.why.items() if stream in self.held}
        self.why[message.stream] = outcome.detail
        if message.stream not in self.held:
            self.held[message.stream] = time.monotonic() + self.retry_refused_s
            self._tell("refused for now", message, outcome, "kept on disk and offered again")

    def release(self) -> None:
        """Offer the refused messages again now, whenever their time would come."""
        now_s = time.monotonic()
        self.held.update(dict.fromkeys(self.held, now_s))
        self.released.set()

    async def set_aside(self, record: Record, outcome: Outcome, reader: Position) -> None:
        """Make a refusal durable.  In the same instant the record leaves the outbox that `reader` reads."""
        try:
            await self._keep(record, outcome, reader)
        except Rejected as rejected:  # too large for the refused outbox or the dead letters
            lost = Outcome(Verdict.NEVER, rejected.reason, f"{outcome.detail}; {rejected}")
            self._tell("refused, and too long to be kept", record.message, lost, "dropped")
            self._buried(record, lost, reader)
        if outcome is not HELD:
            self.metrics.refused.labels(self.broker, outcome.reason).inc()

    async def _keep(self, record: Record, outcome: Outcome, reader: Position) -> None:
        message = record.message
        if outcome.verdict is Verdict.LATER:
            stored = partial(self._moved, record)
            await self.refused.append([message], source=message.source, on_stored=stored)
        else:
            self._tell("refused for good", message, outcome, "kept as a dead letter")
            stored = partial(self._buried, record, outcome, reader)
            await self.dead.append([message], source=message.source, on_stored=stored)

    def _tell(self, what: str, message: Message, outcome: Outcome, next_: str) -> None:
        more = self._sparing.line(f"{what}: {outcome.reason}")
        if more is not None:
            tell = self.log.error if outcome.verdict is Verdict.NEVER else self.log.warning
            tell(what, topic=message.topic, reason=outcome.detail, next=next_, **more)

    def tell_forgotten(self) -> None:
        more = self._sparing.line("retained")
        if more is not None:
            self.log.warning(
                "more topics are retained than are remembered",
                next="a broker that loses its retained messages gets the others back",
                **more,
            )

    def _moved(self, record: Record) -> None:
        if not self.reader.ack(record.number):
            self._lost_too[record.message.stream, record.message.seq] = record.message.values

    def _buried(self, record: Record, outcome: Outcome, reader: Position) -> None:
        if reader.ack(record.number):  # otherwise it was dropped meanwhile, and counts as dropped
            self.all_metrics.dropped.labels(self.broker, outcome.reason).inc(record.message.values)

    def forget_lost(self, record: Record) -> bool:
        """Whether a refused record counts as dropped.  If so, forget it."""
        if self._lost_too.pop((record.message.stream, record.message.seq), None) is None:
            return False
        self.refused_reader.ack(record.number)
        return True
