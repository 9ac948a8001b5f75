"""One subscription of a source: what it monitors, how far it has come, and how long it has been silent.

Pure: it decides, and others send and read.  Sequence numbers, keep-alives and timestamps are each subscription's own;
the session, its PublishRequests and the table of tags are shared by all of a source.
"""

from collections import deque
from collections.abc import Iterable

from gateway.opcua.codec.decode import Published
from gateway.opcua.subscription.checkpoint import Position
from gateway.opcua.subscription.sequence import between, distance, predecessor
from gateway.opcua.subscription.services import Subscription

MISSED_KEEP_ALIVES = 3
MOST_REPUBLISHED = 10_000
"""More missing notifications than this are not asked for one by one."""


class SubscriptionTracker:
    """What we know of one subscription."""

    def __init__(self, subscription: Subscription, asked_s: float, most: int, ticks: int = 0) -> None:
        self.subscription = subscription
        self.asked_s = asked_s
        """The publishing interval that was asked for."""
        self.most = most
        """How many items it takes: as many as the server said, or had when it refused one more."""
        self.handles: set[int] = set()
        """The client handles of what it monitors."""
        self.is_settled = True
        """Whether the server has answered for all of `handles`."""
        self.watches_model = False
        """It also has the item that tells when the address space changes."""
        self.ticks = ticks
        """The latest source timestamp seen: where a gap would begin."""
        self.yielded = 0
        """The sequence number of the last notification that was yielded."""
        self.durable: tuple[int, ...] = ()
        """Notifications that the server still kept at the transfer and that need only be acknowledged."""
        self.to_replay: deque[int] = deque()
        """Notifications that have to be read again, before anything new."""
        self.is_unproven = False
        """It was transferred, and the server has not sent anything for it yet."""
        self._last = 0
        self._waited_s = 0.0

    @property
    def id(self) -> int:
        return self.subscription.id

    @property
    def room(self) -> int:
        """How many items more it takes."""
        return max(0, self.most - self.watches_model - len(self.handles))

    def filled(self) -> None:
        """The server refused one more."""
        self.most = self.watches_model + len(self.handles)

    @property
    def position(self) -> Position:
        """How far it has come, for the checkpoint."""
        return Position(self.yielded, self.ticks)

    def continue_from(self, position: Position, available: Iterable[int]) -> None:
        """It was transferred.  `position` is durable, and the server still has the `available` notifications."""
        self._last = self.yielded = position.sequence
        self.ticks = position.ticks
        self.is_unproven = True
        numbers = sorted(available, key=lambda number: distance(position.sequence, number))
        self.durable = tuple(number for number in numbers if distance(position.sequence, number) <= 0)
        self.to_replay.extend(numbers[len(self.durable) :])

    # -- silence -------------------------------------------------------------------------------------------------

    @property
    def silence_s(self) -> float:
        """How long the server may be silent."""
        return MISSED_KEEP_ALIVES * self.subscription.keep_alive_s

    @property
    def patience_s(self) -> float:
        """How much of that is left.  Only the time in which we waited counts: our own delays are not the server's."""
        return self.silence_s - self._waited_s

    def wait(self, seconds: float) -> None:
        """We waited so long, and nothing came for this subscription."""
        self._waited_s += seconds

    def hear(self) -> None:
        """The server said something."""
        self._waited_s, self.is_unproven = 0.0, False

    # -- sequence ------------------------------------------------------------------------------------------------

    def missing_before(self, published: Published) -> int:
        """How many messages are missing before this one; a keep-alive carries the number of the next message."""
        ahead = distance(self._last, published.sequence)
        if self._last == 0 and not set(between(0, published.sequence, MOST_REPUBLISHED)) & set(published.available):
            return 0  # a server whose numbers do not begin at 1
        return max(0, ahead - 1)

    def numbers_before(self, published: Published) -> list[int]:
        """The numbers of those that are missing, as far as they are worth asking for."""
        return between(self._last, published.sequence, MOST_REPUBLISHED)

    def pass_over(self, published: Published) -> None:
        """What is missing before this message is given up."""
        self._last = predecessor(published.sequence)

    def take(self, published: Published) -> bool:
        """Whether this message is new; then its place in the sequence is taken."""
        if distance(self._last, published.sequence) <= 0:
            return False
        self._last = published.sequence
        return True
