"""What the peers of a running gateway share, and who is there."""

from dataclasses import dataclass, field
from functools import partial

from gateway.config import Config
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, SinkMetrics, SourceMetrics
from gateway.metrics.tags import TagGauges
from gateway.outbox import Outbox
from gateway.payload.splitting import Packets
from gateway.pipeline.broker_queue import BrokerQueue

DISTRIBUTION = "connected-factory"


@dataclass(slots=True)
class Gateway:
    """A running gateway, for whoever shows it.  What is in it changes with the configuration."""

    config: Config
    metrics: Metrics
    tags: TagGauges
    outbox: Outbox
    http: Link
    packets: Packets = field(default_factory=Packets)
    queues: dict[str, BrokerQueue] = field(default_factory=dict)
    """By broker."""
    sources: dict[str, Link] = field(default_factory=dict)
    brokers: dict[str, Link] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    """The peers that must be there for values to flow."""
    losers: list[Outbox] = field(default_factory=list)
    """What may lose messages after they were stored."""

    @property
    def stored_values(self) -> int:
        """Values on disk for the broker that is furthest behind."""
        return max((queue.stored_values for queue in self.queues.values()), default=0)

    @property
    def stream_prefix(self) -> str:
        """What the names of this gateway's streams begin with."""
        return f"{self.config.name}.{self.outbox.epoch}"

    @property
    def backoff(self) -> Backoff:
        """Between two attempts to connect, and between two lives of one peer."""
        return Backoff(self.config.reconnect.first, self.config.reconnect.most)

    def refresh(self) -> None:
        """After a peer came or went."""
        self.links[:] = (*self.sources.values(), *self.brokers.values())
        self.losers[:] = (self.outbox, *(queue.refused for queue in self.queues.values()))


def counted_link(name: str, address: str, bound: SourceMetrics | SinkMetrics) -> Link:
    """A link whose edges and failures show in the series of its peer."""
    return Link(name, address, partial(_edge, bound), partial(_failure, bound))


def count_drop(metrics: Metrics, broker: str, reason: str, values: int) -> None:
    metrics.dropped.labels(broker, reason).inc(values)


def _edge(bound: SourceMetrics | SinkMetrics, link: Link) -> None:
    bound.connected.set(link.is_up)
    if link.is_up:
        bound.connects.inc()


def _failure(bound: SourceMetrics | SinkMetrics, link: Link, cause: str) -> None:
    (bound.disconnects if link.is_up else bound.connect_failures)[cause].inc()
