"""One OPC UA server read by polling: its variables are read cyclically, at their sampling intervals.

    cycle due ─► read in calls the server allows ─► what changed (`reading.py`) ─► batch ─► durable? ─► next

This is for servers without subscriptions, and for `mode: poll`.  Consumers get the same as from a subscription: changes
by trigger and dead-band, heartbeats, gaps.  Two things differ.  A value that appears and disappears between two cycles
is never seen.  Changes while nobody reads are lost unless the server keeps history.  So every absence is announced
(`not_read`), and so is every pause of `MOST_LOST` cycles or more.  Single cycles that are skipped, because the one
before took too long, are counted.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from math import isnan

from asyncua import ua

from gateway.config import SourceConfig
from gateway.metrics import SourceMetrics
from gateway.model import Batch, Gap
from gateway.opcua.codec.columns import Changes
from gateway.opcua.codec.node_ids import node_of
from gateway.opcua.codec.standard import range_of
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.session.asyncua_edge import peer_errors, status_text
from gateway.opcua.session.periodic import NEVER_S, PeriodicTask
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import children
from gateway.opcua.space.growth import growth_of, is_growing, something_appeared
from gateway.opcua.space.selection import Table
from gateway.opcua.subscription.backfill import Backfill, Lost, absences_after
from gateway.opcua.subscription.batches import (
    NOTHING,
    BatchBuilder,
    ServerClock,
    joined,
    latest_ticks,
    now_ticks,
    until_ticks,
)
from gateway.opcua.subscription.checkpoint import Checkpoint, Position, SubscriptionState, encode_checkpoint
from gateway.opcua.subscription.monitored_items import SHOWN, refusal, removal, tell_missing
from gateway.opcua.subscription.on_demand import handles_of, too_large
from gateway.opcua.subscription.reading import PERCENT, ChangeFilter, read_request, read_results
from gateway.operations import Operations

MOST_LOST = 3
"""This many skipped cycles in a row are announced as a gap."""
_UNKNOWN, _UNSUPPORTED = 0x8034_0000, 0x800B_0000
"""BadNodeIdUnknown, BadServiceUnsupported."""
NOT_THERE = frozenset((0x801F_0000, 0x8033_0000, 0x8034_0000, 0x8035_0000, 0x803A_0000))
"""BadUserAccessDenied, BadNodeIdInvalid, BadNodeIdUnknown, BadAttributeIdInvalid, BadNotReadable."""


@dataclass(slots=True)
class Cycle:
    """The variables of one sampling interval."""

    interval_s: float
    due_s: float
    """The next turn, on the monotonic clock (seconds)."""
    handles: list[int]

    def begin(self, now_s: float) -> int:
        """Take this cycle's turn.  Returns how many turns were missed."""
        missed = max(0, int((now_s - self.due_s) / self.interval_s))
        self.due_s += (missed + 1) * self.interval_s
        return missed


