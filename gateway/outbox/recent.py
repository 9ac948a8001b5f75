"""What the writer has just made durable, kept in memory: readers that keep up need neither the file nor a thread.

Bounded in bytes; what no longer fits is read from the file, like everything older.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from gateway.model import Message

KEPT_BYTES = 2**22
"""So much of one lane is kept, payloads and an allowance for each record."""
RECORD_BYTES = 400
"""What a record takes beside its payload, about."""


class Kept(NamedTuple):
    """One durable record, and where it is."""

    number: int
    segment: int
    """First number of its segment."""
    offset: int
    end_offset: int
    values_before: int
    appended_ns: int
    clock_ns: int
    message: Message


class RecentRecords:
    """The newest records of one lane, numbered without holes."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._blocks: deque[list[Kept]] = deque()
        """What became durable together."""
        self._bytes: deque[int] = deque()
        self._all_bytes = 0

    def add(self, block: list[Kept]) -> None:
        """The records of a commit.  What does not follow the last one takes the place of all before."""
        if not block:
            return
        if self._blocks and self._blocks[-1][-1].number + 1 != block[0].number:
            self.clear()
        size = sum(len(kept.message.payload) for kept in block) + RECORD_BYTES * len(block)
        self._blocks.append(block)
        self._bytes.append(size)
        self._all_bytes += size
        while self._all_bytes > self._most_bytes:
            self._blocks.popleft()
            self._all_bytes -= self._bytes.popleft()

    def clear(self) -> None:
        self._blocks.clear()
        self._bytes.clear()
        self._all_bytes = 0

    def drop_before(self, number: int) -> None:
        """What is below this number is no more."""
        while self._blocks and self._blocks[0][0].number < number:
            self._blocks.popleft()
            self._all_bytes -= self._bytes.popleft()

    def since(self, number: int) -> Iterable[Kept]:
        """The records from this number on, where all of them are here; else nothing."""
        blocks = self._blocks
        if not blocks or not blocks[0][0].number <= number <= blocks[-1][-1].number:
            return ()
        if number >= blocks[-1][0].number:
            return blocks[-1][number - blocks[-1][0].number :]
        return self._from(bisect_right([block[0].number for block in blocks], number) - 1, number)

    def _from(self, index: int, number: int) -> Iterable[Kept]:
        first = self._blocks[index]
        yield from first[number - first[0].number :]
        for block in list(self._blocks)[index + 1 :]:
            yield from block
