"""The series of one server or one broker, bound to their labels once."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram


@dataclass(slots=True)
class SourceMetrics:
    """The series of one OPC UA server, bound."""

    connected: Gauge
    connects: Counter
    disconnects: Mapping[str, Counter]
    """By cause."""
    connect_failures: Mapping[str, Counter]
    """By cause."""
    subscriptions: Gauge
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
    batch_values: Histogram
    """Replaced when the server gets or loses its own histograms."""
    last_response: Gauge
    clock_offset: Gauge
    browse_seconds: Gauge
    items_good: Gauge
    items_failed: Gauge
    items_revised: Gauge
    refused_lookups: Gauge
    empty_selections: Gauge
    publishing_interval: Gauge
    keep_alive: Gauge
    polled: Gauge
    lost_cycles: Counter
    own_certificate_expires: Gauge
    server_certificate_expires: Gauge
    blemishes_accepted: Mapping[str, Counter]
    """By what is wrong."""


@dataclass(frozen=True, slots=True)
class SinkMetrics:
    """The series of one broker, bound."""

    connected: Gauge
    connects: Counter
    disconnects: Mapping[str, Counter]
    """By cause."""
    connect_failures: Mapping[str, Counter]
    """By cause."""
    recovered: Counter
    stored_values: Gauge
    stored_messages: Gauge
    delivered: Counter
    replayed: Counter
    left_behind: Gauge
    messages: Counter
    payload_bytes: Counter
    cloud_units: dict[int, Counter]
    """By the size of a unit in bytes."""
    dead_letters: Gauge
    held_messages: Gauge
    own_certificate_expires: Gauge
    broker_certificate_expires: Gauge
    credential_expires: Gauge
    throttled_seconds: Counter
    throttled: Counter
    repeated: Counter
    refused: Counter
    in_flight: Gauge
    ack_seconds: Histogram


def value_of(series: Counter | Gauge) -> float:
    """The present value of one bound series."""
    return next(sample.value for family in series.collect() for sample in family.samples)
