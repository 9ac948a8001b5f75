"""One OPC UA server with its subscription: what it sends, in order, as batches.

    subscription: taken up again, or created
         │
         └─ batches(): publish response ─► in sequence? else read the missed ones again ─► columns ─► yield
                                                                             │
                       acknowledged to the server when the next is asked for ◄┘  (only then it is durable)

Invariants: notifications are yielded in the order of their sequence numbers, each at most once per source; one is
acknowledged only after the batch that carried it was followed by the wish for another; what is missing and cannot be
had again is in `Batch.gaps`.  Nothing here reconnects: every loss is `Unavailable`, and the next attempt takes up the
subscription where the mark says.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog

import gateway.opcua.mark as marks
import gateway.opcua.subscription as services
from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.metrics import SourceMetrics
from gateway.model import TICKS_PER_SECOND, Batch, Gap
from gateway.opcua.backfill import Backfill, absence_after
from gateway.opcua.batches import Assembler, ServerClock, now_ticks
from gateway.opcua.decode import STATUS_CHANGE, Changes, Part, Published, read_publish, read_status_change
from gateway.opcua.events import refresh_conditions
from gateway.opcua.items import Items
from gateway.opcua.mark import Absence, Mark
from gateway.opcua.peer import peer_errors, status_text
from gateway.opcua.publisher import Publisher, Silent
from gateway.opcua.selection import Table
from gateway.opcua.sequence import between, distance, predecessor
from gateway.opcua.session import Session
from gateway.opcua.wire import Dialect, Malformed

MISSED_KEEP_ALIVES = 3
GOOD_SUBSCRIPTION_TRANSFERRED = 0x002D_0000
MOST_REPUBLISHED = 10_000
"""More missing notifications than this are not asked for one by one."""


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What becomes one batch: a notification message, only gaps, or heartbeats."""

    published: Published | None
    gaps: tuple[Gap, ...] = ()
    repeated: Changes | None = None
    """Heartbeats."""


