"""One subscription of a source: what it monitors, how far it has come, and how long it has been silent.

Pure: it decides, and others send and read.  Sequence numbers, keep-alives and timestamps are each subscription's own;
the session, its PublishRequests and the table of tags are shared by all of a source.
"""

import zlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Literal

from gateway.opcua.codec.decode import Published
from gateway.opcua.subscription.checkpoint import Position
from gateway.opcua.subscription.sequence import between, distance, predecessor
from gateway.opcua.subscription.services import Subscription

MISSED_KEEP_ALIVES = 3
MOST_REPUBLISHED = 10_000
"""A number further ahead than this is no gap in the numbers: they have begun elsewhere."""
_ASKED_UNLISTED = 100
"""So many missing notifications are asked for, the newest ones, though the server does not list that it has them."""
_REMEMBERED = 256
"""Messages that are known again when they are repeated: more than wait for their acknowledgement at a time."""
_ORDERLY = 100
"""After so many messages in order, numbers that go elsewhere are worth a word again."""
_EDGE = 256
"""Bytes at both ends of a message by which it is known again."""

Place = Literal["following", "repeated", "late", "elsewhere"]
"""Where a message stands in the sequence: ahead of the last one, perhaps behind missing ones; taken before; missing and
given up before; or in other numbers than those so far."""


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
        self._last: int | None = None
        """The number of the last message in the sequence; None before the first."""
        self._taken: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        self._given_up: set[int] = set()
        self._orderly = _ORDERLY
        self._is_elsewhere = False
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
        self._last, self.yielded = position.sequence or None, position.sequence
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

    def place_of(self, published: Published) -> Place:
        """Where this message stands.  A keep-alive carries the number of the next message, or in some servers that of
        the last; one that fits neither says nothing, and the next message will."""
        number = published.sequence
        if self._last is None or (number and 0 < distance(self._last, number) <= MOST_REPUBLISHED):
            return "following"
        if not published.notifications or _mark_of(published) in self._taken or self._is_durable(number):
            return "repeated"
        return "late" if number in self._given_up else "elsewhere"

    def _is_durable(self, number: int) -> bool:
        """Whether this number was durable before the transfer, and nothing else is known of it."""
        return not self._taken and (number in self.durable or number == self._last)

    def missing_before(self, published: Published) -> list[int]:
        """The numbers that are missing before this message that follows."""
        number = published.sequence
        if self._last is not None:
            return between(self._last, number, MOST_REPUBLISHED)
        listed = [n for n in published.available if 0 < distance(n, number) <= MOST_REPUBLISHED]
        if listed and not self._is_elsewhere and number <= MOST_REPUBLISHED:
            return list(range(1, number))
        return sorted(set(listed), key=lambda n: distance(number, n))  # a server whose numbers do not begin at 1

    def worth_asking(self, missing: Sequence[int], published: Published) -> list[int]:
        """Those of the missing numbers that the server may still have: what it lists, and the newest."""
        listed = set(published.available)
        return [n for n in missing[:-_ASKED_UNLISTED] if n in listed] + list(missing[-_ASKED_UNLISTED:])

    def pass_over(self, published: Published, missing: Iterable[int]) -> None:
        """What is missing before this message is given up."""
        if len(self._given_up) > MOST_REPUBLISHED:
            self._given_up.clear()
        self._given_up.update(missing)
        self._last = predecessor(published.sequence)

    def go_elsewhere(self) -> tuple[int, bool]:
        """The numbers go elsewhere: whatever comes next is followed.  Returns the last one so far, and whether that is
        worth a word, because the numbers were in order for a while before."""
        last, is_news = self._last or 0, self._orderly >= _ORDERLY
        self._last, self._orderly, self._is_elsewhere = None, 0, True
        self._given_up.clear()
        return last, is_news

    def take(self, published: Published) -> bool:
        """Take a message that follows or is late; False for one that was taken before."""
        mark = _mark_of(published)
        if mark in self._taken:
            return False
        self._taken[mark] = None
        if len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)
        if published.sequence in self._given_up:
            self._given_up.discard(published.sequence)
            return True
        self._last = published.sequence
        self._orderly += 1
        return True


def _mark_of(published: Published) -> tuple[int, int, int]:
    """By what a message is known when it is sent again: its number, its time (Part 4, 7.26: that of the first
    transmission) and its bytes, of which the ends stand for all."""
    parts = published.notifications
    start, end = (parts[0].start, parts[-1].end) if parts else (0, 0)
    body = published.body
    head, tail = body[start : min(end, start + _EDGE)], body[max(start, end - _EDGE) : end]
    return published.sequence, published.own_ticks, zlib.crc32(tail, zlib.crc32(head, end - start))
