"""Who may write: the rules by which a log with conditional appends is a lock as well.  Pure.

Every work (a source, a broker) has a subject in the log.  Each append says which record it expects to be the last one
of its subject, and the log refuses it when there is another.  A member begins with a *claim*: a record with an epoch
one above that of the last record.  From then on the expectation of the former owner is wrong, and everything that it
still tries is refused: whether it was frozen, cut off, or believes its clock.  No time is part of this.

When an answer is missing, the owner looks at the last record: it may be its own.  What it tries is numbered within the
epoch, so that it knows.
"""

from enum import Enum
from typing import NamedTuple


class Mark(NamedTuple):
    """What a record says of its writer."""

    seq: int
    """Its position in the log.  0: there is no record."""
    epoch: int
    number: int
    """Its position in the epoch: 0 for the claim."""
    writer: str
    """Who wrote it.  Each claim has a writer of its own: were it a member's name, an owner that claims again after an
    old look could take a record of its earlier time for the one it has just tried."""
    is_release: bool = False
    """The last one of an owner that left in order."""


NOTHING = Mark(0, 0, 0, "")


class Attempt(NamedTuple):
    """An append on its way to the log."""

    expected: int
    """The position of the last record of the subject."""
    epoch: int
    number: int
    writer: str


class Verdict(Enum):
    STORED = "stored"
    AGAIN = "again"
    """Not stored so far: try it again, or look again."""
    LOST = "lost"
    """Another one has the claim."""


def claim_after(last: Mark, writer: str) -> Attempt:
    """The claim that takes a work over from the writer of its last record."""
    return Attempt(last.seq, last.epoch + 1, 0, writer)


def append_after(own: Mark) -> Attempt:
    """The next append of the owner, whose last record this is."""
    return Attempt(own.seq, own.epoch, own.number + 1, own.writer)


def judge(attempt: Attempt, last: Mark) -> Verdict:
    """What became of an attempt that was refused, or whose answer is missing, after a look at the last record.

    The look may be an old one (a server that was cut off answers as well): then it shows nothing beyond `expected`.
    """
    if last.seq <= attempt.expected:
        return Verdict.AGAIN
    same = (last.epoch, last.number, last.writer) == (attempt.epoch, attempt.number, attempt.writer)
    return Verdict.STORED if same else Verdict.LOST


def stored_at(attempt: Attempt, seq: int, *, is_release: bool = False) -> Mark:
    """The record of an attempt that was stored."""
    return Mark(seq, attempt.epoch, attempt.number, attempt.writer, is_release)
