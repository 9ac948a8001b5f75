"""A token bucket: at most so much per second, with a burst.  Pure: the clock comes as an argument."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    """What may still be sent.  It may go below zero: what was sent all the same is paid back first."""

    per_s: float
    burst: float
    level: float = field(default=0.0, init=False)
    since_s: float = field(default=0.0, init=False)
    """When `level` was true."""

    def __post_init__(self) -> None:
        self.level = self.burst

    def fill(self, now_s: float) -> None:
        if now_s > self.since_s:
            self.level = min(self.burst, self.level + (now_s - self.since_s) * self.per_s)
            self.since_s = now_s

    def wait_s(self, amount: float, now_s: float) -> float:
        """How long until so much may be sent.  More than a burst may be sent when the bucket is full."""
        self.fill(now_s)
        missing = min(amount, self.burst) - self.level
        return missing / self.per_s if missing > 1e-9 else 0.0

    def take(self, amount: float, now_s: float) -> None:
        self.fill(now_s)
        self.level -= amount


def bucket(per_s: float | None, share: float = 1.0) -> Bucket | None:
    """A bucket whose second never holds more than `per_s`, however the other side cuts its seconds.

    The burst and what flows in within a second together keep below the limit.  None: there is no limit.
    """
    if per_s is None:
        return None
    burst = max(1.0, per_s * share * 0.05)
    return Bucket(max(per_s * share - burst, per_s * share * 0.5), burst)
