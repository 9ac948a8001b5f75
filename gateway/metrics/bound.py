"""The series of one server or one broker, bound to their labels once."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import Gauge

from gateway.metrics.series import Count, Counts, Level, Spread


@dataclass(slots=True)
class SourceMetrics:
    """The series of one OPC UA server, bound."""

    connected: Level
    connects: Count
    disconnects: Mapping[str, Count]
    """By cause."""
    connect_failures: Mapping[str, Count]
    """By cause."""
    subscriptions: Level
    received: Count
    filtered: Mapping[str, Count]
    """By rule."""
    derived: Count
    held: Level
    good: Count
    uncertain: Count
    bad: Count
    notifications: Count
    overflows: Count
    sequence_gaps: Count
    undecodable: Count
    batch_values: Spread
    """Replaced when the server gets or loses its own histograms."""
    last_response: Level
    clock_offset: Level
    browse_seconds: Level
    items_good: Level
    items_failed: Level
    items_revised: Level
    refused_lookups: Level
    empty_selections: Level
    publishing_interval: Level
    keep_alive: Level
    polled: Level
    lost_cycles: Count
    own_certificate_expires: Level
    server_certificate_expires: Level
    blemishes_accepted: Mapping[str, Count]
    """By what is wrong."""


@dataclass(frozen=True, slots=True)
class SinkMetrics:
    """The series of one broker, bound."""

    connected: Gauge
    connects: Count
    disconnects: Mapping[str, Count]
    """By cause."""
    connect_failures: Mapping[str, Count]
    """By cause."""
    recovered: Count
    stored_values: Gauge
    stored_messages: Gauge
    delivered: Count
    replayed: Count
    left_behind: Gauge
    messages: Count
    payload_bytes: Count
    cloud_units: dict[int, Count]
    """By the size of a unit in bytes."""
    dead_letters: Gauge
    held_messages: Gauge
    own_certificate_expires: Gauge
    broker_certificate_expires: Gauge
    credential_expires: Gauge
    throttled_seconds: Count
    throttled: Count
    repeated: Count
    refused: Counts
    """By broker and reason code."""
    in_flight: Gauge
    ack_seconds: Spread


def value_of(series: Count | Level | Gauge) -> float:
    """The present value of one bound series."""
    if not isinstance(series, Gauge):
        return series.value
    return next(sample.value for family in series.collect() for sample in family.samples)
