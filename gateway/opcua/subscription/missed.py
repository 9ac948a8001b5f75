"""Messages out of sequence: missing ones, and old ones that are repeated."""

from collections.abc import Sequence

import gateway.opcua.subscription.services as services
from gateway.errors import Unavailable
from gateway.opcua.codec.decode import STATUS_CHANGE, Published, read_status_change
from gateway.opcua.session.asyncua_edge import peer_errors, status_text
from gateway.opcua.session.session import Session
from gateway.opcua.subscription.tracker import SubscriptionTracker

GOOD_SUBSCRIPTION_TRANSFERRED = 0x002D_0000


async def read_missing(
    session: Session, tracker: SubscriptionTracker, published: Published, missing: Sequence[int]
) -> tuple[list[Published], list[int]]:
    """Request the messages missing before this one.  Returns those that the server has, and the numbers of the rest.

    Messages taken before are in neither list.  The rest is given up.  Raises `Unavailable`.
    """
    again, lost = [], dict.fromkeys(missing)
    for number in tracker.worth_asking(missing, published):
        found = await services.republish(session, tracker.id, number)
        if found is not None:
            del lost[number]
            if tracker.take(found):
                again.append(found)
    if lost:
        tracker.pass_over(published, lost)
    return again, list(lost)


def check_statuses(where: str, published: Published, is_old: bool) -> None:
    """Treat the end of a subscription as the end of the link.  Raises `Unavailable`.

    Exception: an old message may report a transfer.  It was meant for our earlier session.
    """
    for part in published.notifications:
        if part.kind == STATUS_CHANGE:
            with peer_errors("read a status change", where):
                status = read_status_change(published, part)
            if status != GOOD_SUBSCRIPTION_TRANSFERRED or not is_old:
                raise Unavailable(f"{where} ended the subscription: {status_text(status)}")
