"""Going on with the subscriptions of an earlier session: which of them, and what cannot be gone on with.

One TransferSubscriptions for all of them; then each for itself is what the mark says, or it is given up and what it
monitored is `Lost`: the others do not suffer from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gateway.opcua.subscription.services as services
from gateway.opcua.session.session import Session
from gateway.opcua.space.selection import Table
from gateway.opcua.subscription.backfill import Lost
from gateway.opcua.subscription.checkpoint import Held, Mark, Position, handles_of
from gateway.opcua.subscription.services import Subscription
from gateway.opcua.subscription.tracker import Feed

_REFUSED = "the server has not got our subscription any more, or does not give it to us"


@dataclass(frozen=True, slots=True)
class Takeover:
    """What became of the subscriptions of a mark."""

    feeds: tuple[Feed, ...] = ()
    lost: tuple[Lost, ...] = ()


async def take_up(session: Session, table: Table, mark: Mark) -> Takeover:
    """Go on with the subscriptions of this mark, as far as the server lets us.  Raises `Unavailable`."""
    lease = mark.lease
    if not lease.held:
        return _nothing(table, mark, "the server was polled before")
    if (lease.url, lease.started) != (session.where, session.started):
        return _nothing(table, mark, "the server was restarted, or is another one")
    available = await services.transfer(session, [held.id for held in lease.held])
    if lease.digest != table.digest:
        await _delete(session, [held for held, known in zip(lease.held, available, strict=True) if known is not None])
        return _nothing(table, mark, "the selection has changed since")
    feeds, given_up = [], []
    for held, position, numbers in zip(lease.held, mark.positions, available, strict=True):
        feed = _feed_of(session, table, held)
        why = await _adopt(session, table, held, feed) if numbers is not None else _REFUSED
        if not why and numbers is not None:
            feed.go_on(position, numbers)
            feeds.append(feed)
            continue
        if numbers is not None:
            await _delete(session, [held])
        given_up.append((held, position, why))
    taken = {handle for feed in feeds for handle in feed.handles}
    return Takeover(tuple(feeds), _lost(table, given_up, taken))


def _nothing(table: Table, mark: Mark, why: str) -> Takeover:
    """All of it is lost.  Of another table nobody knows which subscription had which of today's tags."""
    if mark.lease.held and mark.lease.digest == table.digest:
        given_up = [(held, position, why) for held, position in zip(mark.lease.held, mark.positions, strict=True)]
        return Takeover((), _lost(table, given_up, set()))
    return Takeover((), (Lost(mark.ticks, frozenset(range(len(table.items))), why),))


def _lost(table: Table, given_up: Sequence[tuple[Held, Position, str]], taken: set[int]) -> tuple[Lost, ...]:
    """What each of these monitored; where the mark does not say so, everything that no other one has."""
    count, known, lost = len(table.items), set(taken), []
    for held, position, why in sorted(given_up, key=lambda each: each[0].handles is None):
        handles = handles_of(held.handles, count) if held.handles is not None else set(range(count)) - known
        known |= handles
        lost.append(Lost(position.ticks, frozenset(handles), why))
    return tuple(lost)


def _feed_of(session: Session, table: Table, held: Held) -> Feed:
    subscription = Subscription(held.id, held.interval_s, held.keep_alive_s, held.lifetime_s)
    feed = Feed(subscription, held.asked_s, session.limits.subscribed)
    feed.handles = handles_of(held.handles or (), len(table.items))
    feed.watches_model = held.watches_model
    return feed


async def _adopt(session: Session, table: Table, held: Held, feed: Feed) -> str:
    """Whether the subscription monitors what we think it does; why not, if not."""
    known = await services.monitored_ids(session, held.id)
    if held.handles is None:
        if known is None:
            return "nobody knows any more which variables it monitors"
        feed.handles = {handle for handle in known if handle < len(table.items)}
    if known is not None and known.keys() != feed.handles:
        return f"the server monitors {len(known)} variables where {len(feed.handles)} were asked for"
    if any(table.items[handle].publishing_s != held.asked_s for handle in feed.handles):
        return "its variables are to be published at another interval"
    return ""


async def _delete(session: Session, helds: Sequence[Held]) -> None:
    for held in helds:
        await services.delete_subscription(session, held.id)