class Source:
    """A server that is connected and subscribed.  Made by `open_source`."""

    def __init__(
        self,
        session: Session,
        config: SourceConfig,
        metrics: SourceMetrics,
        table: Table,
        publisher: Publisher,
        dialect: Dialect,
    ) -> None:
        self._session = session
        self._config = config
        self._metrics = metrics
        self._publisher = publisher
        self._log = structlog.get_logger("gateway.opcua").bind(source=config.name)
        self._ready: deque[_Delivery] = deque()
        self._replay: deque[int] = deque()
        self._heard = False
        self._taken_up = False
        self._replaying = False
        self._silent_at_s = 0.0
        self._clock = ServerClock()
        self._last = 0  # sequence number of the last notification queued in `_ready`
        self._yielded = 0
        self._batch_of = Assembler(config.name, table, metrics, dialect)
        self.items = Items(session, config, table, metrics, self._batch_of, self._tell)
        self.backfill = Backfill(session, config, dialect, self._batch_of, publisher.wake)

    @property
    def table(self) -> Table:
        """Tags and what was asked for them, by handle."""
        return self.items.table

    @property
    def publisher(self) -> Publisher:
        return self._publisher

    @property
    def model_changed(self) -> asyncio.Event:
        """Set when the server says that its address space has changed."""
        return self._batch_of.model_changed

    async def retry(self) -> None:
        """Try again what could not be subscribed to.  Raises `Unavailable`."""
        await self.items.retry()

    async def refresh(self) -> None:
        """Look for variables that came or went.  Raises `Unavailable`."""
        await self.items.refresh()

    def fail(self, error: BaseException) -> None:
        """Whoever waits for a batch gets this error, after what has arrived before it."""
        self._publisher.fail(error)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield what the server sends, in order.  Asking for the next batch says that the earlier one is durable.

        A batch may have no rows and only gaps, or only a mark.  Raises `Unavailable` when the server is lost.
        """
        while True:
            if self.backfill.is_first:
                async with aclosing(self.backfill.first()) as history:
                    async for batch in history:
                        yield batch if batch.mark else replace(batch, mark=self._mark())
            while not self._ready and not self.backfill.ready and not self.backfill.is_first:
                await self._receive()
            if self.backfill.ready:
                yield self._beside()
                self.backfill.took()
            if not self._ready:
                continue
            delivery, published = self._ready[0], self._ready[0].published
            if published is not None:
                self._yielded = published.sequence
            if delivery.repeated is not None:
                batch = self._batch_of.repeated(delivery.repeated)
            else:
                batch = self._batch_of(published, delivery.gaps)
            yield replace(batch, mark=self._mark())
            self._ready.popleft()
            if published is not None:
                self._publisher.acknowledge(self.items.subscription.id, published.sequence)

    def _mark(self) -> bytes:
        return marks.encode(self.items.lease, self._yielded, self._batch_of.latest_ticks, self._clock.offset_ticks)

    def _beside(self) -> Batch:
        """What was read from the history; when it was the last, the mark owes it no more."""
        batch = self.backfill.next()
        self._owe()
        return replace(batch, mark=self._mark())

    def _owe(self) -> None:
        if self.items.owed != self.backfill.owed:
            self.items.owed = self.backfill.owed
            self.items.settle()

    # -- subscribing ---------------------------------------------------------------------------------------------

    async def subscribe(self, mark: Mark | None) -> None:
        """Take up the subscription of the mark, or create one.  Raises `Unavailable`."""
        self._batch_of.latest_ticks = mark.ticks if mark else 0
        why = await self._take_up(mark) if mark else ""
        if mark is None or why:
            await self._create(why, mark)
        elif self._has_events:
            await refresh_conditions(self._session, self.items.subscription.id)

    @property
    def _has_events(self) -> bool:
        return any(item.events is not None for item in self.table.items)

    async def _take_up(self, mark: Mark) -> str:
        """Go on with the subscription of an earlier session; why not, if not."""
        lease = mark.lease
        if not lease.subscription:
            return "the server was polled before"
        if (lease.url, lease.started) != (self._config.url, self._session.started):
            return "the server was restarted, or is another one"
        available = await services.transfer(self._session, lease.subscription)
        if available is None:
            return "the server has not got our subscription any more, or does not give it to us"
        why = await self.items.adopt(lease)
        if why:
            await services.delete_subscription(self._session, lease.subscription)
            return why
        self._last = self._yielded = mark.sequence
        self._clock.begin(mark.offset_ticks)
        self._taken_up, self._heard = True, False
        for number in sorted(available, key=lambda n: distance(mark.sequence, n)):
            if distance(mark.sequence, number) <= 0:
                self._publisher.acknowledge(lease.subscription, number)
            else:
                self._replay.append(number)
        self._log.info("subscription taken up", subscription=lease.subscription, to_read_again=len(self._replay))
        if lease.owed:
            await self._account(None, mark)
        return ""

    async def _create(self, why: str, before: Mark | None) -> None:
        """A new subscription; `before` is how far the earlier one came, and `why` it is none any more."""
        self._taken_up, self._last, self._yielded = False, 0, 0
        await self.items.create()
        if self._has_events:
            await refresh_conditions(self._session, self.items.subscription.id)
        if before is None:
            self._ready.append(_Delivery(None))
            return
        detail = f"the subscription had to be created again: {why}"
        self._log.warning("subscribed anew: values may be missing", detail=detail)
        absence, offset_ticks = await absence_after(self._session, before, "subscription_recreated", detail)
        self._clock.begin(before.offset_ticks, offset_ticks)
        await self._account(absence, before)

    async def _account(self, absence: Absence | None, before: Mark) -> None:
        """See to an absence, and to those that were being filled in when the mark was made."""
        gaps = await self.backfill.owe(self.table.items, absence, before)
        self._owe()
        if not self.backfill.is_first:
            self._ready.append(_Delivery(None, tuple(gaps)))

    def _tell(self, gap: Gap) -> None:
        """Announce something that did not come from the server's messages."""
        self._ready.append(_Delivery(None, (gap,)))
        self._publisher.wake()

    # -- receiving -----------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        """Wait for one response and queue what follows from it.  What was missed comes before anything new."""
        if self._replay:
            self._replaying = True
            again = await services.republish(self._session, self.items.subscription.id, self._replay.popleft())
            if again is not None:
                await self._accept(again)
            return
        self._replaying = False
        self._publisher.fill()
        try:
            body = await self._next_response()
        except Silent:
            if self._heard or not self._taken_up:
                raise
            # Some servers hand a subscription over and then never send for it.
            await services.delete_subscription(self._session, self.items.subscription.id)
            before = marks.decode(self._mark())
            await self._create("the server handed it over and sent nothing for it", before)
            return
        if body is None:
            return
        self._metrics.last_response.set_to_current_time()
        try:
            published = read_publish(body)
        except Malformed as error:
            self._metrics.undecodable.inc()
            self._log.warning("a publish response makes no sense", reason=str(error), size_bytes=len(body))
            return
        if published.subscription == self.items.subscription.id:
            self._heard = True
            await self._accept(published)

    async def _next_response(self) -> bytes | None:
        """One response, or None where there is none: given back empty-handed, woken, or it is time for heartbeats.

        Raises `Silent` after three keep-alives without a word, however many heartbeats fall into that time.
        """
        silence_s = MISSED_KEEP_ALIVES * self.items.subscription.keep_alive_s
        heartbeats, now_s = self._batch_of.heartbeats, time.monotonic()
        silent_at_s = self._silent_at_s or now_s + silence_s
        self._silent_at_s = 0.0
        try:
            body = await self._publisher.receive(heartbeats.wait_s(now_s, max(0.0, silent_at_s - now_s)))
            self._silent_at_s = silent_at_s if body is None else 0.0
            return body
        except Silent as error:
            repeated = heartbeats.due(time.monotonic())
            if repeated is None:
                raise Silent(f"{self._session.where} has been silent for {silence_s:.1f} s") from error
            self._silent_at_s = silent_at_s
            self._ready.append(_Delivery(None, (), repeated))
            return None

    async def _accept(self, published: Published) -> None:
        """Put a message into its place in the sequence; a keep-alive carries the number of the next message."""
        ahead = distance(self._last, published.sequence)
        if ahead > 1:
            await self._fill_gap(published)
        if not published.parts:
            return
        if ahead <= 0:
            self._publisher.acknowledge(self.items.subscription.id, published.sequence)
            return
        self._deliver(published)

    def _deliver(self, published: Published) -> None:
        for part in published.parts:
            if part.kind == STATUS_CHANGE:
                self._heed(published, part)
        self._last = published.sequence
        self._metrics.notifications.inc()
        if published.publish_ticks and not self._replaying:
            self._clock.note(published.publish_ticks)
            self._metrics.clock_offset.set((published.publish_ticks - now_ticks()) / TICKS_PER_SECOND)
        self._ready.append(_Delivery(published))

    def _heed(self, published: Published, part: Part) -> None:
        """The end of a subscription.  That it was transferred may be an old message: what told our old session so."""
        with peer_errors("read a status change", self._session.where):
            status = read_status_change(published, part)
        if status != GOOD_SUBSCRIPTION_TRANSFERRED or not self._replaying:
            raise Unavailable(f"{self._session.where} ended the subscription: {status_text(status)}")

    async def _fill_gap(self, published: Published) -> None:
        """Read again what is missing before this message; what cannot be had is announced."""
        missing = distance(self._last, published.sequence) - 1
        if self._last == 0 and not set(between(0, published.sequence, MOST_REPUBLISHED)) & set(published.available):
            return  # a server whose numbers do not begin at 1
        self._metrics.sequence_gaps.inc(missing)
        self._log.warning("notifications are missing: reading them again", count=missing, after=self._last)
        lost = missing
        for number in between(self._last, published.sequence, MOST_REPUBLISHED):
            again = await services.republish(self._session, self.items.subscription.id, number)
            if again is not None:
                lost -= 1
                self._deliver(again)
        if lost:
            detail = f"{lost} notifications are missing in the server's sequence and it has not got them any more"
            self._announce(Gap("sequence_gap", detail, self._batch_of.latest_ticks, self._batch_of.until_ticks))
            self._last = predecessor(published.sequence)

    def _announce(self, gap: Gap) -> None:
        self._log.warning("values are lost", cause=gap.cause, detail=gap.detail)
        self._ready.append(_Delivery(None, (gap,)))
