"""Three clocks: the wall clock, for people; the latest time it ever showed, for what must not go back; and an age
clock, which jumps of the wall clock do not move.

The age clock counts nanoseconds on the monotonic clock and continues after a restart from the stored value.  The time
between two runs comes from the wall clock if that is plausible: not before 2020 and not earlier than before.
"""

import time
from collections.abc import Callable

_PLAUSIBLE_NS = 1_577_836_800_000_000_000
"""2020-01-01: a wall clock before this was never set."""


class Clock:
    """`wall_ns` since 1970; `age_ns` since some fixed moment, never backwards."""

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._base = -monotonic()
        self._latest = 0

    def carry_on(self, age_ns: int, wall_ns: int, latest_ns: int) -> None:
        """Continue from the clocks that an earlier run stored last."""
        now = self._wall()
        self._latest = latest_ns
        away = now - wall_ns if wall_ns >= _PLAUSIBLE_NS and now > wall_ns else 0
        self._base = age_ns + away - self._monotonic()

    @property
    def wall_ns(self) -> int:
        return self._wall()

    @property
    def latest_ns(self) -> int:
        """The latest wall time seen, also in earlier runs.  It stands still while the wall clock is behind it."""
        self._latest = max(self._latest, self._wall())
        return self._latest

    @property
    def age_ns(self) -> int:
        return self._base + self._monotonic()
