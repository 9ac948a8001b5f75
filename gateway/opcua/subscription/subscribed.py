"""One OPC UA server read by subscriptions: yields its values, in order, as batches.

    subscriptions: transferred from an earlier session (`transfer.py`), or created (`subscriptions.py`)
         │
         └─ batches(): publish response ─► whose? ─► in sequence? else read the missed ones again ─► columns ─► yield
                                         `tracker.py`                                      │
                  acknowledged to the server at the request for the next batch ◄───────────┘  (only then it is durable)

Invariants:

- Notifications are yielded in the order of arrival, those of one subscription in the order of their sequence numbers,
  and each at most once per source.
- A notification is acknowledged only after the next batch was requested, because only then it is durable.
- Missing notifications that cannot be read again are in `Batch.gaps`, with the tags of their subscription.

Nothing here reconnects: every loss is `Unavailable`, and the next attempt continues each subscription from the
checkpoint.
"""

import time
from collections import deque
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace

from asyncua import ua

import gateway.opcua.subscription.services as services
from gateway.config import SourceConfig
from gateway.metrics import SourceMetrics
from gateway.model import TICKS_PER_SECOND, Batch, Gap
from gateway.opcua.codec.decode import Published, read_publish
from gateway.opcua.codec.node_ids import node_of
from gateway.opcua.codec.wire import Dialect, Malformed
from gateway.opcua.session.periodic import NEVER_S, PeriodicTask
from gateway.opcua.session.session import Session
from gateway.opcua.space.event_filters import refresh_conditions
from gateway.opcua.space.growth import is_growing
from gateway.opcua.space.selection import Table
from gateway.opcua.subscription.backfill import Backfill, Lost, absences_after
from gateway.opcua.subscription.batches import BatchBuilder, ServerClock, latest_ticks, now_ticks, until_ticks
from gateway.opcua.subscription.checkpoint import Absence, Checkpoint, decode_checkpoint
from gateway.opcua.subscription.deliveries import Delivery, Message, run_of
from gateway.opcua.subscription.missed import check_statuses, read_missing
from gateway.opcua.subscription.monitored_items import MonitoredItems
from gateway.opcua.subscription.on_demand import handles_of, read_now
from gateway.opcua.subscription.publisher import Publisher, Silent
from gateway.opcua.subscription.subscriptions import Subscriptions
from gateway.opcua.subscription.tracker import SubscriptionTracker
from gateway.opcua.subscription.transfer import transfer_subscriptions
from gateway.operations import Operations


