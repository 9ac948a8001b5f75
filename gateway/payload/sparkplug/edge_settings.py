"""The settings of an edge node at one broker."""

from dataclasses import dataclass

from gateway.payload.sparkplug.own_metrics import Figures


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """What the sessions of an edge node need to know."""

    barrier_topic: str
    rebirth_interval_s: float
    qos: int = 0
    source_time: bool = False
    host_grace_s: float = 0.0
    """How long a row stays unconfirmed after the broker has read it, with a primary host."""
    facts: tuple[tuple[str, str], ...] = ()
    """Metrics of the edge node itself, which do not change."""
    figures: Figures = dict
    """Metrics of the edge node itself, which do."""
    node_interval_s: float = 0.0
    """How often these are looked at; 0: births alone have them."""
    compression: str = ""
    """`DEFLATE`, `GZIP` or nothing."""
