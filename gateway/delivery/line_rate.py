"""The capacity of the line to a broker, as slow sessions have shown it.  Kept from one session to the next.  Pure.

Where the progress of a message is invisible (a modem, a proxy or the broker's own buffer accepted it at once), the
gateway must know how long it may take.  A late publish that came through shows what the line carries.  One that did not
come through shows what it does not carry, and the next session waits twice as long.  A higher rate is believed at once,
because a broker that stood still for a while looks like a slow line.  Small messages show nothing: any line carries
them in time.
"""

from collections.abc import Callable
from dataclasses import dataclass

LEAST_BYTES_PER_S = 100.0
"""The lowest rate assumed, since a broker that acknowledges nothing looks like a slow line."""
FAST_BYTES_PER_S = 1_000_000.0
"""From this rate on nothing needs to be remembered."""
LEAST_MESSAGE_BYTES = 1024
"""Messages are not split to less than this, since their overhead would be larger than their values."""
SHARE_OF_TIMEOUT = 0.25
"""A message should need no more than this share of its time."""


@dataclass(slots=True)
class LineRate:
    """The rate of the line to one broker."""

    bytes_per_s: float | None = None
    """None: the line has never been slow."""
    on_change: Callable[[], object] = lambda: None
    """Called when the rate has changed."""

    def carried(self, size_bytes: int, took_s: float) -> None:
        """Note an amount that was acknowledged late, in a time in which the line always had data to carry."""
        if size_bytes >= LEAST_MESSAGE_BYTES:
            self._take(size_bytes / max(took_s, 1e-6))

    def stuck(self, size_bytes: int, waited_s: float) -> None:
        """Note a publish that was not acknowledged within this time."""
        if size_bytes >= LEAST_MESSAGE_BYTES:
            tried = size_bytes / max(waited_s, 1e-6)
            self._take(min(tried, self.bytes_per_s or tried) / 2)

    def flowed(self, size_bytes: int, took_s: float) -> None:
        """Note an amount that was acknowledged in time."""
        seen = size_bytes / max(took_s, 1e-6)
        if self.bytes_per_s is not None and seen > self.bytes_per_s * SHARE_OF_TIMEOUT:
            self._take(2 * max(seen, self.bytes_per_s))

    def _take(self, bytes_per_s: float) -> None:
        before = self.bytes_per_s
        self.bytes_per_s = max(LEAST_BYTES_PER_S, bytes_per_s) if bytes_per_s < FAST_BYTES_PER_S else None
        if self.bytes_per_s != before:
            self.on_change()

    def needs_s(self, size_bytes: int) -> float:
        """How much longer than on a fast line a message of this size may take, in seconds."""
        return 2 * size_bytes / self.bytes_per_s if self.bytes_per_s is not None else 0.0

    def most_bytes(self, timeout_s: float) -> int | None:
        """The longest message that the line carries well within the time, as a power of two, since tag lists are split
        anew for each size.  None: any size."""
        if self.bytes_per_s is None:
            return None
        most = max(LEAST_MESSAGE_BYTES, int(self.bytes_per_s * timeout_s * SHARE_OF_TIMEOUT))
        return 1 << most.bit_length() - 1
