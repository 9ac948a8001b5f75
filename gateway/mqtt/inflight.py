"""Publishes that wait for their PUBACK, and the one way in which a session ends.

Every publish is a future that ends in exactly one of three ways: the broker's verdict, `Unavailable` when the
session breaks first, or cancelled by its owner (the verdict is then nobody's).  The first reason to break counts.
A publish without PUBACK for `ack_timeout_s` breaks the session: behind a half-open link, or a broker that takes
everything and acknowledges nothing, waiting longer would only hold up the backlog.
"""

import asyncio
from collections.abc import Callable

from gateway.delivery import DELIVERED, Outcome
from gateway.errors import Unavailable

MOST_STRAYS = 100
"""Answers to nothing that a broker may send beyond one for each verdict."""


class InFlight:
    """The open publishes of one session, by packet id."""

    def __init__(self, address: str, ack_timeout_s: float, on_break: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._address = address
        self._ack_timeout_s = ack_timeout_s
        self._on_break = on_break
        self._open: dict[int, tuple[asyncio.Future[Outcome], float]] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._strays = 0
        self.verdicts = 0
        """How many publishes the broker has settled."""
        self.latest: Outcome = DELIVERED
        """The latest verdict."""
        self.was_cut = False
        """The session is over, and the broker ended it in a way that may be about what we sent."""
        self.left_open = 0
        """How many publishes were open when the session broke."""

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, packet_id: int) -> bool:
        return packet_id in self._open

    @property
    def is_broken(self) -> bool:
        return self._broken.done()

    def add(self, packet_id: int) -> asyncio.Future[Outcome]:
        """Open a publish under a packet id that is free."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        now = self._loop.time()
        self._open[packet_id] = (future, now)
        if self._watch is None:
            self._watch = self._loop.call_at(now + self._ack_timeout_s, self._check)
        return future

    def settled(self, outcome: Outcome) -> asyncio.Future[Outcome]:
        """A publish that was decided without sending anything."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        future.set_result(outcome)
        return future

    def failed(self) -> asyncio.Future[Outcome]:
        """A publish that came after the session broke."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        _fail(future, str(self._broken.exception()))
        return future

    def settle(self, packet_id: int, outcome: Outcome) -> bool:
        """The broker's verdict is here.  Returns whether the packet id is open: else it repeats an old PUBACK."""
        entry = self._open.pop(packet_id, None)
        if entry is None:
            return False
        self.verdicts += 1
        self.latest = outcome
        if not entry[0].done():
            entry[0].set_result(outcome)
        return True

    def stray(self, what: str) -> None:
        """The broker answered something that was not asked.  Repeats are seen and borne; a flood ends the session."""
        self._strays += 1
        if self._strays > MOST_STRAYS + self.verdicts:
            self.break_off(f"{self._address} sent what is not MQTT: {what} to nothing, {self._strays} times by now")

    def break_off(self, reason: str, *, was_cut: bool = False, cause: str = "answer") -> None:
        """The session is over: every open publish fails with `Unavailable(reason, cause)`.  Only the first call counts.

        `was_cut`: the broker ended it without a reason of its own, or with one that is about what we sent.
        """
        if self._broken.done():
            return
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        _fail(self._broken, reason, cause)
        open_, self._open = self._open, {}
        self.was_cut, self.left_open = was_cut, len(open_)
        for future, _ in open_.values():
            _fail(future, reason, cause)
        self._on_break()

    def when_broken(self, then: Callable[[str], None]) -> None:
        """Call `then` with the reason, soon after the session broke."""
        self._broken.add_done_callback(lambda broken: then(str(broken.exception())))

    async def wait_broken(self) -> None:
        """Wait until the session is over, then raise `Unavailable` with the reason."""
        await asyncio.shield(self._broken)

    def _check(self) -> None:
        self._watch = None
        oldest = next(iter(self._open.values()), None)
        if oldest is None:
            return
        due = oldest[1] + self._ack_timeout_s
        if due > self._loop.time():
            self._watch = self._loop.call_at(due, self._check)
        else:
            why = f"{self._address} has not acknowledged a publish for {self._ack_timeout_s:g} s"
            self.break_off(why, cause="timeout")


def _fail(future: asyncio.Future[Outcome] | asyncio.Future[None], reason: str, cause: str = "answer") -> None:
    if not future.done():
        future.set_exception(Unavailable(reason, cause))
        future.exception()  # marks it as seen: an owner that has gone is no mistake
