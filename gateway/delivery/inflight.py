"""The publishes that wait for their PUBACK, and the end of a session.

Every publish is a future.  It ends in one of three ways: the broker's verdict, `Unavailable` when the session breaks
first, or a cancellation by its owner (the verdict is then ignored).  The first reason to break counts.  A publish
without a PUBACK for `ack_timeout_s` breaks the session: behind a half-open link, or with a broker that acknowledges
nothing, waiting longer would only hold up the backlog.

A slow line must not break the session.  A broker acknowledges in order, so the time of the oldest publish starts when
the one before it is acknowledged, and starts again whenever more bytes of it, or of those before it, have left this
machine.  If the bytes left at once and the line is slow further on, `LineRate` allows more time.  This is checked a few
times within the time-out, and costs nothing per message.
"""

import asyncio
import fcntl
import struct
import sys
import termios
from collections.abc import Callable
from typing import Protocol

from gateway.delivery import DELIVERED, Outcome
from gateway.delivery.line_rate import LineRate
from gateway.errors import Unavailable

MOST_STRAYS = 100
"""The tolerated number of answers without a request, in addition to one per verdict."""
_LOOKS = 4
"""How often within the time-out the progress of the oldest publish is checked."""


class InFlight:
    """The open publishes of one session, by packet id."""

    def __init__(
        self,
        address: str,
        ack_timeout_s: float,
        on_break: Callable[[], None],
        unsent: Callable[[], int] = lambda: 0,
        line: LineRate | None = None,
    ) -> None:
        """`unsent` tells how many bytes of ours the peer's machine does not have yet."""
        self._loop = asyncio.get_running_loop()
        self._new_future = self._loop.create_future
        self._address = address
        self._ack_timeout_s = ack_timeout_s
        self._on_break = on_break
        self._unsent = unsent
        self.line = line or LineRate()
        self.open: dict[int, tuple[asyncio.Future[Outcome], int, int]] = {}
        """By packet id, with the size of each publish, and where it ends in all that was sent."""
        self.is_broken = False
        self._sent = 0
        """Bytes of all publishes."""
        self._left = 0
        """How much of them was seen to have left this machine."""
        self.moved_s = self._loop.time()
        """When that was seen latest."""
        self._oldest_end = self._sent_at_look = 0
        self._since_s = self._loop.time()
        """Since when the oldest publish waits, as far as the looks have shown."""
        self._busy_from: tuple[int, float] = (0, 0.0)
        """What was acknowledged at a look (bytes), and when; since then the line has had something to carry."""
        self._watch: asyncio.TimerHandle | None = None
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._strays = 0
        self.verdicts = 0
        """How many publishes the broker has settled."""
        self.latest: Outcome = DELIVERED
        """The last verdict."""
        self.was_cut = False
        """Whether the broker ended the session in a way that may be caused by our messages."""
        self.left_open = 0
        """How many publishes were open when the session broke."""

    def add(self, packet_id: int, size_bytes: int) -> asyncio.Future[Outcome]:
        """Open a publish with a free packet id."""
        future: asyncio.Future[Outcome] = self._new_future()
        self._sent = end = self._sent + size_bytes
        self.open[packet_id] = (future, size_bytes, end)
        if self._watch is None:
            self._begin_to_look()
        return future

    def settled(self, outcome: Outcome) -> asyncio.Future[Outcome]:
        """A publish that has its outcome without being sent."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        future.set_result(outcome)
        return future

    def failed(self) -> asyncio.Future[Outcome]:
        """A publish that came after the session broke."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        _fail(future, str(self._broken.exception()))
        return future

    def settle(self, packet_id: int, outcome: Outcome) -> bool:
        """Set the broker's verdict.  False: the packet id is not open, so this repeats an old PUBACK."""
        entry = self.open.pop(packet_id, None)
        if entry is None:
            return False
        self.verdicts += 1
        self.latest = outcome
        if not entry[0].done():
            entry[0].set_result(outcome)
        return True

    def stray(self, what: str) -> None:
        """Count an answer without a request.  Some repeats are tolerated; a flood ends the session."""
        self._strays += 1
        if self._strays > MOST_STRAYS + self.verdicts:
            self.break_off(f"{self._address} sent what is not MQTT: {what} to nothing, {self._strays} times by now")

    def break_off(self, reason: str, *, was_cut: bool = False, cause: str = "answer") -> None:
        """End the session: every open publish fails with `Unavailable(reason, cause)`.  Only the first call counts.

        `was_cut`: the broker gave no reason of its own, or one that may be caused by our messages.
        """
        if self.is_broken:
            return
        self.is_broken = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._learn_from_the_end(cause)
        _fail(self._broken, reason, cause)
        open_, self.open = self.open, {}
        self.was_cut, self.left_open = was_cut, len(open_)
        for future, *_ in open_.values():
            _fail(future, reason, cause)
        self._on_break()

    def when_broken(self, then: Callable[[str], None]) -> None:
        """Call `then` with the reason, soon after the session breaks."""
        self._broken.add_done_callback(lambda broken: then(str(broken.exception())))

    async def wait_broken(self) -> None:
        """Wait until the session is over, then raise `Unavailable` with the reason."""
        await asyncio.shield(self._broken)

    def most_bytes(self, maximum_bytes: int) -> int:
        """The longest message that the line carries in time, where the broker takes so much."""
        carried = self.line.most_bytes(self._ack_timeout_s)
        return maximum_bytes if carried is None else min(carried, maximum_bytes)

    @property
    def is_slow(self) -> bool:
        """A publish is under way that the line may need long for, or was just seen to move."""
        oldest = next(iter(self.open.values()), None)
        if oldest is None:
            return False
        self._see_what_left(oldest[2])
        now_s, needs_s = self._loop.time(), self.line.needs_s(oldest[1])
        return now_s - self.moved_s < self._ack_timeout_s or now_s < self._since_s + needs_s

    def _begin_to_look(self) -> None:
        """The first publish after a time without any."""
        self._since_s = now_s = self._loop.time()
        self._oldest_end = self._sent_at_look = self._sent
        self._busy_from = (self._sent - next(iter(self.open.values()))[1], now_s)
        self._watch = self._loop.call_at(now_s + self._ack_timeout_s / _LOOKS, self._look)

    def _look(self) -> None:
        self._watch = None
        now_s = self._loop.time()
        oldest = next(iter(self.open.values()), None)
        self._learn(oldest, now_s)
        if oldest is None:
            return
        _, size, end = oldest
        if end != self._oldest_end:
            self._oldest_end, self._since_s = end, now_s
        self._see_what_left(end)
        due_s = self._since_s + self._ack_timeout_s + self.line.needs_s(size)
        if due_s > now_s:
            self._watch = self._loop.call_at(min(due_s, now_s + self._ack_timeout_s / _LOOKS), self._look)
        else:
            why = f"{self._address} has not acknowledged a publish for {due_s - self._since_s:.3g} s"
            self.break_off(why, cause="timeout")

    def _see_what_left(self, end: int) -> None:
        """Has more of the oldest publish, which ends there, or of what is before it, left this machine?"""
        left = self._sent - self._unsent()
        if left > self._left:
            if self._left < end:
                self._since_s = self.moved_s = self._loop.time()
            self._left = left

    def _learn(self, oldest: tuple[asyncio.Future[Outcome], int, int] | None, now_s: float) -> None:
        """What was acknowledged since the latest look says what the line carries, if it was busy all the time."""
        begun, begun_s = self._busy_from
        acknowledged = oldest[2] - oldest[1] if oldest is not None else self._sent
        was_late = begun_s < now_s - 1.5 * self._ack_timeout_s / _LOOKS
        is_late = oldest is not None and oldest[2] <= self._sent_at_look
        self._sent_at_look = self._sent
        if acknowledged == begun and is_late:
            return  # the same publish is still on its way
        if is_late or was_late:
            self.line.carried(acknowledged - begun, now_s - begun_s)
        else:
            self.line.flowed(acknowledged - begun, now_s - begun_s)
        self._busy_from = (acknowledged, now_s)

    def _learn_from_the_end(self, cause: str) -> None:
        oldest = next(iter(self.open.values()), None)
        waited_s = self._loop.time() - self._since_s
        if oldest is not None and cause == "timeout":
            self.line.stuck(oldest[1], waited_s)


def _fail(future: asyncio.Future[Outcome] | asyncio.Future[None], reason: str, cause: str = "answer") -> None:
    if not future.done():
        future.set_exception(Unavailable(reason, cause))
        future.exception()  # marks it as retrieved, since the owner may be gone


class HasFileno(Protocol):
    """A socket of any kind."""

    def fileno(self) -> int:
        """Its descriptor; negative when it is closed."""


def unsent_bytes(sock: HasFileno | None) -> int:
    """The written bytes of a socket that the peer's kernel has not acknowledged, sent or not.  0: the system does not
    tell."""
    if sock is None or sys.platform != "linux" or sock.fileno() < 0:
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
