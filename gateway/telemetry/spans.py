"""A span as this package hands it on: how long one hop of one batch took."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """One hop.  Times in nanoseconds since 1970, ids as OpenTelemetry has them."""

    trace: int
    """128 bits, the same for all hops of a batch."""
    id: int
    """64 bits."""
    parent: int
    """The id of the span around it; 0: none."""
    name: str
    began_ns: int
    ended_ns: int
    sends: bool = False
    """Whether it hands a message to a broker (kind PRODUCER)."""
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
