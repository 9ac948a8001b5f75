"""One batch in so many, looked at on its way: encoded, stored, waiting on the disk, acknowledged by each broker.

A traced batch is known by the first message of each of its routes.  The three places that see it are subclasses and
functions put in where the gateway is composed, so a gateway without traces does not ask whether a batch is traced.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.metrics import SinkMetrics, Spread
from gateway.model import Batch, Message
from gateway.payload.splitting import NextSeq
from gateway.pipeline.collect import OnStored
from gateway.pipeline.delivered import Delivered
from gateway.pipeline.routing import Encoded, Routing, SourceRoutes
from gateway.telemetry.spans import Span

MOST_OPEN = 256
"""How many traced batches may be on their way; the oldest is forgotten for another."""
Key = tuple[str, int]
"""Stream and number of a message."""
Emit = Callable[[Span], None]


@dataclass(slots=True)
class _Trace:
    """One batch on its way."""

    id: int
    root: int
    began_ns: int
    encoded_ns: int
    values: int
    stored_ns: int = 0
    keys: tuple[Key, ...] = field(default=())


class Traces:
    """The batches that are looked at."""

    def __init__(self, one_in: int, emit: Emit, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._one_in = one_in
        self._emit = emit
        self._now_ns = now_ns
        self._ids = random.Random()
        self._seen = 0
        self._open: OrderedDict[Key, _Trace] = OrderedDict()
        self._not_stored: list[_Trace] = []

    def routes(self, source: str, routing: Routing) -> SourceRoutes:
        """The encoders of a source, one batch in so many of them looked at."""
        return _TracedRoutes(source, routing, self)

    def stored(self, then: OnStored) -> OnStored:
        """Sees what became durable, and passes it on."""

        def seen(encoded: Encoded) -> None:
            then(encoded)
            if self._not_stored:
                self._end_storing(encoded)

        return seen

    def delivered(self, metrics: SinkMetrics, delays: Mapping[str, Spread]) -> Delivered:
        """The books of a broker, which see what is acknowledged."""
        return _TracedDelivered(metrics, delays, self)

    @property
    def next_is_traced(self) -> bool:
        """Whether the next batch is one of those; asking counts it.  The first one of a process is."""
        self._seen += 1
        return self._seen % self._one_in == 1 or self._one_in == 1

    def encoded(self, source: str, began_ns: int, values: int, keys: tuple[Key, ...]) -> None:
        """A batch is encoded: what began then ends now."""
        if not keys:
            return
        trace = _Trace(self._ids.getrandbits(128) or 1, self._new_id(), began_ns, self._now_ns(), values, keys=keys)
        for key in keys:
            self._open[key] = trace
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
        self._not_stored = [*self._not_stored[-9:], trace]
        self._say(trace, "encode", began_ns, trace.encoded_ns, {"factory.source": source, "factory.values": values})

    def acknowledged(self, message: Message, sent_at_s: float) -> None:
        """A broker has acknowledged a message that was sent then (monotonic)."""
        trace = self._open.get((message.stream, message.seq))
        if trace is None:
            return
        now_ns = self._now_ns()
        sent_ns = max(trace.encoded_ns, now_ns - int(1e9 * (time.monotonic() - sent_at_s)))
        told: dict[str, str | int | float | bool] = {
            "messaging.system": "mqtt",
            "messaging.destination.name": message.topic,
            "messaging.message.body.size": len(message.payload),
            "factory.values": message.values,
        }
        if trace.stored_ns:
            self._say(trace, "wait", min(trace.stored_ns, sent_ns), sent_ns, {"factory.source": message.source})
        self._say(trace, "publish", sent_ns, now_ns, told, sends=True)

    def _end_storing(self, encoded: Encoded) -> None:
        made = {(m.stream, m.seq) for messages in (encoded.messages, *encoded.others.values()) for m in messages}
        for trace in [each for each in self._not_stored if not made.isdisjoint(each.keys)]:
            self._not_stored.remove(trace)
            trace.stored_ns = self._now_ns()
            self._say(trace, "store", trace.encoded_ns, trace.stored_ns, {"factory.values": trace.values})
            self._emit(Span(trace.id, trace.root, 0, "batch", trace.began_ns, trace.stored_ns,
                            attributes={"factory.values": trace.values}))  # fmt: skip

    def _say(
        self, trace: _Trace, name: str, began_ns: int, ended_ns: int,
        attributes: Mapping[str, str | int | float | bool], sends: bool = False,
    ) -> None:  # fmt: skip
        self._emit(Span(trace.id, self._new_id(), trace.root, name, began_ns, ended_ns, sends, attributes))

    def _new_id(self) -> int:
        return self._ids.getrandbits(64) or 1


class _TracedRoutes(SourceRoutes):
    def __init__(self, source: str, routing: Routing, traces: Traces) -> None:
        super().__init__(source, routing)
        self._name = source
        self._traces = traces

    def encode(self, batch: Batch, next_seq: NextSeq, encoded: Encoded) -> None:
        if not self._traces.next_is_traced:
            super().encode(batch, next_seq, encoded)
            return
        began_ns, before = time.time_ns(), {name: len(made) for name, made in encoded.others.items()}
        first = len(encoded.messages)
        super().encode(batch, next_seq, encoded)
        made = [encoded.messages[first:], *(each[before.get(name, 0) :] for name, each in encoded.others.items())]
        keys = tuple((messages[0].stream, messages[0].seq) for messages in made if messages)
        self._traces.encoded(self._name, began_ns, len(batch), keys)


class _TracedDelivered(Delivered):
    def __init__(self, metrics: SinkMetrics, delays: Mapping[str, Spread], traces: Traces) -> None:
        super().__init__(metrics, delays)
        self._traces = traces

    def add(self, message: Message, sent_at_s: float, replayed: bool) -> None:
        super().add(message, sent_at_s, replayed)
        self._traces.acknowledged(message, sent_at_s)
