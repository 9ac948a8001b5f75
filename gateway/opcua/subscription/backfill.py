"""Back-fill: values missed during an absence are read from the server's history, or announced as a gap.

    absence ─ which variables have history ─┬─ off      announce everything
                                            ├─ before   gap for variables without history, pages, then live values
                                            └─ beside   gap for variables without history, then live values and pages

Variables without history are announced before all values that come after the absence.  Variables whose history cannot
be read are announced after the last page.

*Before* keeps the checkpoint from before the absence until everything is durable.  *Beside* cannot, because live values
move the checkpoint.  So the checkpoint lists the incomplete absences (`SubscriptionState.backfill_pending`), and after
a crash they are read again from their beginning.

Pages are read one at a time: the next one is requested when the last one is durable.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from asyncua import ua

from gateway.config import SourceConfig
from gateway.model import TICKS_PER_SECOND, Batch, Gap
from gateway.opcua.codec.columns import Changes
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.session.session import Session
from gateway.opcua.space.selection import Item
from gateway.opcua.subscription.batches import LEAD_TICKS, BatchBuilder, now_ticks
from gateway.opcua.subscription.checkpoint import Absence, Checkpoint, handles_of, ranges_of
from gateway.opcua.subscription.history import read_history, with_history

JUMP_TICKS = 5 * TICKS_PER_SECOND
"""If two clocks drift further apart during an absence, one of them was set."""
STALE_TICKS = 2 * TICKS_PER_SECOND
"""CurrentTime is updated from time to time, by many servers once a second, so its value may be this old."""
_CURRENT_TIME = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_CurrentTime), ua.Int16(0))
_Told = Sequence[tuple[int, ua.NodeId]]
"""Handles and nodes of the variables with readable history."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A subscription that cannot be continued, and what it monitored."""

    ticks: int
    """The latest timestamp that it delivered."""
    handles: frozenset[int]
    why: str


@dataclass(frozen=True, slots=True)
class _HistoryRead:
    """One absence, and the variables whose history can be read for it."""

    absence: Absence
    told: _Told
    missed: frozenset[int]
    """Handles that must be announced in any case."""


@dataclass(frozen=True, slots=True)
class Complete:
    """An absence is read completely.  `gap` announces what could not be read."""

    absence: Absence
    gap: Gap | None


class Backfill:
    """Fills the absences of one source."""

    def __init__(
        self, session: Session, config: SourceConfig, dialect: Dialect, builder: BatchBuilder, wake: Callable[[], None]
    ) -> None:
        """`wake` is called when `ready` has content."""
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
        """Values read beside the live ones that wait for delivery; at most one item."""
        self.pending: tuple[Absence, ...] = ()
        """Incomplete absences; the checkpoint lists them."""

    @property
    def is_first(self) -> bool:
        """Whether history must be delivered before any live value."""
        return bool(self._first)

    async def take_on(self, items: Sequence[Item], absences: Sequence[Absence], before: Checkpoint) -> list[Gap]:
        """Fill these absences, and those that were incomplete at the checkpoint `before`.

        Returns the gaps to announce now.  Raises `Unavailable`.
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
            reads = [read for read in reads if read.absence in absences]  # the others were announced before
        return [gap for read in reads if (gap := _gap_of(read.absence, read.missed))]

    async def _read_of(self, items: Sequence[Item], absence: Absence) -> _HistoryRead:
        handles = sorted(handles_of(absence.handles or ((0, len(items)),), len(items)))
        wanted = self._mode != "off" and absence.since_ticks
        told = await with_history(self._session, [(handle, items[handle]) for handle in handles]) if wanted else []
        proven = set() if absence.unproven else {handle for handle, _ in told}
        return _HistoryRead(absence, told, frozenset(handles) - proven)

    async def first(self) -> AsyncGenerator[Batch, None]:
        """The batches before the live values.  The last one has no values; it announces what could not be read."""
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
        """Read pending history beside the live values, until cancelled.  Raises `Unavailable`."""
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
        """The batch that is ready.  Call `took` when it is durable."""
        found = self.ready[0]
        if isinstance(found, Changes):
            return self._builder.historical(found)
        self.pending = tuple(absence for absence in self.pending if absence is not found.absence)
        return self._builder.build(None, (found.gap,) if found.gap else ())

    def took(self) -> None:
        """The batch that was ready is durable."""
        self.ready.popleft()
        self._taken.set()

    def _pages(self, read: _HistoryRead) -> AsyncGenerator[tuple[Changes, list[int]], None]:
        absence = read.absence
        until = absence.until_ticks + LEAD_TICKS
        return read_history(self._session, read.told, absence.since_ticks, until, self._dialect)


async def absences_after(
    session: Session, before: Checkpoint, lost: Sequence[Lost], cause: str
) -> tuple[list[Absence], int]:
    """The absences between a checkpoint and now, by the server's clock; and the offset of that clock to ours, in ticks.

    Raises `Unavailable`.

    A restarted server may have lost its history, and a server whose clock was set has other times in it.  Their values
    are accepted, but prove nothing.  A checkpoint from the future does not tell when the absence began.
    """
    [answer] = await session.read_values([_CURRENT_TIME])
    said = answer.good
    now = now_ticks()
    told = said if isinstance(said, int) else now
    until = not_before(told, now)
    is_set = bool(before.offset_ticks) and abs(told - now - before.offset_ticks) > JUMP_TICKS
    unproven = is_set or before.state.started != session.started
    absences = []
    for each in lost:
        since = each.ticks if each.ticks <= until + LEAD_TICKS else 0
        absences.append(Absence(since, max(since, until), cause, each.why, unproven, ranges_of(each.handles) or ()))
    return absences, told - now


def not_before(told_ticks: int, now_ticks: int) -> int:
    """The later one of two instants on the server's clock: `told_ticks`, as the server states it, and our `now_ticks`.
    A gap that ended before the absence would leave values unannounced."""
    until = told_ticks + STALE_TICKS
    return max(until, now_ticks) if abs(told_ticks - now_ticks) <= JUMP_TICKS else until


def _gap_of(absence: Absence, handles: frozenset[int] | set[int]) -> Gap | None:
    if not handles:
        return None
    return Gap(absence.cause, absence.detail, absence.since_ticks, absence.until_ticks, None, tuple(sorted(handles)))
