"""Every series that the gateway exposes, named and described in one place.

Label children are bound once (`for_source`, `for_sink`) and counted per batch, never per value.  Labels come from the
configuration or from small fixed sets, so their number is bounded.  The books, in values:

    received + recovered = delivered + stored + filtered + dropped + not routed

This holds at every scrape and for every broker (`sink`).  `recovered` are the values that an earlier run left on the
disk for this broker; `not routed` are those that it did not ask for (`tags`).  A value counts as received when it is
durable or filtered.  A value that a rule holds for a while (`held`) is not in the books yet.  A value that a rule
computes from several (`derived`) counts as received, too.
"""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Gauge, Info, ProcessCollector
from prometheus_client import disable_created_metrics as _disable_created_metrics

from gateway.errors import CAUSES
from gateway.metrics.books import Books, books_of
from gateway.metrics.bound import SinkMetrics, SourceMetrics, value_of
from gateway.metrics.commands import CommandMetrics
from gateway.metrics.series import Counts, Level, Levels, Spread, Spreads, gauge
from gateway.metrics.sources import FILTER_RULES, SourceFamilies

__all__ = [
    "DROP_REASONS",
    "FILTER_RULES",
    "Books",
    "CommandMetrics",
    "Level",
    "Metrics",
    "SinkMetrics",
    "SourceMetrics",
    "Spread",
    "books_of",
    "value_of",
]

DROP_REASONS = (
    "outbox_full",
    "expired",
    "corrupt",
    "payload_invalid",
    "too_large",
    "topic_invalid",
    "too_old",
    "refused",
)
"""Why a received value is not delivered: the values of the `reason` label."""
DELAY_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
ACK_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CLOUD_UNITS_BYTES = {"4k": 4096, "5k": 5120}
"""The units in which clouds charge for messages.  A message costs at least one unit."""
PAGES = ("metrics", "tags")
"""`/metrics` and `/metrics/tags`: the values of the `page` label."""
MOST_SOURCES = 100
"""The default for the number of sources with their own histograms."""
OTHER = "other"
"""The label of all other sources in histograms, and of those that are not configured any more."""
SYNC_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


