"""The monitored items of a source: the tags in its subscriptions, those that the server refused, and retries.

A variable that the server refuses costs one log line, a gap and a count, and does not affect the others.  A variable
that appears in a selected subtree is added to a subscription with its interval.  One that disappears is announced.
"""

from collections.abc import Callable, Collection, Sequence

import gateway.opcua.subscription.services as services
from gateway.config import SourceConfig
from gateway.logs import SparingLog
from gateway.metrics import SourceMetrics
from gateway.model import Gap
from gateway.opcua.session.asyncua_edge import status_text
from gateway.opcua.session.session import Session
from gateway.opcua.space.growth import growth_of, something_appeared
from gateway.opcua.space.selection import Item, Table
from gateway.opcua.subscription.batches import BatchBuilder, now_ticks, until_ticks
from gateway.opcua.subscription.checkpoint import (
    Absence,
    SavedSubscription,
    SubscriptionState,
    encode_checkpoint,
    ranges_of,
)
from gateway.opcua.subscription.monitoring import Monitored
from gateway.opcua.subscription.subscriptions import Subscriptions
from gateway.opcua.subscription.tracker import SubscriptionTracker

MOST_ADDED_IN_CHECKPOINT = 100
"""The checkpoint is written with every batch, so its size is limited."""
SHOWN = 5
"""How many examples a log line names."""


