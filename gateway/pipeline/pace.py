"""The pace of a backlog beside new messages: as fast as the link allows without a queue that delays the new ones.

Messages in flight form a queue: in a socket, on the line, or in the broker.  It delays the PUBACK of every publish
behind it.  The fastest PUBACK of the last minutes shows the link without a queue; the time above it is the queue.
While the queue is shorter than a third of the bound, more of the backlog may be in flight, otherwise less.  The
allowance changes in proportion (as in LEDBAT, RFC 6817), by half of what was used, which settles without oscillation.
The rest of the bound is a reserve for variations and for other traffic.

The allowance is kept from one session to the next; after a session that timed out with messages in flight, the next
starts with a quarter of it.  A small allowance shows a narrow line; then all messages in order follow it, not only a
backlog.

A message larger than the allowance is sent when no other is in flight: nothing can be done about a message that takes
the link longer than the bound.  Pure: the caller passes the time.
"""

from dataclasses import dataclass
from math import inf

FIRST_BYTES = 2**15
LEAST_BYTES = 2**8
NARROW_BYTES = 2**13
"""A line that carries so much without a queue needs no pace for what is new."""
SHARE_OF_BOUND = 1 / 3
MEMORY_S = 60.0
"""The fastest PUBACK is forgotten after one to two of these periods, since the path to the broker may have changed."""
LONGEST_WAY_S = 4.0
"""The longest round trip without a queue.  On a slow line all PUBACKs of minutes may have been behind a queue."""


@dataclass(slots=True)
class Pace:
    """The part of a session's window that a backlog may use."""

    bound_s: float
    """How much the messages in flight may delay a PUBACK, in seconds."""
    most_messages: int
    """The largest number of backlog messages in flight."""
    most_bytes_per_s: float | None = None
    allowance_bytes: float = FIRST_BYTES
    in_flight: int = 0
    in_flight_bytes: int = 0
    _fastest_s: float = inf
    _fastest_before_s: float = inf
    _since_s: float = -inf
    _free_at_s: float = 0.0

    @property
    def is_narrow(self) -> bool:
        return self.allowance_bytes < NARROW_BYTES

    def allowance_after(self, has_timed_out: bool) -> float:
        """What the next session begins with."""
        if has_timed_out and self.in_flight:
            return max(LEAST_BYTES, min(self.allowance_bytes, FIRST_BYTES) / 4)
        return min(self.allowance_bytes, FIRST_BYTES)

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """How long to wait before sending `size_bytes` more.  Infinite: an acknowledgement must come first."""
        if self.in_flight >= self.most_messages:
            return inf
        if self.in_flight and self.in_flight_bytes + size_bytes > self.allowance_bytes:
            return inf
        return max(0.0, self._free_at_s - now_s)

    def sent(self, size_bytes: int, now_s: float) -> None:
        self.in_flight += 1
        self.in_flight_bytes += size_bytes
        if self.most_bytes_per_s is not None:
            self._free_at_s = max(now_s, self._free_at_s) + size_bytes / self.most_bytes_per_s

    def saw(self, ack_s: float, now_s: float, size_bytes: int = 0) -> None:
        """Note the PUBACK time of any publish, and the size of one that did not follow the pace."""
        if now_s - self._since_s > MEMORY_S:
            self._fastest_before_s, self._fastest_s, self._since_s = self._fastest_s, ack_s, now_s
        self._fastest_s = min(self._fastest_s, ack_s)
        if size_bytes and ack_s > self.bound_s:
            self.allowance_bytes = max(LEAST_BYTES, self.allowance_bytes - size_bytes / 2)

    def answered(self, size_bytes: int, ack_s: float, now_s: float) -> None:
        """Note the PUBACK time of a publish of the backlog."""
        self.saw(ack_s, now_s)
        queue_s = ack_s - min(self._fastest_s, self._fastest_before_s, LONGEST_WAY_S)
        room = max(-1.0, min(1.0, 1.0 - queue_s / (SHARE_OF_BOUND * self.bound_s)))
        is_used = 2 * self.in_flight_bytes >= self.allowance_bytes
        if room < 0 or is_used:
            self.allowance_bytes = max(LEAST_BYTES, self.allowance_bytes + room * size_bytes / 2)
        self.gone(size_bytes)

    def gone(self, size_bytes: int) -> None:
        """A publish of the backlog has its verdict."""
        self.in_flight -= 1
        self.in_flight_bytes -= size_bytes
