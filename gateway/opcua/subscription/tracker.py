"""One subscription of a source: its items, its position, and how long it has been silent.

Pure: it decides, others send and read.  Each subscription has its own sequence numbers, keep-alives and timestamps.
The session, its PublishRequests and the table of tags are shared by the whole source.
"""

import zlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Literal

from gateway.opcua.codec.decode import Published
from gateway.opcua.subscription.checkpoint import Position
from gateway.opcua.subscription.sequence import between, distance, predecessor, successor
from gateway.opcua.subscription.services import Subscription

MISSED_KEEP_ALIVES = 3
MOST_KEEP_ALIVE_S = 60.0
"""A longer keep-alive, as the server revised it, is not waited for."""
MOST_REPUBLISHED = 10_000
"""A number further ahead than this does not show a gap, but a jump."""
_ASKED_UNLISTED = 100
"""How many missing notifications, the newest ones, are requested even if the server does not list them."""
_REMEMBERED = 256
"""How many messages are remembered to recognise repeats: more than can wait for an acknowledgement."""
_ORDERLY = 100
"""After this many messages in order, a jump of the numbers is logged again."""
_EDGE = 256
"""How many bytes at both ends of a message identify it."""

Place = Literal["following", "repeated", "late", "elsewhere"]
"""The place of a message in the sequence: after the last one, perhaps with missing ones in between (`following`); taken
before (`repeated`); given up as missing before (`late`); or after a jump of the numbers (`elsewhere`)."""


class SubscriptionTracker:
    """The state of one subscription."""

    def __init__(self, subscription: Subscription, asked_s: float, most: int, ticks: int = 0) -> None:
        self.subscription = subscription
        self.asked_s = asked_s
        """The requested publishing interval."""
        self.most = most
        """How many items it can have: as the server stated, or as it had when the server refused one more."""
        self.handles: set[int] = set()
        """The client handles of its items."""
        self.is_settled = True
        """Whether the server has answered for all of `handles`."""
        self.watches_model = False
        """Whether it also monitors changes of the address space."""
        self.ticks = ticks
        """The latest source timestamp: the beginning of a possible gap."""
        self.yielded = 0
        """The sequence number of the last yielded notification."""
        self.durable: tuple[int, ...] = ()
        """Notifications that the server still had at the transfer and that only need an acknowledgement."""
        self.to_replay: deque[int] = deque()
        """Notifications to read again before anything new."""
        self.is_unproven = False
        """Whether it was transferred and the server has not sent anything for it yet."""
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
        """How many more items it can have."""
        return max(0, self.most - self.watches_model - len(self.handles))

    def filled(self) -> None:
        """Note that the server refused one more item."""
        self.most = self.watches_model + len(self.handles)

    @property
    def position(self) -> Position:
        """Its position for the checkpoint."""
        return Position(self.yielded, self.ticks)

    def continue_from(self, position: Position, available: Iterable[int]) -> None:
        """Continue after a transfer.  `position` is durable, and the server still has the `available` notifications.

        Those that lead up to the position are durable too.  Lower numbers that do not are read again: the server's
        numbers may have fallen back since.
        """
        self._last, self.yielded = position.sequence or None, position.sequence
        self.ticks = position.ticks
        self.is_unproven = True
        unread, durable, number = set(available), deque[int](), position.sequence
        while number in unread:
            unread.remove(number)
            durable.appendleft(number)
            number = predecessor(number)
        self.durable = tuple(durable)
        behind = sorted(unread, key=lambda number: distance(position.sequence, number))
        newer = [number for number in behind if distance(position.sequence, number) > 0]
        self.to_replay.extend(newer + behind[: len(behind) - len(newer)])

    # -- silence -------------------------------------------------------------------------------------------------

    @property
    def is_slow(self) -> bool:
        """The server may be silent for longer than we wait (years, if it likes)."""
        return not self.subscription.keep_alive_s <= MOST_KEEP_ALIVE_S

    @property
    def silence_s(self) -> float:
        """How long the server may be silent before it is asked, or given up."""
        return MISSED_KEEP_ALIVES * (MOST_KEEP_ALIVE_S if self.is_slow else self.subscription.keep_alive_s)

    @property
    def patience_s(self) -> float:
        """The rest of that time.  Only our waiting counts, not our own delays."""
        return self.silence_s - self._waited_s

    def wait(self, seconds: float) -> None:
        """Count a wait without any message for this subscription."""
        self._waited_s += seconds

    def excuse(self) -> None:
        """The server has said, when asked, that the subscription is there."""
        self._waited_s = 0.0

    def hear(self) -> None:
        """Note that the server has sent something."""
        self._waited_s, self.is_unproven = 0.0, False

    # -- sequence ------------------------------------------------------------------------------------------------

    def place_of(self, published: Published) -> Place:
        """The place of this message.  A keep-alive carries the number of the next message, on some servers that of the
        last.  One with another number is ignored; the next message decides."""
        number = published.sequence
        if self._last is None or (number and 0 < distance(self._last, number) <= MOST_REPUBLISHED):
            return "following"
        if not published.notifications or _mark_of(published) in self._taken or self._is_durable(number):
            return "repeated"
        return "late" if number in self._given_up else "elsewhere"

    def _is_durable(self, number: int) -> bool:
        """Whether this number was durable before the transfer, and is known by nothing else."""
        return not self._taken and (number in self.durable or number == self._last)

    def missing_before(self, published: Published) -> list[int]:
        """The numbers missing before this following message."""
        number = published.sequence
        if self._last is not None and number == successor(self._last):
            return []
        if self._last is not None:
            return between(self._last, number, MOST_REPUBLISHED)
        listed = [n for n in published.available if 0 < distance(n, number) <= MOST_REPUBLISHED]
        if listed and not self._is_elsewhere and number <= MOST_REPUBLISHED:
            return list(range(1, number))
        return sorted(set(listed), key=lambda n: distance(number, n))  # the numbers of some servers do not begin at 1

    def worth_asking(self, missing: Sequence[int], published: Published) -> list[int]:
        """The missing numbers that the server may still have: those that it lists, and the newest."""
        listed = set(published.available)
        return [n for n in missing[:-_ASKED_UNLISTED] if n in listed] + list(missing[-_ASKED_UNLISTED:])

    def pass_over(self, published: Published, missing: Iterable[int]) -> None:
        """Give up the messages that are missing before this one."""
        if len(self._given_up) > MOST_REPUBLISHED:
            self._given_up.clear()
        self._given_up.update(missing)
        self._last = predecessor(published.sequence)

    def go_elsewhere(self) -> tuple[int, bool]:
        """Follow a jump of the numbers.  Returns the last number before it, and whether to log the jump, which is the
        case after a period in order."""
        last, is_news = self._last or 0, self._orderly >= _ORDERLY
        self._last, self._orderly, self._is_elsewhere = None, 0, True
        self._given_up.clear()
        return last, is_news

    def take(self, published: Published) -> bool:
        """Take a following or late message.  False: it was taken before."""
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
    """What identifies a message when it is repeated: its number, its time (of the first transmission: Part 4, 7.26) and
    the bytes at its ends."""
    parts = published.notifications
    start, end = (parts[0].start, parts[-1].end) if parts else (0, 0)
    body, size = published.body, end - start
    if size <= 2 * _EDGE:
        return published.sequence, published.own_ticks, zlib.crc32(body[start:end], size)
    ends = body[start : start + _EDGE] + body[end - _EDGE : end]
    return published.sequence, published.own_ticks, zlib.crc32(ends, size)
