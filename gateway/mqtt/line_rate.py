"""What the line to a broker carries, as far as slow sessions have shown.  Kept from one session to the next.  Pure.

Who cannot see how far a message has come (a modem, a proxy or a broker's own buffer took it at once) must know how
long it may need.  A publish that was late and came through says what the line carries; one that did not come through
says what it does not, and the next session is patient for twice as long.  A line that is seen to carry more is believed
at once, because a broker that stood still for a while looks the same.  Small messages say nothing: any line carries
them in time.
"""

from collections.abc import Callable
from dataclasses import dataclass

LEAST_BYTES_PER_S = 100.0
"""Whatever happens, a line is not taken for slower: a broker that acknowledges nothing looks like such a line."""
FAST_BYTES_PER_S = 1_000_000.0
"""From here on there is nothing to remember."""
LEAST_MESSAGE_BYTES = 1024
"""Messages are not split to less: what is around the values would be most of it."""
SHARE_OF_TIMEOUT = 0.25
"""A message shall need no more than this part of the time that it has."""


@dataclass(slots=True)
class LineRate:
    """Of one broker."""

    bytes_per_s: float | None = None
    """None: it was never seen to be slow."""
    on_change: Callable[[], object] = lambda: None
    """Called when it is another."""

    def carried(self, size_bytes: int, took_s: float) -> None:
        """So much was acknowledged in a time in which the line always had something to carry, and was late."""
        if size_bytes >= LEAST_MESSAGE_BYTES:
            self._take(size_bytes / max(took_s, 1e-6))

    def stuck(self, size_bytes: int, waited_s: float) -> None:
        """A publish of this size was not acknowledged within this time."""
        if size_bytes >= LEAST_MESSAGE_BYTES:
            tried = size_bytes / max(waited_s, 1e-6)
            self._take(min(tried, self.bytes_per_s or tried) / 2)

    def flowed(self, size_bytes: int, took_s: float) -> None:
        """So much was acknowledged in this time, and nothing was late."""
        seen = size_bytes / max(took_s, 1e-6)
        if self.bytes_per_s is not None and seen > self.bytes_per_s * SHARE_OF_TIMEOUT:
            self._take(2 * max(seen, self.bytes_per_s))

    def _take(self, bytes_per_s: float) -> None:
        before = self.bytes_per_s
        self.bytes_per_s = max(LEAST_BYTES_PER_S, bytes_per_s) if bytes_per_s < FAST_BYTES_PER_S else None
        if self.bytes_per_s != before:
            self.on_change()

    def needs_s(self, size_bytes: int) -> float:
        """How much longer than on a fast line a message of this size may take."""
        return 2 * size_bytes / self.bytes_per_s if self.bytes_per_s is not None else 0.0

    def most_bytes(self, timeout_s: float) -> int | None:
        """The longest message that the line carries well within the time, as a power of two: with each other size lists
        of tags are cut anew.  None: any."""
        if self.bytes_per_s is None:
            return None
        most = max(LEAST_MESSAGE_BYTES, int(self.bytes_per_s * timeout_s * SHARE_OF_TIMEOUT))
        return 1 << most.bit_length() - 1