class Metrics:
    """All series of one gateway, in their own registry."""

    def __init__(self, registry: CollectorRegistry | None = None, most_sources: int = MOST_SOURCES) -> None:
        _disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it
        self.registry = registry or CollectorRegistry()
        self._most_sources = most_sources
        self._sources: dict[str, SourceMetrics] = {}
        """The configured sources, in the order of their arrival."""
        self._shown: set[str] = set()
        """The sources with their own histograms."""
        self._delays: dict[str, Delays] = {}
        """By broker."""
        self._before: dict[str, float] = {}
        """By broker: values received, and not filtered, before it was configured."""
        r = self.registry
        self._bind_process(r)
        self._bind_books(r)
        self._families = SourceFamilies(r)
        self._bind_sinks(r)
        self.commands = CommandMetrics(r)
        """Of the section `commands`."""

    def _bind_process(self, r: CollectorRegistry) -> None:
        ProcessCollector(registry=r)
        self.build = Info("gateway_build", "Version of the gateway and of Python.", registry=r)
        self.reload_success = Gauge(
            "gateway_config_last_reload_success",
            "1: the configuration file is in use; 0: its last change was refused.",
            registry=r,
        )
        self.reloaded = Gauge(
            "gateway_config_last_reload_success_timestamp_seconds",
            "Unix time at which a configuration was last taken, at start or by a reload.",
            registry=r,
        )
        reloads = Counts(r, "gateway_config_reloads", "Reloads of the configuration, by result.", "result")
        self._reloads_taken, self._reloads_refused = reloads.labels("taken"), reloads.labels("refused")
        self.left_out = gauge(
            r,
            "gateway_series_left_out",
            "Sources (counted as `other`) or tags that a page leaves out because of its limit.",
            "page",
        )
        for page in PAGES:
            self.left_out.labels(page)
        self.ready = Gauge("gateway_ready", "1 while every source and the broker are connected.", registry=r)
        self.config_hash = Info("gateway_config_hash", "Hash of the configuration in use.", registry=r)
        self.started = Gauge("gateway_start_time_seconds", "Unix time at which the gateway was started.", registry=r)
        self.telemetry_exports = Counts(
            r, "gateway_telemetry_exports", "Exports to the OpenTelemetry collector, by result.", "signal", "result"
        )
        self.telemetry_dropped = Counts(
            r, "gateway_telemetry_dropped", "Lines and spans for which no room was left to wait.", "signal"
        )
        lags = Spreads(
            r,
            "gateway_event_loop_lag_seconds",
            "How late the event loop is, measured four times a second.",
            buckets=LAG_BUCKETS_S,
        )
        self.loop_lag = lags.labels()

    def _bind_books(self, r: CollectorRegistry) -> None:
        self._recovered = Counts(
            r, "gateway_values_recovered", "Values found on disk, left by an earlier run or by a fault.", "sink"
        )
        self.dropped = Counts(
            r, "gateway_values_dropped", "Values received and then lost to a broker, by reason.", "sink", "reason"
        )
        self.not_routed = Counts(
            r, "gateway_values_not_routed", "Values received that the broker did not ask for (`tags`).", "sink"
        )
        self._delivered = Counts(r, "gateway_values_delivered", "Values the broker acknowledged.", "sink")
        self._replayed = Counts(
            r, "gateway_values_replayed", "Values delivered from a backlog, later than `replay.delay`.", "sink"
        )
        self._left_behind = gauge(
            r, "gateway_outbox_left_behind_messages", "Messages on disk that newer ones may pass.", "sink"
        )
        self._stored_values = gauge(
            r, "gateway_outbox_values", "Values on disk: received, not yet delivered to this broker.", "sink"
        )
        self._stored_messages = gauge(r, "gateway_outbox_messages", "Messages on disk for this broker.", "sink")
        self.stored_bytes = Gauge("gateway_outbox_bytes", "Disk taken by the outbox.", registry=r)
        self.outbox_capacity = Gauge("gateway_outbox_capacity_bytes", "Disk the outbox may take.", registry=r)
        self.oldest_age = Gauge(
            "gateway_outbox_oldest_age_seconds", "Age of the oldest message in the outbox.", registry=r
        )
        commits = Spreads(
            r, "gateway_outbox_commit_seconds", "Time to make one group commit durable.", buckets=SYNC_BUCKETS_S
        )
        self.commit_seconds = commits.labels()
        self._imbalance = gauge(
            r,
            "gateway_books_imbalance_values",
            "received + recovered - delivered - stored - filtered - dropped - not routed: anything but 0 means that "
            "values were lost in silence.",
            "sink",
        )

    def _bind_sinks(self, r: CollectorRegistry) -> None:
        self._sink_connected = gauge(r, "gateway_sink_connected", "1 while the broker is connected, else 0.", "sink")
        self._sink_connects = Counts(r, "gateway_sink_connects", "Times the broker was connected.", "sink")
        self._sink_disconnects = Counts(
            r, "gateway_sink_disconnects", "Times the broker was lost, by cause.", "sink", "cause"
        )
        self._sink_connect_failures = Counts(
            r, "gateway_sink_connect_failures", "Attempts to connect that failed, by cause.", "sink", "cause"
        )
        self._throttled = Counts(
            r, "gateway_sink_throttled_seconds", "Time a backlog waited for `replay.max_rate`.", "sink"
        )
        self._throttled_messages = Counts(
            r, "gateway_sink_messages_throttled", "Messages that waited for the limits of the broker's profile.", "sink"
        )
        self._repeated = Counts(
            r, "gateway_sink_messages_repeated", "Publishes sent again: the broker may have received them.", "sink"
        )
        self._messages = Counts(r, "gateway_sink_messages", "Messages the broker acknowledged.", "sink")
        self._payload_bytes = Counts(r, "gateway_sink_payload_bytes", "Payload bytes the broker acknowledged.", "sink")
        self._cloud_units = Counts(
            r, "gateway_sink_cloud_units", "Acknowledged payloads in units that clouds charge for.", "sink", "unit"
        )
        self._dead_letters = gauge(r, "gateway_sink_dead_letter_messages", "Dead letters on disk.", "sink")
        self._held = gauge(
            r, "gateway_sink_refused_messages", "Messages on disk that the broker refuses for now.", "sink"
        )
        self._sink_certificates = gauge(
            r,
            "gateway_sink_certificate_expires_timestamp_seconds",
            "Unix time at which a certificate ends: ours for this broker, or the one it last showed; NaN without one.",
            "sink",
            "certificate",
        )
        self._sink_credentials = gauge(
            r,
            "gateway_sink_credential_expires_timestamp_seconds",
            "Unix time at which our password ends, if it is a token with an end; else NaN.",
            "sink",
        )
        self.refused = Counts(
            r, "gateway_sink_refusals", "Publishes the broker refused, by reason code.", "sink", "reason"
        )
        self._in_flight = gauge(r, "gateway_sink_in_flight", "Publishes waiting for their PUBACK.", "sink")
        self._ack_seconds = Spreads(
            r, "gateway_sink_ack_seconds", "From publish to PUBACK.", "sink", buckets=ACK_BUCKETS_S
        )
        self._delay_seconds = Spreads(
            r,
            "gateway_delay_seconds",
            "From the oldest source timestamp of a message to its PUBACK, where that is not more than 1 s ahead.",
            "source",
            "sink",
            buckets=DELAY_BUCKETS_S,
        )

    def imbalance_of(self, sink: str) -> float:
        """How many values the books of a broker miss; anything but 0 is a silent loss."""
        return self._unsettled_of(sink) - _sum(self._stored_values, sink)

    def _unsettled_of(self, sink: str) -> float:
        """How many values ought to be stored for a broker."""
        received, filtered = _sum(self._families.received) - self._before.get(sink, 0.0), _sum(self._families.filtered)
        recovered, delivered = _sum(self._recovered, sink), _sum(self._delivered, sink)
        return received + recovered - delivered - filtered - _sum(self.dropped, sink) - _sum(self.not_routed, sink)

    @property
    def delay_sum_s(self) -> float:
        """The sum of all delays from source to broker, in seconds."""
        return sum(each.sum for each in self._delay_seconds)

    def dropped_of(self, sink: str) -> dict[str, int]:
        """Values lost to a broker, by reason; without those of which there are none."""
        found = {reason: round(value_of(self.dropped.labels(sink, reason))) for reason in DROP_REASONS}
        return {reason: values for reason, values in found.items() if values}

    def config_in_use(self, digest: str) -> None:
        """Note the configuration in use, by its hash."""
        self.config_hash.info({"hash": digest})
        self.reload_success.set(1)
        self.reloaded.set_to_current_time()

    def reload_taken(self, digest: str) -> None:
        """Count a successful reload, whether or not it changed anything."""
        self.config_in_use(digest)
        self._reloads_taken.inc()

    def reload_refused(self) -> None:
        """Count a refused reload.  The earlier configuration stays in use."""
        self.reload_success.set(0)
        self._reloads_refused.inc()

    def sink_begins(self, name: str, found_values: int) -> None:
        """Start or continue the books of a broker, with `found_values` on the disk.

        Values beyond those that the books have as stored count as recovered.  At the start these are all values, with
        those found missing.  Later they are values that had left the books but are still on the disk, because the
        broker's places were opened again after a fault.
        """
        if name not in self._before:
            self._before[name] = _sum(self._families.received) - _sum(self._families.filtered)
        self._recovered.labels(name).inc(max(0.0, found_values - self._unsettled_of(name)))

    def source_ends(self, name: str) -> None:
        """Remove a source that is not configured any more: hide its state, keep its counts in the books."""
        self._sources.pop(name, None)
        self._forget({"source": name}, Levels, Spreads)
        self._shown.discard(name)
        self._share_out()

    def sink_ends(self, name: str) -> None:
        """Remove all series of a broker that is not configured any more."""
        self._before.pop(name, None)
        self._delays.pop(name, None)
        self._forget({"sink": name}, Gauge, Counts, Spreads)

    def _forget(
        self, labels: dict[str, str], *kinds: type[Gauge] | type[Counts] | type[Levels] | type[Spreads]
    ) -> None:
        for family in (*vars(self).values(), *vars(self._families).values()):
            if isinstance(family, kinds) and labels.keys() <= set(family._labelnames):
                family.remove_by_labels(labels)

    # -- histograms, which have many series: a limited number of sources has their own

    def keep_within(self, most_sources: int) -> None:
        """Change the number of sources with their own histograms."""
        self._most_sources = most_sources
        for name in [name for name in self._sources if name in self._shown][most_sources:]:
            self._forget({"source": name}, Spreads)
            self._shown.discard(name)
            self._sources[name].batch_values = self._families.batch_values.labels(OTHER)
        self._share_out()

    def _share_out(self) -> None:
        """Give free histograms to the sources without their own."""
        beyond = [name for name in self._sources if name not in self._shown]
        for name in beyond[: max(0, self._most_sources - len(self._shown))]:
            self._shown.add(name)
            self._sources[name].batch_values = self._families.batch_values.labels(name)
        self._tell_places()

    def _tell_places(self) -> None:
        for delays in self._delays.values():
            delays.clear()
        self.left_out.labels("metrics").set(len(self._sources) - len(self._shown))

    def delays(self, sink: str) -> "Delays":
        """The delays from each server to one broker.  The source may come from an earlier configuration."""
        found = self._delays.get(sink)
        if found is None:
            found = self._delays[sink] = Delays(partial(self._delay, sink))
        return found

    def _delay(self, sink: str, source: str) -> Spread:
        return self._delay_seconds.labels(source if source in self._shown else OTHER, sink)

    def for_source(self, name: str) -> SourceMetrics:
        """The series of one server, the same object until the source ends."""
        found = self._sources.get(name)
        if found is None:
            has_place = len(self._shown) < self._most_sources
            found = self._sources[name] = self._families.bound(name, name if has_place else OTHER)
            if has_place:
                self._shown.add(name)
            self._tell_places()
        return found

    def for_sink(self, name: str) -> "SinkMetrics":
        for reason in DROP_REASONS:
            self.dropped.labels(name, reason)
        self.not_routed.labels(name)
        self._imbalance.labels(name).set_function(lambda: self.imbalance_of(name))
        return SinkMetrics(
            recovered=self._recovered.labels(name),
            stored_values=self._stored_values.labels(name),
            stored_messages=self._stored_messages.labels(name),
            connected=self._sink_connected.labels(name),
            connects=self._sink_connects.labels(name),
            disconnects={cause: self._sink_disconnects.labels(name, cause) for cause in CAUSES},
            connect_failures={cause: self._sink_connect_failures.labels(name, cause) for cause in CAUSES},
            delivered=self._delivered.labels(name),
            replayed=self._replayed.labels(name),
            left_behind=self._left_behind.labels(name),
            messages=self._messages.labels(name),
            payload_bytes=self._payload_bytes.labels(name),
            cloud_units={size: self._cloud_units.labels(name, unit) for unit, size in CLOUD_UNITS_BYTES.items()},
            dead_letters=self._dead_letters.labels(name),
            held_messages=self._held.labels(name),
            own_certificate_expires=self._sink_certificates.labels(name, "own"),
            broker_certificate_expires=self._sink_certificates.labels(name, "broker"),
            credential_expires=self._sink_credentials.labels(name),
            throttled_seconds=self._throttled.labels(name),
            throttled=self._throttled_messages.labels(name),
            repeated=self._repeated.labels(name),
            refused=self.refused,
            in_flight=self._in_flight.labels(name),
            ack_seconds=self._ack_seconds.labels(name),
        )


class Delays(dict[str, Spread]):
    """Histograms by source, each looked up once."""

    def __init__(self, find: Callable[[str], Spread]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, source: str) -> Spread:
        found = self[source] = self._find(source)
        return found


def _sum(family: Counts | Gauge, sink: str = "") -> float:
    samples = (sample for metric in family.collect() for sample in metric.samples)
    return sum(s.value for s in samples if not sink or s.labels["sink"] == sink)
