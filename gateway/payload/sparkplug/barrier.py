"""The confirmation of records that were sent with QoS 0.

A barrier is an empty message with QoS 1 on a topic of its own, behind the records of a turn of the loop.  One is on its
way at a time; what is sent meanwhile waits for the next one.  Its PUBACK, whatever it says, shows that the broker has
read everything before it on this connection.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial

from gateway.delivery import DELIVERED, Outcome, SharedSession
from gateway.delivery.passing import fail
from gateway.errors import Unavailable
from gateway.in_thread import in_thread
from gateway.model import Message
from gateway.payload.sparkplug.library import Library
from gateway.payload.sparkplug.table import Table


@dataclass(slots=True)
class _Open:
    """A record that was sent, or needs no sending, and is not confirmed."""

    future: "asyncio.Future[Outcome]"
    number: int
    """How many messages had been sent by then."""
    is_kept: bool
    """Whether its table is in the library."""


class Confirmations:
    """The records of one session, in the order in which they were sent."""

    def __init__(self, inner: SharedSession, topic: str, library: Library, hold_s: float = 0.0) -> None:
        """`hold_s`: how long a record stays unconfirmed after the broker has read it, since its host may be gone."""
        self._hold_s = hold_s
        self._inner = inner
        self._topic = topic
        self._library = library
        self._loop = asyncio.get_running_loop()
        self._open: deque[_Open] = deque()
        self._sent = self._confirmed = 0
        self._has_barrier = False
        self._to_keep: asyncio.Queue[tuple[Table, _Open]] = asyncio.Queue()

    def tell(self, message: Message) -> Outcome | None:
        """As `Session.tell`."""
        outcome = self._inner.tell(message)
        if outcome is None:
            self._sent += 1
        return outcome

    def await_barrier(self, future: "asyncio.Future[Outcome]", table: Table | None = None) -> None:
        """Settle this future when everything sent until now is confirmed, and all before it; and its table is kept."""
        is_kept = table is None or self._library.has(table)
        entry = _Open(future, self._sent, is_kept)
        self._open.append(entry)
        if table is not None and not is_kept:
            self._to_keep.put_nowait((table, entry))
        if not self._has_barrier:
            self._has_barrier = True
            self._loop.call_soon(self._set_barrier)

    async def wait_passed(self) -> None:
        """Wait until the broker has read what was sent until now, in any way.  Raises `Unavailable`."""
        await self._inner.send_aside(self._barrier)

    def fail(self, reason: str) -> None:
        """The session is over: what is open is not confirmed."""
        open_, self._open = self._open, deque()
        for entry in open_:
            fail(entry.future, Unavailable(reason))

    async def keep_tables(self) -> None:
        """Make tables durable, until cancelled."""
        while True:
            table, entry = await self._to_keep.get()
            try:
                await in_thread(partial(self._library.save, table), "a table of metrics")
            except OSError as error:
                self._inner.fail(Unavailable(f"a table of metrics cannot be kept: {error.strerror or error}"))
                return
            entry.is_kept = True
            self._settle()

    @property
    def _barrier(self) -> Message:
        return Message(self._topic, b"", "", 0, 0, content_type="")

    def _set_barrier(self) -> None:
        self._inner.send_aside(self._barrier).add_done_callback(partial(self._passed, self._sent))

    def _passed(self, upto: int, sent: "asyncio.Future[Outcome]") -> None:
        self._has_barrier = False
        if sent.cancelled():
            return
        if (error := sent.exception()) is not None:
            self.fail(str(error))
            return
        if self._hold_s:
            self._loop.call_later(self._hold_s, self._confirm, upto)
        else:
            self._confirm(upto)
        if self._open and self._open[-1].number > upto and not self._has_barrier:
            self._has_barrier = True
            self._set_barrier()

    def _confirm(self, upto: int) -> None:
        self._confirmed = upto
        self._settle()

    def _settle(self) -> None:
        """In order: a table leaves the outbox after the rows before it."""
        while self._open and self._open[0].number <= self._confirmed and self._open[0].is_kept:
            future = self._open.popleft().future
            if not future.done():
                future.set_result(DELIVERED)
