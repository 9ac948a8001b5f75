"""Back-fill: what was missed while nobody listened is read from the server's history, or announced as a gap.

    absence ─ which variables have history ─┬─ off      everything is announced
                                            ├─ before   gap of what has no history, pages, then live values
                                            └─ beside   gap of what has no history, then live values; pages between them

Variables without history are announced before anything that comes after the absence.  Variables whose history turns
out to be unreadable are announced when all pages are read.

*Before* keeps the checkpoint from before the absence until all of it is durable.  *Beside* cannot, because live values
move the checkpoint on: there it lists the absences that are not complete (`SubscriptionState.backfill_pending`), and
after a crash they are read again from their beginning.

Pages are read one at a time: the next is asked for when the last one is durable.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime

from asyncua import ua

from gateway.config import SourceConfig
from gateway.model import TICKS_PER_SECOND, Batch, Gap
from gateway.opcua.codec.columns import Changes
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.session.session import Session, content
from gateway.opcua.space.selection import Item
from gateway.opcua.subscription.batches import LEAD_TICKS, BatchBuilder, now_ticks
from gateway.opcua.subscription.checkpoint import Absence, Checkpoint, handles_of, ranges_of
from gateway.opcua.subscription.history import read_history, ticks_of, with_history

JUMP_TICKS = 5 * TICKS_PER_SECOND
"""Two clocks that have drifted further apart in an absence: one of them was set."""
STALE_TICKS = 2 * TICKS_PER_SECOND
"""CurrentTime is brought up to date now and then, by many servers once a second: so old may be what is read."""
_CURRENT_TIME = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_CurrentTime), ua.Int16(0))
_Told = Sequence[tuple[int, ua.NodeId]]
"""Handles and nodes of the variables whose history can be read."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What a subscription monitored that cannot be continued."""

    ticks: int
    """How far it had come."""
    handles: frozenset[int]
    why: str


@dataclass(frozen=True, slots=True)
class _HistoryRead:
    """One absence, and whose history can be read for it."""

    absence: Absence
    told: _Told
    missed: frozenset[int]
    """Handles that have to be announced whatever the history says."""


@dataclass(frozen=True, slots=True)
class Complete:
    """All of an absence has been read; `gap` is what could not be."""

    absence: Absence
    gap: Gap | None


