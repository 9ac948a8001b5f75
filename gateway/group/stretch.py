"""A stretch of the log that one broker has not acknowledged, and how far it has read in it.

A broker that takes everything in order has one, which begins at its cursor and has no end.  With `newest-first` it has
several: what it left behind has an end, and what is between two of them has its verdict.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from gateway.group.entry import Entry
from gateway.outbox import Record

OPEN = 2**63
"""The end of a stretch without an end."""
PER_RECORD = 2**20
"""More messages than a record of the log holds."""


@dataclass(slots=True)
class Stretch:
    """Positions above `cursor`, up to and with `end`."""

    cursor: int
    """The last position up to which everything has its verdict."""
    end: int = OPEN
    is_behind: bool = False
    """Whether it is read beside what is new."""
    next: int = 0
    """The position that is read next."""
    buffer: deque[Record] = field(default_factory=deque)
    """Read from the log, and not given out."""
    open: dict[int, set[int]] = field(default_factory=dict)
    """By position, in order: the messages without a verdict."""
    given: dict[int, Record] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    """Messages above the cursor that have their verdict."""

    def __post_init__(self) -> None:
        self.next = self.cursor + 1

    @property
    def is_read(self) -> bool:
        return self.next > self.end and not self.buffer

    @property
    def is_over(self) -> bool:
        """Whether all of it has its verdict."""
        return self.next > self.end and not self.open

    def rewind(self) -> None:
        """Read what has no verdict again, in order."""
        self.buffer.clear()
        self.given.clear()
        self.open.clear()
        self.next, self.is_behind = self.cursor + 1, False

    def take(self, position: int, records: Sequence[Record]) -> list[Record]:
        """A record of the log, with the messages in it.  Returns those that have no verdict."""
        wanted = [record for record in records if record.number not in self.done]
        self.open[position] = {record.number for record in wanted}
        self.buffer += wanted
        self.next = position + 1
        return wanted

    def settle(self, number: int) -> Record | None:
        """A message has its verdict.  None: it had, or it is to be read again."""
        record = self.given.pop(number, None)
        if record is not None:
            self.done.add(number)
            self.open[number // PER_RECORD].discard(number)
        return record

    def advance(self) -> bool:
        """Move the cursor over what has its verdict.  Returns whether it moved."""
        before = self.cursor
        while self.open and not self.open[first := next(iter(self.open))]:
            del self.open[first]
            self.cursor = first
        if self.is_over:
            self.cursor = self.end
        if self.cursor != before:
            self.done = {number for number in self.done if number // PER_RECORD > self.cursor}
        return self.cursor != before


def stretches_of(state: Entry) -> list[Stretch]:
    """As the log has them."""
    found = [Stretch(state.cursor)]
    for first, last in state.ahead:
        found[-1].end = first
        found.append(Stretch(last))
    return found


def ahead_of(stretches: Sequence[Stretch]) -> list[tuple[int, int]]:
    """What has its verdict between them, as the log keeps it."""
    return [(before.end, after.cursor) for before, after in pairwise(stretches)]


def joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The same, with those as one between which nothing has its verdict."""
    found: list[Stretch] = []
    for each in stretches:
        if found and found[-1].end >= each.cursor:
            found[-1].end = each.end
            found[-1].done |= each.done
        else:
            found.append(each)
    return found
