"""Rate limits: a token bucket for each variable or method of a rule.  Pure.

If the bucket is empty, a command is refused and not queued: a set-point written late is a different command.
"""

from collections.abc import Hashable

from gateway.commands.outcome import Refused
from gateway.config.commands import RateConfig

_MOST_BUCKETS = 100_000


class Buckets:
    """The token buckets.  All are full when the process starts."""

    def __init__(self) -> None:
        self._left: dict[Hashable, tuple[float, float]] = {}
        """Number of tokens, and the monotonic time in seconds at which it was valid."""

    def check(self, key: Hashable, rate: RateConfig | None, now_s: float) -> None:
        """Raises `Refused` if no token is left."""
        if rate is not None and self._tokens(key, rate, now_s) < 1.0:
            raise Refused("too_fast", f"the rule allows {rate.times} in {rate.within:g} s")

    def take(self, key: Hashable, rate: RateConfig | None, now_s: float) -> None:
        """Take a token.  Raises `Refused` if none is left."""
        if rate is None:
            return
        self.check(key, rate, now_s)
        if len(self._left) >= _MOST_BUCKETS and key not in self._left:
            raise Refused("too_fast", "too many variables are written at once")
        self._left[key] = (self._tokens(key, rate, now_s) - 1.0, now_s)

    def _tokens(self, key: Hashable, rate: RateConfig, now_s: float) -> float:
        left, at_s = self._left.get(key, (float(rate.times), now_s))
        return min(float(rate.times), left + (now_s - at_s) * rate.times / rate.within)
