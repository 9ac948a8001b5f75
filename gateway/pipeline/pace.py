"""How fast a backlog goes out beside what is new: as fast as the link allows without a queue that others would feel.

What is in flight is a queue somewhere: in a socket, on the line, in the broker.  A publish behind it gets its PUBACK
later by the time that queue takes.  So what tells is that time: the fastest PUBACK of the last minutes is the link
without a queue, all above it is the queue.  While the queue is shorter than a third of the bound, more of the backlog
may be in flight, else less: the allowance moves in proportion (as LEDBAT does, RFC 6817), by half of what was taken,
which settles without swinging.  The rest of the bound is left for swings and for the others' own way.

What was learned is kept from one session to the next; one that timed out with something in flight begins with a quarter
of it.  Where little is allowed the line is narrow, and then all that is sent in order goes by this, not only a backlog.

A message that is larger than the allowance still goes when no other is in flight: a single message that the link needs
longer for than the bound cannot be helped here.  Pure: the clock is the caller's.
"""

from dataclasses import dataclass
from math import inf

FIRST_BYTES = 2**15
LEAST_BYTES = 2**8
NARROW_BYTES = 2**13
"""A line that carries so much without a queue needs no pace for what is new."""
SHARE_OF_BOUND = 1 / 3
MEMORY_S = 60.0
"""The fastest PUBACK is forgotten after one to two of these: the way to the broker may have become longer."""
LONGEST_WAY_S = 4.0
"""No way without a queue takes longer: on a slow line all PUBACKs of minutes may have been behind one."""


@dataclass(slots=True)
class Pace:
    """The part of one session's window that a backlog may use."""

    bound_s: float
    """How late a PUBACK may become by what is in flight."""
    most_messages: int
    """At most so many of the backlog in flight."""
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
        """How long to wait before sending so much more; infinite when something has to be acknowledged first."""
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
        """A publish, of the backlog or not, had its PUBACK after so long; its size, if it went by no pace."""
        if now_s - self._since_s > MEMORY_S:
            self._fastest_before_s, self._fastest_s, self._since_s = self._fastest_s, ack_s, now_s
        self._fastest_s = min(self._fastest_s, ack_s)
        if size_bytes and ack_s > self.bound_s:
            self.allowance_bytes = max(LEAST_BYTES, self.allowance_bytes - size_bytes / 2)

    def answered(self, size_bytes: int, ack_s: float, now_s: float) -> None:
        """A publish of the backlog had its PUBACK after so long."""
        self.saw(ack_s, now_s)
        queue_s = ack_s - min(self._fastest_s, self._fastest_before_s, LONGEST_WAY_S)
        room = max(-1.0, min(1.0, 1.0 - queue_s / (SHARE_OF_BOUND * self.bound_s)))
        is_used = 2 * self.in_flight_bytes >= self.allowance_bytes
        if room < 0 or is_used:
            self.allowance_bytes = max(LEAST_BYTES, self.allowance_bytes + room * size_bytes / 2)
        self.gone(size_bytes)

    def gone(self, size_bytes: int) -> None:
        """A publish of the backlog is settled."""
        self.in_flight -= 1
        self.in_flight_bytes -= size_bytes