class Backfill:
    """Fills in the absences of one source."""

    def __init__(
        self, session: Session, config: SourceConfig, dialect: Dialect, builder: BatchBuilder, wake: Callable[[], None]
    ) -> None:
        """`wake` is called when there is something in `ready`."""
        self._session = session
        self._mode = config.backfill
        self._dialect = dialect
        self._builder = builder
        self._wake = wake
        self._first: list[_HistoryRead] = []
        self._checkpoint = b""
        self._beside: asyncio.Queue[_HistoryRead] = asyncio.Queue()
        self._taken = asyncio.Event()
        self.ready: deque[Changes | Complete] = deque()
        """What was read beside the live values and waits to be delivered; at most one."""
        self.pending: tuple[Absence, ...] = ()
        """Absences that are not complete: the checkpoint lists them."""

    @property
    def is_first(self) -> bool:
        """Whether something is to be filled in before any live value."""
        return bool(self._first)

    async def take_on(self, items: Sequence[Item], absences: Sequence[Absence], before: Checkpoint) -> list[Gap]:
        """Fill in these absences, and those that were not complete when the checkpoint `before` was made.

        Returns the gaps that have to be announced now.  Raises `Unavailable`.
        """
        new = [each for each in (*before.state.backfill_pending, *absences) if each not in self.pending]
        reads = [await self._read_of(items, each) for each in new]
        if self._mode == "before":
            self._first, self._checkpoint = reads, before.encode()
            return []
        if self._mode == "beside":
            self.pending += tuple(new)
            for read in reads:
                self._beside.put_nowait(read)
            reads = [read for read in reads if read.absence in absences]  # the others were announced when they were new
        return [gap for read in reads if (gap := _gap_of(read.absence, read.missed))]

    async def _read_of(self, items: Sequence[Item], absence: Absence) -> _HistoryRead:
        handles = sorted(handles_of(absence.handles or ((0, len(items)),), len(items)))
        wanted = self._mode != "off" and absence.since_ticks
        told = await with_history(self._session, [(handle, items[handle]) for handle in handles]) if wanted else []
        proven = set() if absence.unproven else {handle for handle, _ in told}
        return _HistoryRead(absence, told, frozenset(handles) - proven)

    async def first(self) -> AsyncGenerator[Batch, None]:
        """What comes before the live values.  The last batch has no values; it announces what could not be read."""
        gaps = [gap for read in self._first if (gap := _gap_of(read.absence, read.missed))]
        if gaps and any(read.told for read in self._first):
            yield replace(self._builder.build(None, tuple(gaps)), checkpoint=self._checkpoint)
            gaps = []
        for read in self._first:
            failed: set[int] = set()
            async with aclosing(self._pages(read)) as pages:
                async for changes, bad in pages:
                    failed |= set(bad)
                    if len(changes.handles):
                        yield replace(self._builder.historical(changes), checkpoint=self._checkpoint)
            gaps += [gap for gap in [_gap_of(read.absence, failed - read.missed)] if gap]
        self._first = []
        yield self._builder.build(None, tuple(gaps))

    async def run(self) -> None:
        """Read what is pending beside the live values, for ever.  Raises `Unavailable`."""
        while True:
            read = await self._beside.get()
            failed: set[int] = set()
            async with aclosing(self._pages(read)) as pages:
                async for changes, bad in pages:
                    failed |= set(bad)
                    if len(changes.handles):
                        await self._offer(changes)
            await self._offer(Complete(read.absence, _gap_of(read.absence, failed - read.missed)))

    async def _offer(self, found: Changes | Complete) -> None:
        self._taken.clear()
        self.ready.append(found)
        self._wake()
        await self._taken.wait()

    def next(self) -> Batch:
        """The batch of what is ready.  Call `took` when it is durable."""
        found = self.ready[0]
        if isinstance(found, Changes):
            return self._builder.historical(found)
        self.pending = tuple(absence for absence in self.pending if absence is not found.absence)
        return self._builder.build(None, (found.gap,) if found.gap else ())

    def took(self) -> None:
        """What was ready is durable."""
        self.ready.popleft()
        self._taken.set()

    def _pages(self, read: _HistoryRead) -> AsyncGenerator[tuple[Changes, list[int]], None]:
        absence = read.absence
        until = absence.until_ticks + LEAD_TICKS
        return read_history(self._session, read.told, absence.since_ticks, until, self._dialect)


async def absences_after(
    session: Session, before: Checkpoint, lost: Sequence[Lost], cause: str
) -> tuple[list[Absence], int]:
    """The absences between a checkpoint and now, by the server's clock; and that clock less ours, in ticks.

    Raises `Unavailable`.

    A server that was restarted may have forgotten what it kept, and one whose clock was set has other times for it:
    what it still tells is taken, and proves nothing.  A checkpoint from the future does not say when the absence began.
    """
    [answer] = await session.read_values([_CURRENT_TIME])
    said = content(answer)
    now = now_ticks()
    told = ticks_of(said) if isinstance(said, datetime) else now
    until = not_before(told, now)
    is_set = bool(before.offset_ticks) and abs(told - now - before.offset_ticks) > JUMP_TICKS
    unproven = is_set or before.state.started != session.started
    absences = []
    for each in lost:
        since = each.ticks if each.ticks <= until + LEAD_TICKS else 0
        absences.append(Absence(since, max(since, until), cause, each.why, unproven, ranges_of(each.handles) or ()))
    return absences, told - now


def not_before(told_ticks: int, now_ticks: int) -> int:
    """An instant by the server's clock that is not before the present, when it tells `told_ticks` and we have
    `now_ticks`: a gap that ended earlier than the absence would leave values without a word."""
    until = told_ticks + STALE_TICKS
    return max(until, now_ticks) if abs(told_ticks - now_ticks) <= JUMP_TICKS else until


def _gap_of(absence: Absence, handles: frozenset[int] | set[int]) -> Gap | None:
    if not handles:
        return None
    return Gap(absence.cause, absence.detail, absence.since_ticks, absence.until_ticks, None, tuple(sorted(handles)))
