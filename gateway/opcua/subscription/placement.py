"""Which variables go into which subscription: one subscription per publishing interval, and more where one is full.

A server says how many items a subscription takes, or refuses one too many; either way the rest goes into another.  When
a fresh subscription takes none, the server has no more to give: then the variables fail, and are tried again later.
"""

from collections.abc import Awaitable, Callable, Sequence

import gateway.opcua.subscription.services as services
from gateway.config import SourceConfig
from gateway.opcua.session.session import Session, untold
from gateway.opcua.space.selection import Item
from gateway.opcua.subscription.monitoring import Monitored
from gateway.opcua.subscription.services import TOO_MANY_ITEMS, TOO_MANY_SUBSCRIPTIONS, TooManySubscriptions
from gateway.opcua.subscription.tracker import SubscriptionTracker

MOST_SUBSCRIPTIONS = 100
"""Per source: each has keep-alives of its own, and keeps a PublishRequest waiting."""

Wanted = Sequence[tuple[int, Item]]
"""Handles and what to ask for."""
Begun = Callable[[SubscriptionTracker], Awaitable[None]]


async def nothing_more(tracker: SubscriptionTracker) -> None:
    """A new subscription that needs nothing beside its items."""


async def place(
    session: Session,
    config: SourceConfig,
    trackers: list[SubscriptionTracker],
    wanted: Wanted,
    begun: Begun = nothing_more,
    progress: Callable[[int], None] = untold,
) -> list[Monitored]:
    """Monitor these, in `trackers` and in new ones that are added to them; an answer for each, in order.

    There is at least one subscription then, also with nothing in it; the fastest are made first.  `begun` is called
    with each before it has any items.  Raises `Unavailable`, also where the server does not give even one.
    """
    answers: dict[int, Monitored] = {}
    intervals = sorted({item.publishing_s for _, item in wanted})
    if not trackers:
        await _with_room(session, config, trackers, min(intervals, default=config.publishing_interval), begun)
    for asked_s in intervals:
        waiting = [one for one in wanted if one[1].publishing_s == asked_s]
        while waiting:
            tracker = await _with_room(session, config, trackers, asked_s, begun)
            if tracker is None:
                answers |= _refused(waiting, TOO_MANY_SUBSCRIPTIONS)
                break
            some, later = waiting[: tracker.room], waiting[tracker.room :]
            told = await _monitor(session, tracker, some, progress)
            answers |= told
            crowded = [one for one in some if told[one[0]].status == TOO_MANY_ITEMS]
            if crowded and not tracker.handles:
                answers |= _refused(later, TOO_MANY_ITEMS)
                await _give_back(session, trackers, tracker)
                break
            if crowded:
                tracker.filled()
            waiting = [*crowded, *later]
    return [answers[handle] for handle, _ in wanted]


async def _with_room(
    session: Session, config: SourceConfig, trackers: list[SubscriptionTracker], asked_s: float, begun: Begun
) -> SubscriptionTracker | None:
    """A subscription of this interval that takes more; a new one if there is none; None where the server gives none."""
    for tracker in trackers:
        if tracker.asked_s == asked_s and tracker.room:
            return tracker
    if len(trackers) >= MOST_SUBSCRIPTIONS:
        return None
    try:
        subscription = await services.create_subscription(session, config, asked_s)
    except TooManySubscriptions:
        if not trackers:
            raise
        return None
    told = session.limits.subscribed
    tracker = SubscriptionTracker(
        subscription, asked_s, max((each.most for each in trackers if each.most < told), default=told)
    )
    trackers.append(tracker)
    await begun(tracker)
    return tracker


async def _monitor(
    session: Session, tracker: SubscriptionTracker, some: Wanted, progress: Callable[[int], None]
) -> dict[int, Monitored]:
    """What the server says to these items.  They count as the subscription's before it is asked: it may be quick."""
    handles = [handle for handle, _ in some]
    tracker.handles.update(handles)
    tracker.is_settled = False
    answers = await services.create_items(session, tracker.subscription, some, progress)
    told = dict(zip(handles, answers, strict=True))
    tracker.handles.difference_update(handle for handle, answer in told.items() if not answer.is_good)
    tracker.is_settled = True
    return told


def _refused(some: Wanted, status: int) -> dict[int, Monitored]:
    return {handle: Monitored(status) for handle, _ in some}


async def _give_back(session: Session, trackers: list[SubscriptionTracker], tracker: SubscriptionTracker) -> None:
    """An empty subscription is worth keeping only where it is the only one."""
    if len(trackers) > 1:
        trackers.remove(tracker)
        await services.delete_subscription(session, tracker.id)
