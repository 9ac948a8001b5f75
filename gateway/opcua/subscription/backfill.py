"""What was missed while nobody listened: read from the server's history, and announced where that is not possible.

    absence ─ which variables have history ─┬─ off      all is announced
                                            ├─ before   the gap that is known now, pages, then live values
                                            └─ beside   the gap that is known now, then live values; pages between them

What is known to be missing is announced before anything that comes after it; what turns out to be missing while pages
are read, when they are through.

*Before* keeps the mark of before the absence until all of it is durable.  *Beside* cannot: live values move the mark
on.  There the mark says what is still owed (`Lease.owed`), so that a crash in between begins the filling-in again.

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
from gateway.opcua.codec.decode import Changes
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.session.session import Session, content
from gateway.opcua.space.selection import Item
from gateway.opcua.subscription.batches import LEAD_TICKS, Assembler, now_ticks
from gateway.opcua.subscription.checkpoint import Absence, Mark, handles_of, ranges_of
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
    """What a subscription monitored that cannot be gone on with."""

    ticks: int
    """How far it had come."""
    handles: frozenset[int]
    why: str


@dataclass(frozen=True, slots=True)
class _Debt:
    """One absence, and what can be done about it."""

    absence: Absence
    told: _Told
    missed: frozenset[int]
    """Handles that have to be announced whatever the history says."""


@dataclass(frozen=True, slots=True)
class Settled:
    """All of an absence has been read; `gap` is what could not be."""

    absence: Absence
    gap: Gap | None


class Backfill:
    """Fills in the absences of one source."""

    def __init__(
        self, session: Session, config: SourceConfig, dialect: Dialect, batch_of: Assembler, wake: Callable[[], None]
    ) -> None:
        """`wake` is called when there is something in `ready`."""
        self._session = session
        self._mode = config.backfill
        self._dialect = dialect
        self._batch_of = batch_of
        self._wake = wake
        self._first: list[_Debt] = []
        self._mark = b""
        self._beside: asyncio.Queue[_Debt] = asyncio.Queue()
        self._taken = asyncio.Event()
        self.ready: deque[Changes | Settled] = deque()
        """What was read beside the live values and waits to be delivered: one at a time."""
        self.owed: tuple[Absence, ...] = ()
        """Absences that the mark has to remember."""

    @property
    def is_first(self) -> bool:
        """Whether something is to be filled in before any live value."""
        return bool(self._first)

    async def owe(self, items: Sequence[Item], absences: Sequence[Absence], before: Mark) -> list[Gap]:
        """Take on absences, and those that were still owed when the mark of before was made.

        What is returned has to be announced now.  Raises `Unavailable`.
        """
        new = [each for each in (*before.lease.owed, *absences) if each not in self.owed]
        debts = [await self._debt(items, each) for each in new]
        if self._mode == "before":
            self._first, self._mark = debts, before.encode()
            return []
        if self._mode == "beside":
            self.owed += tuple(new)
            for debt in debts:
                self._beside.put_nowait(debt)
            debts = [debt for debt in debts if debt.absence in absences]  # the others were announced when they were new
        return [gap for debt in debts if (gap := _gap_of(debt.absence, debt.missed))]

    async def _debt(self, items: Sequence[Item], absence: Absence) -> _Debt:
        handles = sorted(handles_of(absence.handles or ((0, len(items)),), len(items)))
        wanted = self._mode != "off" and absence.since_ticks
        told = await with_history(self._session, [(handle, items[handle]) for handle in handles]) if wanted else []
        proven = set() if absence.unproven else {handle for handle, _ in told}
        return _Debt(absence, told, frozenset(handles) - proven)

    async def first(self) -> AsyncGenerator[Batch, None]:
        """What goes before the live values; the last batch has no values, and tells what could not be read."""
        gaps = [gap for debt in self._first if (gap := _gap_of(debt.absence, debt.missed))]
        if gaps and any(debt.told for debt in self._first):
            yield replace(self._batch_of(None, tuple(gaps)), mark=self._mark)
            gaps = []
        for debt in self._first:
            failed: set[int] = set()
            async with aclosing(self._pages(debt)) as pages:
                async for changes, bad in pages:
                    failed |= set(bad)
                    if len(changes.handles):
                        yield replace(self._batch_of.historical(changes), mark=self._mark)
            gaps += [gap for gap in [_gap_of(debt.absence, failed - debt.missed)] if gap]
        self._first = []
        yield self._batch_of(None, tuple(gaps))

    async def run(self) -> None:
        """Read what is owed beside the live values, for ever.  Raises `Unavailable`."""
        while True:
            debt = await self._beside.get()
            failed: set[int] = set()
            async with aclosing(self._pages(debt)) as pages:
                async for changes, bad in pages:
                    failed |= set(bad)
                    if len(changes.handles):
                        await self._offer(changes)
            await self._offer(Settled(debt.absence, _gap_of(debt.absence, failed - debt.missed)))

    async def _offer(self, found: Changes | Settled) -> None:
        self._taken.clear()
        self.ready.append(found)
        self._wake()
        await self._taken.wait()

    def next(self) -> Batch:
        """The batch of what is ready.  Call `took` when it is durable."""
        found = self.ready[0]
        if isinstance(found, Changes):
            return self._batch_of.historical(found)
        self.owed = tuple(absence for absence in self.owed if absence is not found.absence)
        return self._batch_of(None, (found.gap,) if found.gap else ())

    def took(self) -> None:
        """What was ready is durable."""
        self.ready.popleft()
        self._taken.set()

    def _pages(self, debt: _Debt) -> AsyncGenerator[tuple[Changes, list[int]], None]:
        absence = debt.absence
        until = absence.until_ticks + LEAD_TICKS
        return read_history(self._session, debt.told, absence.since_ticks, until, self._dialect)


async def absences_after(session: Session, before: Mark, lost: Sequence[Lost], cause: str) -> tuple[list[Absence], int]:
    """The absences between a mark and now, by the server's clock; and that clock less ours, in ticks.

    Raises `Unavailable`.

    A server that was restarted may have forgotten what it kept, and one whose clock was set has other times for it:
    what it still tells is taken, and proves nothing.  A mark from the future does not say when the absence began.
    """
    [answer] = await session.read_values([_CURRENT_TIME])
    said = content(answer)
    now = now_ticks()
    told = ticks_of(said) if isinstance(said, datetime) else now
    until = not_before(told, now)
    is_set = bool(before.offset_ticks) and abs(told - now - before.offset_ticks) > JUMP_TICKS
    unproven = is_set or before.lease.started != session.started
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
