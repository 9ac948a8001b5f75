"""Transfers the subscriptions of an earlier session: finds out which ones continue, and what the others monitored.

One TransferSubscriptions call covers all of them.  Each is then compared with the checkpoint.  It is continued, or
deleted and its items become `Lost`.  A deleted one does not affect the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gateway.opcua.subscription.services as services
from gateway.opcua.session.session import Session
from gateway.opcua.space.selection import Table
from gateway.opcua.subscription.backfill import Lost
from gateway.opcua.subscription.checkpoint import Checkpoint, Position, SavedSubscription, handles_of
from gateway.opcua.subscription.services import Subscription
from gateway.opcua.subscription.tracker import SubscriptionTracker

_REFUSED = "the server does not have our subscription any more, or refuses to transfer it"


@dataclass(frozen=True, slots=True)
class Transferred:
    """The result for the subscriptions of a checkpoint."""

    trackers: tuple[SubscriptionTracker, ...] = ()
    lost: tuple[Lost, ...] = ()


async def transfer_subscriptions(
    session: Session, table: Table, checkpoint: Checkpoint, *, repeat: bool = False
) -> Transferred:
    """Continue the subscriptions of this checkpoint as far as the server allows.  Raises `Unavailable`.

    With `repeat` the server sends the last value of each variable again.
    """
    state = checkpoint.state
    if not state.subscriptions:
        return _nothing(table, checkpoint, "the server was polled before")
    if (state.url, state.started) != (session.where, session.started):
        return _nothing(table, checkpoint, "the server was restarted, or is another one")
    available = await services.transfer(session, [saved.id for saved in state.subscriptions], repeat=repeat)
    if state.digest != table.digest:
        await _delete(
            session, [saved for saved, known in zip(state.subscriptions, available, strict=True) if known is not None]
        )
        return _nothing(table, checkpoint, "the selection has changed since")
    trackers, given_up = [], []
    for saved, position, numbers in zip(state.subscriptions, checkpoint.positions, available, strict=True):
        tracker = _tracker_of(session, table, saved)
        why = await _adopt(session, table, saved, tracker) if numbers is not None else _REFUSED
        if not why and numbers is not None:
            tracker.continue_from(position, numbers)
            trackers.append(tracker)
            continue
        if numbers is not None:
            await _delete(session, [saved])
        given_up.append((saved, position, why))
    taken = {handle for tracker in trackers for handle in tracker.handles}
    return Transferred(tuple(trackers), _lost(table, given_up, taken))


def _nothing(table: Table, checkpoint: Checkpoint, why: str) -> Transferred:
    """The result when everything is lost.

    With another table, nobody knows which subscription had which of the present tags.
    """
    if checkpoint.state.subscriptions and checkpoint.state.digest == table.digest:
        given_up = [
            (saved, position, why)
            for saved, position in zip(checkpoint.state.subscriptions, checkpoint.positions, strict=True)
        ]
        return Transferred((), _lost(table, given_up, set()))
    return Transferred((), (Lost(checkpoint.ticks, frozenset(range(len(table.items))), why),))


def _lost(
    table: Table, given_up: Sequence[tuple[SavedSubscription, Position, str]], taken: set[int]
) -> tuple[Lost, ...]:
    """What each of these monitored.  If the checkpoint does not say: everything that no other one has."""
    count, known, lost = len(table.items), set(taken), []
    for saved, position, why in sorted(given_up, key=lambda each: each[0].handles is None):
        handles = handles_of(saved.handles, count) if saved.handles is not None else set(range(count)) - known
        known |= handles
        lost.append(Lost(position.ticks, frozenset(handles), why))
    return tuple(lost)


def _tracker_of(session: Session, table: Table, saved: SavedSubscription) -> SubscriptionTracker:
    subscription = Subscription(saved.id, saved.interval_s, saved.keep_alive_s, saved.lifetime_s)
    tracker = SubscriptionTracker(subscription, saved.asked_s, session.limits.subscribed)
    tracker.handles = handles_of(saved.handles or (), len(table.items))
    tracker.watches_model = saved.watches_model
    return tracker


async def _adopt(session: Session, table: Table, saved: SavedSubscription, tracker: SubscriptionTracker) -> str:
    """Why the subscription cannot be continued.  Empty: it monitors what the checkpoint says."""
    known = await services.monitored_ids(session, saved.id)
    if saved.handles is None:
        if known is None:
            return "the variables that it monitors are unknown"
        tracker.handles = {handle for handle in known if handle < len(table.items)}
    if known is not None and known.keys() != tracker.handles:
        return f"the server monitors {len(known)} variables, but {len(tracker.handles)} were requested"
    if any(table.items[handle].asked.publishing_s != saved.asked_s for handle in tracker.handles):
        return "its variables need another publishing interval now"
    return ""


async def _delete(session: Session, several: Sequence[SavedSubscription]) -> None:
    for saved in several:
        await services.delete_subscription(session, saved.id)