class MonitoredItems:
    """The tags of a source, as its subscriptions have them."""

    def __init__(
        self,
        session: Session,
        config: SourceConfig,
        subscriptions: Subscriptions,
        *,
        table: Table,
        metrics: SourceMetrics,
        builder: BatchBuilder,
        announce: Callable[[Gap], None],
    ) -> None:
        """`announce` is called with each gap that does not show in the server's messages."""
        self.table = table
        self.failed: set[int] = set()
        """Handles of variables without a subscription."""
        self.backfill_pending: tuple[Absence, ...] = ()
        """Absences that are being filled beside the live values; the checkpoint lists them."""
        self._session = session
        self._config = config
        self._subscriptions = subscriptions
        self._metrics = metrics
        self._builder = builder
        self._announce = announce
        self._state = b""
        """The encoded `SubscriptionState`; empty while items change."""
        self._gone: set[int] = set()
        self._revised: set[int] = set()
        self._log = session.log
        tell_missing(self._log, table)
        metrics.empty_selections.set(len(table.missing))

    async def create(self, handles: Collection[int]) -> None:
        """Subscribe to these handles.  Raises `Unavailable`."""
        await self._place(sorted(handles))
        await self._subscriptions.watch(self._subscriptions.fastest)
        self.settle()
        self._log.info(
            "subscribed",
            variables=len(set(handles) - self.failed),
            failed=len(self.failed),
            publishing_intervals_s=[tracker.subscription.interval_s for tracker in self._subscriptions],
            keep_alive_s=self._subscriptions.keep_alive_s,
        )

    async def retry(self) -> None:
        """Retry failed variables, and browse empty selections again.  Raises `Unavailable`."""
        if await something_appeared(self._session, self.table, self.failed):
            await self.refresh()
        if not self.failed:
            return
        failed = sorted(self.failed)
        self._state = b""
        answers = await self._subscriptions.place(self._wanted(failed))
        back = {handle for handle, answer in zip(failed, answers, strict=True) if answer.is_good}
        self.settle()
        if back:
            self._gone -= back
            self._log.info("variables are back", variables=self._names(sorted(back)))

    def grow(self, config: SourceConfig) -> None:
        """Go by this configuration, which has more selections at its end, from the next `refresh` on."""
        self._config = config

    async def refresh(self) -> None:
        """Subscribe to new variables of the selections, and announce removed ones.  Raises `Unavailable`."""
        growth = await growth_of(self._session, self._config, self.table)
        self.table = growth.table
        self._metrics.empty_selections.set(len(self.table.missing))
        if growth.came:
            self._builder.learn(self.table)  # before the server gets the handles, since it may answer at once
            await self._place(growth.came)
            self._log.info("new variables", count=len(growth.came), variables=self._names(growth.came))
        self._gone &= set(growth.went)
        went = sorted(set(growth.went) - self._gone - self.failed)
        if went:
            self._gone |= set(went)
            self._log.warning("variables are gone from the server", count=len(went), variables=self._names(went))
        for tracker in self._subscriptions:
            if here := [handle for handle in went if handle in tracker.handles]:
                await self._remove(tracker, here)
        if growth.came or went:
            self.settle()

    async def _remove(self, tracker: SubscriptionTracker, handles: Sequence[int]) -> None:
        if await services.delete_items(self._session, tracker.id, handles):
            tracker.handles.difference_update(handles)
        self._announce(removal(handles, tracker.ticks))

    async def _place(self, handles: Sequence[int]) -> None:
        self._state = b""
        answers = await self._subscriptions.place(self._wanted(handles))
        told = list(zip(handles, answers, strict=True))
        revised = [handle for handle, answer in told if answer.differs_from(self.table.items[handle])]
        self._revised.difference_update(handles)
        self._revised.update(revised)
        self._tell_failed(told)
        self._tell_unfiltered(told)
        if revised:
            self._tell_revised(len(revised), self.table.items[revised[0]], dict(told)[revised[0]])

    def _wanted(self, handles: Sequence[int]) -> list[tuple[int, Item]]:
        return [(handle, self.table.items[handle]) for handle in handles]

    def _names(self, handles: Sequence[int]) -> list[str]:
        return [self.table.items[handle].text for handle in handles[:SHOWN]]

    def settle(self) -> None:
        """Update counts and state after any change."""
        self.failed = self._subscriptions.without(range(len(self.table.items)))
        self._metrics.items_good.set(len(self.table.items) - len(self.failed))
        self._metrics.items_failed.set(len(self.failed))
        self._metrics.items_revised.set(len(self._revised))
        self._metrics.subscriptions.set(len(self._subscriptions))
        self._metrics.publishing_interval.set(self._subscriptions.interval_s)
        self._metrics.keep_alive.set(self._subscriptions.keep_alive_s)
        self._state = self._encoded_state()

    def checkpoint(self, offset_ticks: int) -> bytes:
        """The present checkpoint of all subscriptions, encoded."""
        state = self._state or self._encoded_state()
        return encode_checkpoint(state, [tracker.position for tracker in self._subscriptions], offset_ticks)

    def _encoded_state(self) -> bytes:
        return SubscriptionState(
            self._session.where,
            self._session.started,
            self.table.digest,
            tuple(_saved(tracker) for tracker in self._subscriptions),
            self.table.added if len(self.table.added) <= MOST_ADDED_IN_CHECKPOINT else None,
            self.backfill_pending,
        ).encode()

    def _tell_failed(self, answers: Sequence[tuple[int, Monitored]]) -> None:
        """Log one line per reason, with examples, and announce it."""
        for status in dict.fromkeys(answer.status for _, answer in answers if not answer.is_good):
            handles = [handle for handle, answer in answers if answer.status == status]
            self._log.warning(
                "variables cannot be subscribed to; retried regularly", kind=status_text(status),
                reason=status_text(status), count=len(handles), variables=self._names(handles),
            )  # fmt: skip
            self._announce(refusal(handles, status))

    def _tell_unfiltered(self, answers: Sequence[tuple[int, Monitored]]) -> None:
        handles = [handle for handle, answer in answers if answer.unfiltered]
        if handles:
            text = "the server supports no dead-band or trigger for these variables: it sends every change"
            self._log.info(text, count=len(handles), variables=self._names(handles))

    def _tell_revised(self, count: int, item: Item, answer: Monitored) -> None:
        self._log.info(
            "the server revised sampling interval or queue size",
            variables=count, example=item.text,
            asked=f"{item.asked.sampling_ms:g} ms, queue {item.asked.queue_size}",
            got=f"{answer.sampling_ms:g} ms, queue {answer.queue_size}",
        )  # fmt: skip


def _saved(tracker: SubscriptionTracker) -> SavedSubscription:
    made = tracker.subscription
    return SavedSubscription(
        made.id,
        tracker.asked_s,
        made.interval_s,
        made.keep_alive_s,
        made.lifetime_s,
        ranges_of(tracker.handles) if tracker.is_settled else None,
        tracker.watches_model,
    )


def tell_missing(log: SparingLog, table: Table) -> None:
    """Log the subtrees and types without variables."""
    if table.missing:
        names = [selection.subtree or selection.type for selection in table.missing[:SHOWN]]
        log.warning("found no variables here; retried regularly", places=names)


def removal(handles: Sequence[int], since_ticks: int) -> Gap:
    """The announcement of removed variables."""
    detail = "these variables are gone from the server's address space"
    return Gap("node_removed", detail, since_ticks, until_ticks(since_ticks), None, tuple(handles))


def refusal(handles: Sequence[int], status: int) -> Gap:
    """The announcement of variables that the server refuses from now on, until their values come."""
    detail = f"the server refuses these variables, which are asked for again and again: {status_text(status)}"
    return Gap("not_available", detail, now_ticks(), 0, None, tuple(handles))
