"""Every series the gateway exposes, named and described in one place.

Children are bound once (`for_source`, `for_sink`) and counted per batch, never per value.  Labels come from the
configuration or from small fixed sets, so their number is bounded.  The books, in values:

    received + recovered = delivered + stored + filtered + dropped

at every scrape and for every broker (`sink`); `recovered` is what an earlier run left on disk for it.  A value counts
as received when it is durable and its fate is known; what a rule holds for a while (`held`) is not in the books yet,
and what a rule makes of several values (`derived`) counts as received like them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client import disable_created_metrics as _disable_created_metrics

DROP_REASONS = (
    "outbox_full",
    "expired",
    "corrupt",
    "unencodable",
    "payload_invalid",
    "too_large",
    "topic_invalid",
    "refused",
)
"""Why a value that was received is not delivered: the values of the `reason` label."""
FILTER_RULES = ("deadband", "rate_limit", "swinging_door", "aggregate")
"""Which rule held a value back: the values of the `rule` label."""

DELAY_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
ACK_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SYNC_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class SourceMetrics:
    """The series of one OPC UA server, bound."""

    connected: Gauge
    connects: Counter
    received: Counter
    filtered: Mapping[str, Counter]
    """By rule."""
    derived: Counter
    held: Gauge
    good: Counter
    uncertain: Counter
    bad: Counter
    notifications: Counter
    overflows: Counter
    sequence_gaps: Counter
    undecodable: Counter
    items_good: Gauge
    items_failed: Gauge
    own_certificate_expires: Gauge
    server_certificate_expires: Gauge


@dataclass(frozen=True, slots=True)
class SinkMetrics:
    """The series of one broker, bound."""

    connected: Gauge
    connects: Counter
    recovered: Counter
    stored_values: Gauge
    stored_messages: Gauge
    delivered: Counter
    messages: Counter
    payload_bytes: Counter
    refused: Counter
    in_flight: Gauge
    ack_seconds: Histogram
    delay_seconds: Histogram


class Metrics:
    """All series of one gateway, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        _disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left its annotation out
        self.registry = registry or CollectorRegistry()
        r = self.registry
        self.build = Info("gateway_build", "Version of the gateway and of Python.", registry=r)
        self.ready = Gauge("gateway_ready", "1 while every source and the broker are connected.", registry=r)
        self._recovered = _counter(
            r, "gateway_values_recovered", "Values found on disk at start, left by an earlier run.", "sink"
        )
        self._received = _counter(r, "gateway_values_received", "Values the server delivered, now on disk.", "source")
        self._filtered = _counter(
            r, "gateway_values_filtered", "Values held back by a rule of the configuration.", "source", "rule"
        )
        self._derived = _counter(
            r, "gateway_values_derived", "Values made by a rule, such as a mean; they count as received.", "source"
        )
        self._waiting = _gauge(
            r, "gateway_values_held", "Values that wait in a window or a rule; not yet received nor filtered.", "source"
        )
        self.dropped = _counter(
            r, "gateway_values_dropped", "Values received and then lost to a broker, by reason.", "sink", "reason"
        )
        self._delivered = _counter(r, "gateway_values_delivered", "Values the broker acknowledged.", "sink")
        self._stored_values = _gauge(
            r, "gateway_outbox_values", "Values on disk: received, not yet delivered to this broker.", "sink"
        )
        self._stored_messages = _gauge(r, "gateway_outbox_messages", "Messages on disk for this broker.", "sink")
        self.stored_bytes = Gauge("gateway_outbox_bytes", "Disk taken by the outbox.", registry=r)
        self.outbox_capacity = Gauge("gateway_outbox_capacity_bytes", "Disk the outbox may take.", registry=r)
        self.oldest_age = Gauge(
            "gateway_outbox_oldest_age_seconds", "Age of the oldest message in the outbox.", registry=r
        )
        self.commit_seconds = Histogram(
            "gateway_outbox_commit_seconds",
            "Time to make one group commit durable.",
            buckets=SYNC_BUCKETS_S,
            registry=r,
        )
        self._bind_families(r)

    def _bind_families(self, r: CollectorRegistry) -> None:
        self._source_connected = _gauge(
            r, "gateway_source_connected", "1 while the OPC UA server is connected.", "source"
        )
        self._source_connects = _counter(r, "gateway_source_connects", "Times the server was connected.", "source")
        self._values = _counter(
            r, "gateway_source_values", "Values read from the server, by quality.", "source", "quality"
        )
        self._notifications = _counter(r, "gateway_source_notifications", "Publish responses with data.", "source")
        self._overflows = _counter(
            r, "gateway_source_queue_overflows", "Values flagged: the server's queue ran over.", "source"
        )
        self._gaps = _counter(
            r, "gateway_source_sequence_gaps", "Notifications missing in the server's sequence.", "source"
        )
        self._undecodable = _counter(r, "gateway_source_undecodable", "Values that could not be decoded.", "source")
        self._items = _gauge(r, "gateway_source_monitored_items", "Variables subscribed, by state.", "source", "state")
        self._certificates = _gauge(
            r,
            "gateway_source_certificate_expires_timestamp_seconds",
            "Unix time at which a certificate ends: ours, or the server's.",
            "source",
            "certificate",
        )
        self._sink_connected = _gauge(r, "gateway_sink_connected", "1 while the broker is connected.", "sink")
        self._sink_connects = _counter(r, "gateway_sink_connects", "Times the broker was connected.", "sink")
        self._messages = _counter(r, "gateway_sink_messages", "Messages the broker acknowledged.", "sink")
        self._payload_bytes = _counter(
            r, "gateway_sink_payload_bytes", "Payload bytes the broker acknowledged.", "sink"
        )
        self.refused = _counter(
            r, "gateway_sink_refusals", "Publishes the broker refused, by reason code.", "sink", "reason"
        )
        self._in_flight = _gauge(r, "gateway_sink_in_flight", "Publishes waiting for their PUBACK.", "sink")
        self._ack_seconds = Histogram(
            "gateway_sink_ack_seconds", "From publish to PUBACK.", ["sink"], buckets=ACK_BUCKETS_S, registry=r
        )
        self._delay_seconds = Histogram(
            "gateway_delay_seconds",
            "From the oldest source timestamp of a message to its PUBACK.",
            ["source", "sink"],
            buckets=DELAY_BUCKETS_S,
            registry=r,
        )

    @property
    def delay_sum_s(self) -> float:
        """All delays from source to broker, added up."""
        return sum(
            sample.value
            for family in self._delay_seconds.collect()
            for sample in family.samples
            if sample.name == "gateway_delay_seconds_sum"
        )

    def for_source(self, name: str) -> SourceMetrics:
        return SourceMetrics(
            connected=self._source_connected.labels(name),
            connects=self._source_connects.labels(name),
            received=self._received.labels(name),
            filtered={rule: self._filtered.labels(name, rule) for rule in FILTER_RULES},
            derived=self._derived.labels(name),
            held=self._waiting.labels(name),
            good=self._values.labels(name, "good"),
            uncertain=self._values.labels(name, "uncertain"),
            bad=self._values.labels(name, "bad"),
            notifications=self._notifications.labels(name),
            overflows=self._overflows.labels(name),
            sequence_gaps=self._gaps.labels(name),
            undecodable=self._undecodable.labels(name),
            items_good=self._items.labels(name, "good"),
            items_failed=self._items.labels(name, "failed"),
            own_certificate_expires=self._certificates.labels(name, "own"),
            server_certificate_expires=self._certificates.labels(name, "server"),
        )

    def for_sink(self, name: str) -> "SinkMetrics":
        for reason in DROP_REASONS:
            self.dropped.labels(name, reason)
        return SinkMetrics(
            recovered=self._recovered.labels(name),
            stored_values=self._stored_values.labels(name),
            stored_messages=self._stored_messages.labels(name),
            connected=self._sink_connected.labels(name),
            connects=self._sink_connects.labels(name),
            delivered=self._delivered.labels(name),
            messages=self._messages.labels(name),
            payload_bytes=self._payload_bytes.labels(name),
            refused=self.refused,
            in_flight=self._in_flight.labels(name),
            ack_seconds=self._ack_seconds.labels(name),
            delay_seconds=self._delay_seconds,
        )


@dataclass(frozen=True, slots=True)
class Books:
    """Where every value is, now.  `received + recovered = delivered + stored + filtered + dropped`."""

    received: int
    recovered: int
    delivered: int
    stored: int
    filtered: int
    dropped: int
    messages: int

    @property
    def balance(self) -> bool:
        return self.received + self.recovered == self.delivered + self.stored + self.filtered + self.dropped


def books_of(registry: CollectorRegistry, sink: str) -> Books:
    """The books of one broker as the series show them, over all sources."""
    wanted = {
        "gateway_values_received_total": "received",
        "gateway_values_recovered_total": "recovered",
        "gateway_values_delivered_total": "delivered",
        "gateway_outbox_values": "stored",
        "gateway_values_filtered_total": "filtered",
        "gateway_values_dropped_total": "dropped",
        "gateway_sink_messages_total": "messages",
    }
    sums = dict.fromkeys(wanted.values(), 0)
    for family in registry.collect():
        for sample in family.samples:
            if sample.name in wanted and sample.labels.get("sink", sink) == sink:
                sums[wanted[sample.name]] += round(sample.value)
    return Books(**sums)


def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=registry)


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=registry)
