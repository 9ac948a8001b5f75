"""The books read back from the series, for whoever shows them."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry


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
