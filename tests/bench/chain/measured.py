"""The figures of one contestant: how it started, what one load cost it, how it got rid of a backlog."""

from dataclasses import dataclass, field


@dataclass
class Started:
    """From the start of the contestant's process."""

    subscribed_s: float
    """Until its last item was created."""
    all_values_s: float
    """Until every variable's first value had arrived."""
    cpu_s: float
    """Its processor time until then."""
    server_cpu_s: float
    """The load server's in the same time: what of the start is not the contestant's."""
    memory_mib: float
    initial: int
    """First values that arrived."""


@dataclass
class Measured:
    """One load on one contestant."""

    values: int
    wall_s: float
    """From the beginning of the load to the arrival of its last value."""
    cpu_s: float
    """User and system time of the contestant; and of the others, whose share says what they left it."""
    broker_cpu_s: float
    server_cpu_s: float
    subscriber_cpu_s: float
    responses: int
    messages: int
    mqtt_bytes: int
    memory_mib: float
    peak_mib: float
    """Since it was started."""
    load_average: float
    """Of the machine, before the load."""
    missing: int
    repeated: int
    steps_back: int
    """How often a value came after a later one."""
    problems: dict[str, int] = field(default_factory=dict)
    delays_ms: dict[str, float] = field(default_factory=dict)
    """From the source time to the arrival: p50, p90, p99, p999, max."""
    unacknowledged: int = 0
    """Notifications the contestant had not acknowledged to the server when all had arrived."""
    unknown_acknowledgements: int = 0

    @property
    def values_per_s(self) -> float:
        return self.values / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU of the contestant per value, microseconds: the same number as seconds per million values."""
        return self.cpu_s / self.values * 1e6 if self.values else 0.0

    @property
    def response_us(self) -> float:
        """CPU of the contestant per response, microseconds."""
        return self.cpu_s / self.responses * 1e6 if self.responses else 0.0

    @property
    def cores(self) -> float:
        return self.cpu_s / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def sound(self) -> bool:
        """Every value once, nothing wrong."""
        return not (self.missing or self.repeated or self.problems)


@dataclass
class Drained:
    """A backlog, from its making to its end."""

    backlog: int
    stored_per_s: float
    """Values into the outbox while the broker was away."""
    stored_cpu_us: float
    """CPU per value of that."""
    disk_bytes: float
    """Per value."""
    drained_s: float
    """From the first value of the backlog that arrived to the last."""
    drain_cpu_s: float
    """CPU of the contestant, live values included."""
    link_used: float
    """Share of the link's rate that was used while the backlog arrived; 0 without a limit."""
    live_ms: dict[str, float]
    """Delay of the live values while the backlog arrived."""
    after_ms: dict[str, float]
    """And when it was gone."""
    missing: int
    repeated: int
    problems: dict[str, int] = field(default_factory=dict)

    @property
    def drained_per_s(self) -> float:
        return self.backlog / self.drained_s if self.drained_s > 0 else 0.0

    @property
    def sound(self) -> bool:
        return not (self.missing or self.repeated or self.problems)