class PolledSource:
    """A server that is connected and polled.  Created by `open_source`."""

    operations: Operations
    """What may be asked of the server beside its values; set by `open_source`."""

    def __init__(
        self, session: Session, config: SourceConfig, *, metrics: SourceMetrics, table: Table, dialect: Dialect
    ) -> None:
        self._session = session
        self._config = config
        self._metrics = metrics
        self._dialect = dialect
        self._table = table
        self._filter = ChangeFilter()
        self._nodes: dict[int, ua.NodeId] = {}
        self._failed: set[int] = set()
        self._gone: set[int] = set()
        self._cycles: list[Cycle] = []
        self._gaps: list[Gap] = []
        self._again: list[Changes] = []
        """What was read on demand."""
        self._woken = asyncio.Event()
        self._grown = asyncio.Event()
        """Set when the configuration has more selections."""
        self._state = b""
        self._server_ticks = 0
        self._ticks = 0
        """The latest source timestamp: the beginning of a possible gap."""
        self._clock = ServerClock()
        self._error: BaseException | None = None
        self._builder = BatchBuilder(config.name, table, metrics, dialect, time_source=config.time_source)
        self.backfill = Backfill(session, config, dialect, self._builder, self._woken.set)
        self._log = session.log
        tell_missing(self._log, table)
        metrics.empty_selections.set(len(table.missing))

    @property
    def table(self) -> Table:
        """The tags and their settings, by handle."""
        return self._table

    @property
    def is_polled(self) -> bool:
        return True

    def periodic_tasks(self) -> list[PeriodicTask]:
        """The tasks to run beside the batches.  Without a subscription the gateway must browse for changes itself."""
        tasks = [PeriodicTask(self._config.retry_failed, self.retry)]
        every_s = self._config.rebrowse if is_growing(self._config) else NEVER_S
        tasks.append(PeriodicTask(every_s, self.refresh, self._grown))
        return tasks

    def grow(self, config: SourceConfig) -> None:
        """Read soon the selections that were added at the end of this configuration."""
        self._config = config
        self._grown.set()

    async def send_again(self, texts: Sequence[str]) -> list[bool]:
        """Read the variables with these node ids now, and yield their values; False for one that is no tag."""
        handles = handles_of(self._table, texts)
        wanted = [handle for handle in handles if handle in self._nodes]
        if wanted:
            self._again.append(await self._read([handle for handle in wanted if handle is not None]))
            self._woken.set()
        return [handle in wanted for handle in handles]

    def fail(self, error: BaseException) -> None:
        """Raise this error to the task that waits for a batch."""
        self._error = error
        self._woken.set()

    async def begin(self, checkpoint: Checkpoint | None) -> None:
        """Find out which variables can be read, and what was missed since the checkpoint.  Raises `Unavailable`."""
        handles = range(len(self._table.items))
        self._clock.begin(checkpoint.offset_ticks if checkpoint else 0)
        await self._take_in(handles)
        if checkpoint is not None:
            self._ticks = checkpoint.ticks
            lost = Lost(checkpoint.ticks, frozenset(handles), "the server was not read in this time")
            absences, _ = await absences_after(self._session, checkpoint, [lost], "not_read")
            self._gaps += await self.backfill.take_on(self._table.items, absences, checkpoint)
        self._settle()
        self._log.info("polling", variables=len(self._nodes), failed=len(self._failed))

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield what has changed, cycle by cycle.  Raises `Unavailable` when the server is lost."""
        if self.backfill.is_first:
            async with aclosing(self.backfill.first()) as history:
                async for batch in history:
                    yield batch if batch.checkpoint else self._with_checkpoint(batch)
        while True:
            if self.backfill.ready:
                batch = self.backfill.next()
                self._settle()
                yield self._with_checkpoint(batch)
                self.backfill.took()
            for batch in await self._turn():
                yield self._with_checkpoint(batch)

    def _with_checkpoint(self, batch: Batch) -> Batch:
        return replace(
            batch, checkpoint=encode_checkpoint(self._state, [Position(0, self._ticks)], self._clock.offset_ticks)
        )

    async def _turn(self) -> list[Batch]:
        """Wait for the next work and do it: a cycle, heartbeats, announcements."""
        now_s = time.monotonic()
        cycle = min(self._cycles, key=lambda cycle: cycle.due_s, default=None)
        due_s = cycle.due_s if cycle is not None else now_s + self._config.retry_failed
        if not self._gaps and not await self._wait(self._builder.heartbeats.wait_s(now_s, max(0.0, due_s - now_s))):
            return []
        changes = await self._read_due(cycle) if cycle is not None and cycle.due_s <= time.monotonic() else None
        gaps, self._gaps = tuple(self._gaps), []
        batches = []
        if changes is not None or gaps:
            columns = changes if changes is not None else NOTHING
            batches.append(self._builder.read(columns, gaps, self._ticks))
            self._ticks = latest_ticks(self._ticks, columns, self._server_ticks or now_ticks())
        again, self._again = self._again, []
        batches += [self._builder.read(each) for each in again]
        repeated = self._builder.heartbeats.due(time.monotonic())
        batches += [self._builder.repeated(repeated)] if repeated is not None else []
        return [batch for batch in batches if len(batch) or batch.gaps]

    async def _wait(self, for_s: float) -> bool:
        """Wait.  True: the time has passed.  False: there is history to deliver."""
        try:
            async with asyncio.timeout(for_s):
                await self._woken.wait()
        except TimeoutError:
            return True
        self._woken.clear()
        if self._error is not None:
            raise self._error
        return not self.backfill.ready

    # -- reading -------------------------------------------------------------------------------------------------

    async def _read_due(self, cycle: Cycle) -> Changes:
        began_ticks, missed = self._ticks, cycle.begin(time.monotonic())
        changes = self._filter.changed(await self._read(cycle.handles), self._table.items)
        self._metrics.last_response.set(time.time())
        if missed:
            self._metrics.lost_cycles.inc(missed)
        if missed >= MOST_LOST:
            detail = f"{missed} cycles of {cycle.interval_s:g} s were skipped: reading or storing took too long"
            gap = Gap("not_read", detail, began_ticks, until_ticks(began_ticks), None, tuple(cycle.handles))
            self._gaps.append(gap)
        return changes

    async def _read(self, handles: Sequence[int]) -> Changes:
        return joined(await self._session.in_calls("read", handles, self._read_some, alone=too_large))

    async def _read_some(self, handles: Sequence[int]) -> list[Changes]:
        request = read_request([self._nodes[handle] for handle in handles])
        with peer_errors("read", self._session.where):
            body = await self._session.send(request)
            changes, self._server_ticks = read_results(body, handles, self._dialect)
            self._clock.note(self._server_ticks)
            return [changes]

    # -- what is read --------------------------------------------------------------------------------------------

    async def retry(self) -> None:
        """Retry failed variables, and browse empty selections again.  Raises `Unavailable`."""
        if await something_appeared(self._session, self._table, self._failed):
            await self.refresh()
        failed, self._failed = sorted(self._failed), set()
        await self._take_in(failed, again=True)
        back = [handle for handle in failed if handle not in self._failed]
        if back:
            self._gone -= set(back)
            self._log.info("variables are back", variables=self._names(back))

    async def refresh(self) -> None:
        """Read new variables of the selections, and announce removed ones.  Raises `Unavailable`."""
        growth = await growth_of(self._session, self._config, self._table)
        self._table = growth.table
        self._metrics.empty_selections.set(len(self._table.missing))
        if growth.came:
            self._builder.learn(self._table)
            await self._take_in(growth.came)
            self._log.info("new variables", count=len(growth.came), variables=self._names(growth.came))
        went = sorted(set(growth.went) - self._gone - self._failed)
        if went:
            self._gone |= set(went)
            self._failed |= set(went)
            self._log.warning("variables are gone from the server", count=len(went), variables=self._names(went))
            self._gaps.append(removal(went, self._ticks))
            self._arrange()
        self._woken.set()

    async def _take_in(self, handles: Sequence[int], again: bool = False) -> None:
        """Read these variables for the first time.  Existing ones join their cycles, the others fail."""
        for handle in handles:
            item = self._table.items[handle]
            node = None
            if item.asked.events is None and not item.text.startswith("/"):
                node = node_of(item.text, self._session.uris)
            if node is not None:
                self._nodes[handle] = node
        known = [handle for handle in handles if handle in self._nodes]
        read = await self._read(known)
        refused = {h: s for h, s in zip(read.handles.tolist(), read.statuses.tolist(), strict=True) if s in NOT_THERE}
        self._failed |= {handle for handle in handles if handle not in self._nodes or handle in refused}
        if not again:
            self._tell_failed(handles, refused)
        await self._learn_spans([handle for handle in known if handle not in refused])
        self._arrange()

    async def _learn_spans(self, handles: Sequence[int]) -> None:
        """Learn the EURange (high minus low) of variables with a dead-band in percent.

        Without a range there is no dead-band.
        """
        wanted = [handle for handle in handles if self._table.items[handle].asked.deadband_kind == PERCENT]
        below = await children(self._session, [self._nodes[handle] for handle in wanted]) if wanted else []
        ranges = [
            (handle, reference.node)
            for handle, references in zip(wanted, below, strict=True)
            for reference in references
            if reference.name == "EURange"
        ]
        names = {node: f"{self._table.tags[handle].name}/EURange" for handle, node in ranges}
        answers = await self._session.look_up("EURange", names)
        for handle, node in ranges:
            low, high = range_of(answers[node].good)
            if not isnan(high - low):
                self._filter.spans[handle] = high - low
        without = [handle for handle in wanted if handle not in self._filter.spans]
        if without:
            text = "a dead-band in percent needs the variable's range: every change is sent"
            self._log.info(text, count=len(without), variables=self._names(without))

    def _arrange(self) -> None:
        """Arrange the readable variables in cycles.  An existing interval keeps its turn."""
        due_s = {cycle.interval_s: cycle.due_s for cycle in self._cycles}
        handles: dict[float, list[int]] = defaultdict(list)
        for handle in sorted(self._nodes.keys() - self._failed):
            item = self._table.items[handle]
            handles[item.asked.sampling_ms / 1000.0 or item.asked.publishing_s].append(handle)
        now_s = time.monotonic()
        self._cycles = [Cycle(every_s, due_s.get(every_s, now_s), some) for every_s, some in handles.items()]
        self._settle()

    def _settle(self) -> None:
        """Update counts and state after any change."""
        fastest_s = min((cycle.interval_s for cycle in self._cycles), default=self._config.publishing_interval)
        self._metrics.items_good.set(len(self._table.items) - len(self._failed))
        self._metrics.items_failed.set(len(self._failed))
        self._metrics.publishing_interval.set(fastest_s)
        state = SubscriptionState(
            self._session.where, self._session.started, self._table.digest, backfill_pending=self.backfill.pending
        )
        self._state = state.encode()

    def _names(self, handles: Sequence[int]) -> list[str]:
        return [self._table.items[handle].text for handle in handles[:SHOWN]]

    def _tell_failed(self, handles: Sequence[int], refused: dict[int, int]) -> None:
        """Log one line per reason, with examples, and announce it."""
        events = [handle for handle in handles if self._table.items[handle].asked.events is not None]
        if events:
            self._log.warning("events need a subscription, but this server is polled", places=self._names(events))
            self._gaps.append(refusal(events, _UNSUPPORTED))
        unknown = {handle: _UNKNOWN for handle in handles if handle not in self._nodes and handle not in events}
        reasons = {**refused, **unknown}
        for status in dict.fromkeys(reasons.values()):
            refused_so = [handle for handle, reason in reasons.items() if reason == status]
            self._log.warning(
                "variables cannot be read; retried regularly", kind=status_text(status),
                reason=status_text(status), count=len(refused_so), variables=self._names(refused_so),
            )  # fmt: skip
            self._gaps.append(refusal(refused_so, status))