class SubscribedSource:
    """A server that is connected and subscribed to.  Created by `open_source`."""

    operations: Operations
    """What may be asked of the server beside its values; set by `open_source`."""

    def __init__(
        self,
        session: Session,
        config: SourceConfig,
        *,
        metrics: SourceMetrics,
        table: Table,
        publisher: Publisher,
        dialect: Dialect,
    ) -> None:
        self._session = session
        self._config = config
        self._metrics = metrics
        self._dialect = dialect
        self._publisher = publisher
        self._log = session.log
        self._ready: deque[Delivery] = deque()
        self._clock = ServerClock()
        self._builder = BatchBuilder(config.name, table, metrics, dialect, time_source=config.time_source)
        self.subscriptions = Subscriptions(session, config, watch_model=is_growing(config))
        self.items = MonitoredItems(
            session,
            config,
            self.subscriptions,
            table=table,
            metrics=metrics,
            builder=self._builder,
            announce=self._announce,
        )
        self.backfill = Backfill(session, config, dialect, self._builder, publisher.wake)

    @property
    def is_polled(self) -> bool:
        return False

    @property
    def table(self) -> Table:
        """The tags and their settings, by handle."""
        return self.items.table

    def periodic_tasks(self) -> list[PeriodicTask]:
        """What has to be done beside the batches."""
        tasks = [
            PeriodicTask(self._config.retry_failed, self.items.retry),
            PeriodicTask(self._config.retry_failed, self.subscriptions.quicken),
            self._lifetime_renewal(),
        ]
        every_s = self._config.rebrowse if is_growing(self._config) else NEVER_S
        tasks.append(PeriodicTask(every_s, self.items.refresh, self._builder.model_changed))
        return tasks

    def grow(self, config: SourceConfig) -> None:
        """Subscribe soon to the selections that were added at the end of this configuration."""
        self._config = config
        self.items.grow(config)
        self._builder.model_changed.set()

    def _lifetime_renewal(self) -> PeriodicTask:
        """Keep the subscriptions alive while their values are not taken and no request waits for them."""

        async def touch() -> None:
            if self._publisher.is_idle:
                await services.touch(self._session, [tracker.id for tracker in self.subscriptions])

        shortest_s = min(tracker.subscription.lifetime_s for tracker in self.subscriptions)
        return PeriodicTask(max(0.1, shortest_s / 3), touch)

    async def send_again(self, texts: Sequence[str]) -> list[bool]:
        """Read the variables with these node ids now, and yield their values; False for one that is no tag."""
        handles = handles_of(self.table, texts)
        wanted = {h: node for h in handles if h is not None and (node := self._node(h)) is not None}
        if wanted:
            self._ready.append(Delivery(None, read=await read_now(self._session, wanted, self._dialect)))
            self._publisher.wake()
        return [handle in wanted for handle in handles]

    def _node(self, handle: int) -> ua.NodeId | None:
        return node_of(self.table.items[handle].text, self._session.uris)

    def fail(self, error: BaseException) -> None:
        """Raise this error to the task that waits for a batch, after what has arrived."""
        self._publisher.fail(error)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield the server's values, in order.  The request for the next batch says that the last one is durable.

        A batch may have only gaps or only a checkpoint, and no rows.  Raises `Unavailable` when the server is lost.
        """
        while True:
            if self.backfill.is_first:
                async with aclosing(self.backfill.first()) as history:
                    async for batch in history:
                        yield batch if batch.checkpoint else replace(batch, checkpoint=self._checkpoint())
            while not self._ready and not self.backfill.ready and not self.backfill.is_first:
                await self._receive()
            await self._receive_arrived()
            if self.backfill.ready:
                yield self._beside()
                self.backfill.took()
            if not self._ready:
                continue
            count, batch = self._next_batch()
            yield batch
            for _ in range(count):
                message = self._ready.popleft().message
                if message is not None:
                    self._publisher.acknowledge(message.tracker.id, message.published.sequence)

    def _next_batch(self) -> tuple[int, Batch]:
        """One batch of the next deliveries, and their number: what has arrived together travels together."""
        first = self._ready[0]
        if first.message is None:
            if first.read is not None:
                batch = self._builder.read(first.read)
            elif first.repeated:
                batch = self._builder.repeated(first.repeated)
            else:
                batch = self._builder.build(None, first.gaps)
            return 1, replace(batch, checkpoint=self._checkpoint())
        tracker, run = first.message.tracker, run_of(self._ready)
        columns = self._builder.together(run) if len(run) > 1 and not first.gaps else None
        if columns is None:
            run, columns = run[:1], self._builder.columns(first.message.published)
        last, since_ticks = run[-1], tracker.ticks
        if not first.message.is_late:
            tracker.yielded = last.sequence
        tracker.ticks = latest_ticks(since_ticks, columns, last.publish_ticks or now_ticks())
        batch = self._builder.read(
            columns, first.gaps, since_ticks, tags_of=lambda: self._tags_of(tracker), checkpoint=self._checkpoint()
        )
        return len(run), batch

    def _tags_of(self, tracker: SubscriptionTracker) -> tuple[int, ...]:
        """The tags that a gap of this subscription concerns.  Empty: all tags of the source."""
        return tuple(sorted(tracker.handles)) if len(self.subscriptions) > 1 else ()

    def _checkpoint(self) -> bytes:
        return self.items.checkpoint(self._clock.offset_ticks)

    def _beside(self) -> Batch:
        """A batch of history.  After the last one of an absence, that is not pending any more."""
        batch = self.backfill.next()
        self._note_pending()
        return replace(batch, checkpoint=self._checkpoint())

    def _note_pending(self) -> None:
        if self.items.backfill_pending != self.backfill.pending:
            self.items.backfill_pending = self.backfill.pending
            self.items.settle()

    # -- subscribing ---------------------------------------------------------------------------------------------

    async def begin(self, checkpoint: Checkpoint | None, *, repeat: bool = False) -> None:
        """Continue the subscriptions of the checkpoint, and create the missing ones.

        With `repeat` the last value of each variable comes again where a subscription is continued.

        Raises `Unavailable`, and `NoSubscriptions` if the server does not support them.
        """
        every = range(len(self.table.items))
        if checkpoint is None:
            await self._create(every)
            self._ready.append(Delivery(None))
            return
        continued = await transfer_subscriptions(self._session, self.table, checkpoint, repeat=repeat)
        self._clock.begin(checkpoint.offset_ticks)
        for tracker in continued.trackers:
            self.subscriptions.adopt(tracker)
            for number in tracker.durable:
                self._publisher.acknowledge(tracker.id, number)
            self._log.info("subscription transferred", subscription=tracker.id, to_read_again=len(tracker.to_replay))
        if continued.trackers:
            self.items.settle()
        await self._refresh_conditions(continued.trackers)
        if continued.lost:
            await self._replace(continued.lost, checkpoint, () if continued.trackers else every)
        elif checkpoint.state.backfill_pending:
            await self._account([], checkpoint)

    async def _create(self, handles: Collection[int]) -> None:
        """Subscribe to these handles."""
        await self.items.create(handles)
        await self._refresh_conditions([each for each in self.subscriptions if not each.handles.isdisjoint(handles)])

    async def _replace(self, lost: Sequence[Lost], before: Checkpoint, handles: Collection[int] = ()) -> None:
        """Create new subscriptions for the lost ones, and for `handles`.  `before`: the checkpoint of the lost ones."""
        known = list(self.subscriptions)
        await self._create({*handles, *(handle for each in lost for handle in each.handles)})
        for tracker in self.subscriptions:
            if tracker not in known:
                since = [each.ticks for each in lost if not tracker.handles.isdisjoint(each.handles)]
                tracker.ticks = min(since, default=0)
        told = [replace(each, why=f"the subscription had to be created again: {each.why}") for each in lost]
        for each in told:
            self._log.warning("subscribed again: values may be missing", detail=each.why, variables=len(each.handles))
        told = [each for each in told if each.handles]
        absences, offset_ticks = await absences_after(self._session, before, told, "subscription_recreated")
        self._clock.begin(before.offset_ticks, offset_ticks)
        await self._account(absences, before)

    async def _refresh_conditions(self, trackers: Collection[SubscriptionTracker]) -> None:
        notifiers = {handle for handle, item in enumerate(self.table.items) if item.asked.events is not None}
        for tracker in trackers:
            if tracker.handles & notifiers:
                await refresh_conditions(self._session, tracker.id)

    async def _account(self, absences: Sequence[Absence], before: Checkpoint) -> None:
        """Fill or announce absences, including those that were incomplete at the checkpoint."""
        gaps = await self.backfill.take_on(self.table.items, absences, before)
        self._note_pending()
        if not self.backfill.is_first:
            self._ready.append(Delivery(None, tuple(gaps)))

    def _announce(self, gap: Gap) -> None:
        """Announce a gap that does not show in the server's messages."""
        self._ready.append(Delivery(None, (gap,)))
        self._publisher.wake()

    # -- receiving -----------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        """Wait for one response and queue its content.  Missed notifications come before new ones."""
        missed = self.subscriptions.missed
        if missed is not None:
            again = await services.republish(self._session, missed.id, missed.to_replay.popleft())
            if again is not None:
                await self._accept(missed, again, is_old=True)
            return
        self._publisher.fill(self._config.publish_requests + len(self.subscriptions) - 1)
        body = await self._next_response()
        if body is not None:
            await self._read(body)

    async def _receive_arrived(self) -> None:
        """Also queue what has arrived by now.  The requests that wait at the server limit the amount."""
        while self._publisher.has_arrived and self.subscriptions.missed is None:
            body = await self._publisher.receive(0.0)
            if body is not None:
                await self._read(body)

    async def _read(self, body: bytes) -> None:
        self._metrics.last_response.set(time.time())
        try:
            published = read_publish(body)
        except Malformed as error:
            self._metrics.undecodable.inc()
            self._log.warning("a publish response is malformed", reason=str(error), size_bytes=len(body))
            return
        tracker = self.subscriptions.of(published.subscription)
        if tracker is not None:
            tracker.hear()
            await self._accept(tracker, published)

    async def _next_response(self) -> bytes | None:
        """One response.  None: the server returned a request without content, woken, or a heartbeat is due.

        Raises `Silent` when one of the subscriptions was silent for three of its keep-alive intervals, however much the
        others send and however many heartbeats are due meanwhile.
        """
        heartbeats, trackers, began_s = self._builder.heartbeats, self.subscriptions.present, time.monotonic()
        try:
            return await self._publisher.receive(heartbeats.wait_s(began_s, self.subscriptions.patience_s))
        except Silent:
            repeated = heartbeats.due(time.monotonic())
        finally:
            waited_s = time.monotonic() - began_s
            for tracker in trackers:
                tracker.wait(waited_s)
        if repeated is not None:
            self._ready.append(Delivery(None, (), repeated))
            return None
        silent = next((tracker for tracker in trackers if tracker.patience_s <= 0), None)
        if silent is not None:
            await self._give_up(silent)
        return None

    async def _give_up(self, tracker: SubscriptionTracker) -> None:
        """Replace a silent subscription that was transferred and never sent anything, as happens with some servers.

        But not because all of the server is slow: then its subscriptions are kept for the next connection.  One with a
        keep-alive that is too long for us is asked for.  Raises `Silent` for any other one.
        """
        if not tracker.is_unproven:
            if tracker.is_slow and await services.is_there(self._session, tracker.id):
                tracker.excuse()
                return
            raise Silent(f"{self._session.where} has been silent for {tracker.silence_s:.1f} s")
        if not await self._session.answers():
            raise Silent(f"{self._session.where} answers nothing, and has been silent for {tracker.silence_s:.1f} s")
        if self._publisher.has_arrived:
            return  # it was only late
        before = decode_checkpoint(self._checkpoint())
        await self.subscriptions.delete(tracker)
        lost = Lost(tracker.ticks, frozenset(tracker.handles), "the server transferred it, but sent nothing for it")
        if before is not None:
            await self._replace([lost], before)

    async def _accept(self, tracker: SubscriptionTracker, published: Published, is_old: bool = False) -> None:
        """Handle a message at its place in the sequence."""
        place = tracker.place_of(published)
        if place == "elsewhere":
            self._discontinue(tracker, published)
        if place in ("following", "elsewhere") and (missing := tracker.missing_before(published)):
            await self._fill_gap(tracker, published, missing)
        if not published.notifications:
            return
        if place != "repeated" and tracker.take(published):
            self._deliver(tracker, published, is_old, is_late=place == "late")
        else:
            self._publisher.acknowledge(tracker.id, published.sequence)

    def _discontinue(self, tracker: SubscriptionTracker, published: Published) -> None:
        """Announce that the server's numbers have jumped: the number of missing messages is unknown."""
        self._metrics.sequence_gaps.inc()
        last, is_news = tracker.go_elsewhere()
        detail = (
            f"the server's sequence numbers jump from {last} to {published.sequence}: it is unknown what is missing"
        )
        if is_news:
            self._log.warning("the sequence numbers have jumped", subscription=tracker.id, detail=detail)
        self._announce_missing(tracker, detail)

    def _announce_missing(self, tracker: SubscriptionTracker, detail: str) -> None:
        gap = Gap("sequence_gap", detail, tracker.ticks, until_ticks(tracker.ticks), None, self._tags_of(tracker))
        self._ready.append(Delivery(None, (gap,)))

    def _deliver(self, tracker: SubscriptionTracker, published: Published, is_old: bool, is_late: bool = False) -> None:
        check_statuses(self._session.where, published, is_old)
        self._metrics.notifications.inc()
        if published.publish_ticks and not is_old:
            self._metrics.clock_offset.set(self._clock.note(published.publish_ticks) / TICKS_PER_SECOND)
        self._ready.append(Delivery(Message(tracker, published, is_late)))

    async def _fill_gap(self, tracker: SubscriptionTracker, published: Published, missing: Sequence[int]) -> None:
        """Request the messages missing before this one, and announce those that the server does not have any more."""
        self._metrics.sequence_gaps.inc(len(missing))
        self._log.warning("notifications are missing: reading them again", count=len(missing), subscription=tracker.id)
        again, lost = await read_missing(self._session, tracker, published, missing)
        for found in again:
            self._deliver(tracker, found, is_old=True)
        if lost:
            detail = (
                f"{len(lost)} notifications are missing in the server's sequence, and it does not have them any more"
            )
            self._log.warning("values are lost", cause="sequence_gap", detail=detail)
            self._announce_missing(tracker, detail)
