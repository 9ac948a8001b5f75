"""What has been received and waits to become a batch."""

from collections import deque
from itertools import islice

from msgspec import Struct

from gateway.model import Gap
from gateway.opcua.codec.columns import Changes
from gateway.opcua.codec.decode import Published
from gateway.opcua.subscription.tracker import SubscriptionTracker


class Message(Struct, frozen=True):
    """A notification message of one of the subscriptions."""

    tracker: SubscriptionTracker
    published: Published
    is_late: bool = False
    """Whether it came after its successors and was announced as missing."""


class Delivery(Struct, frozen=True):
    """The content of one batch: a message, only gaps, or heartbeats."""

    message: Message | None
    gaps: tuple[Gap, ...] = ()
    repeated: Changes | None = None
    """Heartbeats."""
    read: Changes | None = None
    """Values that were read on demand."""


def run_of(ready: deque[Delivery]) -> list[Published]:
    """The messages at the front that may travel in one batch: of one subscription, in sequence, without gaps between.

    The first delivery must be a message.  A late one travels alone.
    """
    first = ready[0].message
    assert first is not None
    run = [first.published]
    for delivery in islice(ready, 1, 1 if first.is_late else None):
        following = delivery.message
        if following is None or following.tracker is not first.tracker or following.is_late or delivery.gaps:
            break
        run.append(following.published)
    return run
