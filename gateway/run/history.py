"""Ten minutes of the past: what was delivered and what was on the disk, every two seconds.

It is kept always, since people look after something has happened; it costs some microseconds every two seconds.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

EVERY_S = 2.0
MINUTES = 10


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment."""

    unix_s: float
    delivered_per_second: float
    """Values, over all brokers, since the moment before."""
    stored_values: int


class History:
    """Made once for a running gateway."""

    def __init__(self) -> None:
        self.moments: deque[Moment] = deque(maxlen=int(MINUTES * 60 / EVERY_S))
        """Oldest first."""
        self._before: tuple[float, int] | None = None

    def note(self, delivered: int, stored: int, now_s: float, unix_s: float) -> None:
        """Note the values delivered since the start and those on the disk; `now_s` is monotonic."""
        if self._before is not None:
            past_s = max(1e-3, now_s - self._before[0])
            per_second = max(0.0, delivered - self._before[1]) / past_s
            self.moments.append(Moment(unix_s, round(per_second, 1), stored))
        self._before = now_s, delivered

    async def keep(self, figures: Callable[[], tuple[int, int]]) -> None:
        """Note the figures every two seconds, until cancelled."""
        while True:
            self.note(*figures(), time.monotonic(), time.time())
            await asyncio.sleep(EVERY_S)
