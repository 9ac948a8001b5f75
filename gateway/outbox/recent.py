"""The records that became durable last, in memory: a reader that keeps up needs neither file nor thread.

The size is bounded.  Older records are read from the file.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from gateway.model import Message

KEPT_BYTES = 2**22
"""How much of one lane is kept: payloads plus an allowance per record."""
RECORD_BYTES = 400
"""The approximate size of a record without its payload."""


class Kept(NamedTuple):
    """One durable record and its place."""

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
        """Records that became durable together."""
        self._bytes: deque[int] = deque()
        self._all_bytes = 0

    def add(self, block: list[Kept]) -> None:
        """Add the records of a commit.  If they do not follow the last one, they replace all earlier records."""
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
        """Remove the records below this number."""
        while self._blocks and self._blocks[0][0].number < number:
            self._blocks.popleft()
            self._all_bytes -= self._bytes.popleft()

    def since(self, number: int) -> Iterable[Kept]:
        """The records from this number on, if all of them are here; otherwise nothing."""
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
