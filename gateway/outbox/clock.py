"""Three clocks: the wall, for people; the latest that the wall ever showed, for what may not go back; and one for ages,
which no jump of the wall can move.

The age clock counts nanoseconds on the monotonic clock and is carried over a restart by what was stored.  The time
between two runs is taken from the wall, if the wall is plausible: not before 2020 and not earlier than it was.
"""

import time
from collections.abc import Callable

_PLAUSIBLE_NS = 1_577_836_800_000_000_000
"""2020-01-01: a wall clock before that has not been set."""


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
        """Go on from what an earlier run stored last."""
        now = self._wall()
        self._latest = latest_ns
        away = now - wall_ns if wall_ns >= _PLAUSIBLE_NS and now > wall_ns else 0
        self._base = age_ns + away - self._monotonic()

    @property
    def wall_ns(self) -> int:
        return self._wall()

    @property
    def latest_ns(self) -> int:
        """The latest that the wall has shown, in earlier runs too: stands still while the wall is behind it."""
        self._latest = max(self._latest, self._wall())
        return self._latest

    @property
    def age_ns(self) -> int:
        return self._base + self._monotonic()
