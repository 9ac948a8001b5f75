"""The subscriptions of one source, and the variables of each.  Only this module changes that list.

There is one subscription per publishing interval, and more if one is full.  A server states how many items a
subscription can have, or refuses one too many; in both cases the rest goes into another subscription.  If a new
subscription accepts no item at all, the server is full: the variables fail and are retried later.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import gateway.opcua.subscription.services as services
from gateway.config import SourceConfig
from gateway.opcua.session.calls import no_progress
from gateway.opcua.session.session import Session
from gateway.opcua.space.selection import Item
from gateway.opcua.subscription.monitoring import Monitored
from gateway.opcua.subscription.services import TOO_MANY_ITEMS, TOO_MANY_SUBSCRIPTIONS, TooManySubscriptions
from gateway.opcua.subscription.tracker import SubscriptionTracker

MOST_SUBSCRIPTIONS = 100
"""Per source, since each has its own keep-alives and occupies a PublishRequest."""

Wanted = Sequence[tuple[int, Item]]
"""Handles and what to ask for."""
Progress = Callable[[int], None]


class Subscriptions:
    """The subscriptions of one source, in the order of their creation."""

    def __init__(self, session: Session, config: SourceConfig, *, watch_model: bool = False) -> None:
        """With `watch_model`, one of the subscriptions also monitors changes of the address space."""
        self._session = session
        self._config = config
        self._watch_model = watch_model
        self.present: tuple[SubscriptionTracker, ...] = ()
        """Replaced when it changes."""
        self._log = session.log

    def __iter__(self) -> Iterator[SubscriptionTracker]:
        return iter(self.present)

    def __len__(self) -> int:
        return len(self.present)

    def of(self, number: int) -> SubscriptionTracker | None:
        """Our subscription with this id.  None: there is none."""
        for tracker in self.present:
            if tracker.subscription.id == number:
                return tracker
        return None

    @property
    def missed(self) -> SubscriptionTracker | None:
        """The first subscription with notifications to read again."""
        for tracker in self.present:
            if tracker.to_replay:
                return tracker
        return None

    @property
    def patience_s(self) -> float:
        """How long to wait for any message, until one of them has been silent for too long."""
        return max(0.0, min([tracker.patience_s for tracker in self.present]))

    @property
    def fastest(self) -> SubscriptionTracker:
        """The subscription with the shortest publishing interval.  There must be one."""
        return min(self.present, key=lambda tracker: tracker.subscription.interval_s)

    @property
    def interval_s(self) -> float:
        """The shortest publishing interval; 0 without any subscription."""
        return min((tracker.subscription.interval_s for tracker in self.present), default=0.0)

    @property
    def keep_alive_s(self) -> float:
        """The longest silence allowed to any of them; 0 without subscriptions."""
        return max((tracker.subscription.keep_alive_s for tracker in self.present), default=0.0)

    def without(self, handles: Iterable[int]) -> set[int]:
        """Those of these handles that have no subscription."""
        left: Iterable[int] = handles
        for tracker in self.present:
            known = tracker.handles
            left = [handle for handle in left if handle not in known]
        return set(left)

    def adopt(self, tracker: SubscriptionTracker) -> None:
        """Continue a subscription that was transferred to our session."""
        self.present = (*self.present, tracker)

    async def quicken(self) -> None:
        """Ask again for the keep-alive that is configured, where the server revised it to a much longer one.

        Raises `Unavailable`.
        """
        for tracker in self:
            if not tracker.is_slow:
                continue
            modified = await services.modify_subscription(self._session, self._config, tracker.id, tracker.asked_s)
            if modified is not None:
                tracker.subscription = modified
            if not tracker.is_slow:
                self._log.info("the server speaks up often enough now", keep_alive_s=modified and modified.keep_alive_s)

    def _tell_slow(self, tracker: SubscriptionTracker) -> None:
        if tracker.is_slow:
            self._log.warning(
                "the server may be silent for long: it is asked now and then whether the subscription is there",
                asked_s=self._config.keep_alive, keep_alive_s=tracker.subscription.keep_alive_s,
            )  # fmt: skip

    async def delete(self, tracker: SubscriptionTracker) -> None:
        """Delete a subscription on the server and forget it.  Raises `Unavailable`, and forgets it also then."""
        self.present = tuple(each for each in self.present if each is not tracker)
        await services.delete_subscription(self._session, tracker.id)

    async def watch(self, tracker: SubscriptionTracker) -> None:
        """Let this subscription monitor the address space, if that is wanted and no other one does."""
        if self._watch_model and not any(each.watches_model for each in self.present):
            tracker.watches_model = await services.watch_model(self._session, tracker.subscription)

    async def place(self, wanted: Wanted, progress: Progress = no_progress) -> list[Monitored]:
        """Monitor these variables, in new subscriptions if needed.  Returns an answer for each, in order.

        Afterwards there is at least one subscription, even an empty one; the fastest are created first.  Raises
        `Unavailable`, also if the server creates none at all.
        """
        answers: dict[int, Monitored] = {}
        intervals = sorted({item.asked.publishing_s for _, item in wanted})
        if not self.present:
            await self._with_room(min(intervals, default=self._config.publishing_interval))
        for asked_s in intervals:
            waiting = [one for one in wanted if one[1].asked.publishing_s == asked_s] if len(intervals) > 1 else wanted
            answers |= await self._place_at(asked_s, waiting, progress)
        return [answers[handle] for handle, _ in wanted]

    async def _place_at(self, asked_s: float, waiting: Wanted, progress: Progress) -> dict[int, Monitored]:
        """Place variables of one publishing interval."""
        answers: dict[int, Monitored] = {}
        while waiting:
            tracker = await self._with_room(asked_s)
            if tracker is None:
                return answers | _refused(waiting, TOO_MANY_SUBSCRIPTIONS)
            some, later = waiting[: tracker.room], waiting[tracker.room :]
            told = await self._monitor(tracker, some, progress)
            answers |= told
            crowded = [one for one in some if told[one[0]].status == TOO_MANY_ITEMS]
            if crowded and not tracker.handles:
                await self._give_back(tracker)
                return answers | _refused(later, TOO_MANY_ITEMS)
            if crowded:
                tracker.filled()
            waiting = [*crowded, *later]
        return answers

    async def _with_room(self, asked_s: float) -> SubscriptionTracker | None:
        """A subscription of this interval with room for items, a new one if needed.  None: the server is full."""
        for tracker in self.present:
            if tracker.asked_s == asked_s and tracker.room:
                return tracker
        if len(self.present) >= MOST_SUBSCRIPTIONS:
            return None
        try:
            subscription = await services.create_subscription(self._session, self._config, asked_s)
        except TooManySubscriptions:
            if not self.present:
                raise
            return None
        told = self._session.limits.subscribed
        seen = [each.most for each in self.present if each.most < told]
        tracker = SubscriptionTracker(subscription, asked_s, max(seen, default=told))
        self.present = (*self.present, tracker)
        self._tell_slow(tracker)
        await self.watch(tracker)
        return tracker

    async def _monitor(self, tracker: SubscriptionTracker, some: Wanted, progress: Progress) -> dict[int, Monitored]:
        """The server's answers for these items.

        They belong to the subscription before the request, because their first values may come at once.
        """
        handles = [handle for handle, _ in some]
        tracker.handles.update(handles)
        tracker.is_settled = False
        answers = await services.create_items(self._session, tracker.subscription, some, progress)
        told = dict(zip(handles, answers, strict=True))
        tracker.handles.difference_update([handle for handle, answer in told.items() if not answer.is_good])
        tracker.is_settled = True
        return told

    async def _give_back(self, tracker: SubscriptionTracker) -> None:
        """Delete the subscription if it is empty and not the only one."""
        if len(self.present) > 1:
            await self.delete(tracker)


def _refused(some: Wanted, status: int) -> dict[int, Monitored]:
    return {handle: Monitored(status) for handle, _ in some}
