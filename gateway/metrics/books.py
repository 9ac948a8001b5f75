"""Reads the books from the series, for display."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry


@dataclass(frozen=True, slots=True)
class Books:
    """Where every value is now.  `received + recovered = delivered + stored + filtered + dropped + not routed`."""

    received: int
    recovered: int
    delivered: int
    stored: int
    filtered: int
    dropped: int
    messages: int
    not_routed: int = 0
    """Values that this broker did not ask for."""

    @property
    def balance(self) -> bool:
        settled = self.delivered + self.filtered + self.dropped + self.not_routed
        return self.received + self.recovered == settled + self.stored


def books_of(registry: CollectorRegistry, sink: str) -> Books:
    """The books of one broker, over all sources."""
    wanted = {
        "gateway_values_received_total": "received",
        "gateway_values_recovered_total": "recovered",
        "gateway_values_delivered_total": "delivered",
        "gateway_outbox_values": "stored",
        "gateway_values_filtered_total": "filtered",
        "gateway_values_dropped_total": "dropped",
        "gateway_sink_messages_total": "messages",
        "gateway_values_not_routed_total": "not_routed",
    }
    sums = dict.fromkeys(wanted.values(), 0)
    for family in registry.collect():
        for sample in family.samples:
            if sample.name in wanted and sample.labels.get("sink", sink) == sink:
                sums[wanted[sample.name]] += round(sample.value)
    return Books(**sums)
