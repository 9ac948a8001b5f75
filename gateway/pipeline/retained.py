"""What a broker was asked to retain, for when it has lost it: the last message of each topic that it acknowledged.

A broker without persistence forgets all of it with a restart; a value that does not change, the birth of a gateway or a
list of tags would then be missing for days.  So in a session that the broker does not know from before (Session
Present), each of these topics is owed to it once more, unless something newer goes there first.  What was owed when a
session broke comes first in the next one.

It is kept in memory: after a start of the gateway the sources bring everything anew.  It is bounded in bytes; of what
does not fit, topics that came first are given up, and that is told once.
"""

from collections.abc import Callable

from gateway.model import Message

MOST_BYTES = 96 * 2**20
"""Enough for 100 000 topics with a value each."""
MESSAGE_BYTES = 700
"""What a message takes beside its payload and topic, about."""


class Retained:
    """Of one broker."""

    def __init__(self, on_overflow: Callable[[], None] = lambda: None, most_bytes: int = MOST_BYTES) -> None:
        self._on_overflow = on_overflow
        self._most_bytes = most_bytes
        self._kept: dict[str, Message] = {}
        self._bytes = 0
        self._owed: dict[str, None] = {}
        """Topics that the present broker does not have yet."""

    @property
    def is_owing(self) -> bool:
        """Whether the present broker has less than it had."""
        return bool(self._owed)

    def keep(self, message: Message) -> None:
        """The broker has it, and was asked to retain it."""
        known = self._kept.get(message.topic)
        if known is not None and known.stream == message.stream and known.seq > message.seq:
            return  # it was overtaken
        if known is not None:
            self._bytes -= _size(known)
        self._bytes += _size(message)
        self._kept[message.topic] = message
        while self._bytes > self._most_bytes:
            self._forget(next(iter(self._kept)))
            self._on_overflow()

    @property
    def next_bytes(self) -> int:
        """The payload of the next that is owed; 0 where nothing is."""
        topic = next(iter(self._owed), "")
        return len(self._kept[topic].payload) if topic in self._kept else 0

    def begin(self, has_forgotten: bool) -> None:
        """A session begins, with a broker that may have lost all of it."""
        if has_forgotten:
            self._owed |= dict.fromkeys(self._kept)

    def went(self, topic: str) -> None:
        """Something newer is on its way there."""
        self._owed.pop(topic, None)

    def next(self) -> Message | None:
        """One that is owed, and from now on is not; None when nothing is."""
        while self._owed:
            topic = next(iter(self._owed))
            del self._owed[topic]
            if (message := self._kept.get(topic)) is not None:
                return message
        return None

    def _forget(self, topic: str) -> None:
        self._bytes -= _size(self._kept.pop(topic))
        self._owed.pop(topic, None)


def _size(message: Message) -> int:
    return len(message.payload) + len(message.topic) + MESSAGE_BYTES
