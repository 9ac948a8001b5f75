"""A model of members that claim and append, of a network that loses, delays and repeats, and of the log.

There is no time in it: a member may take over from another at any moment, and one that was taken over from goes on with
what it believes (it was frozen, and wakes up later).  A message that was sent may arrive at any later time, any number
of times, or never; so may its answer.  A look at the log may show any earlier state of it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.group.claim import NOTHING, Attempt, Mark, Verdict, append_after, claim_after, judge, stored_at

MEMBERS = ("a", "b", "c")
SOURCES = (0, 1)


class Belief(NamedTuple):
    """What a member believes of one source."""

    own: Mark = NOTHING
    """Its last record.  NOTHING: it is not the owner."""
    pending: Attempt | None = None
    claims: int = 0
    """How often it has claimed: each claim has a writer of its own."""
    told: tuple[Attempt, ...] = ()
    """What it takes for stored, and would acknowledge to its server."""


Answer = tuple[int, Attempt, int]
"""Source, attempt, and where it was stored.  A refusal says no more than a missing answer: look."""


class State(NamedTuple):
    logs: tuple[tuple[Mark, ...], ...] = ((), ())
    beliefs: tuple[tuple[Belief, ...], ...] = ((Belief(),) * 2,) * 3
    sent: frozenset[tuple[int, Attempt]] = frozenset()
    answers: frozenset[Answer] = frozenset()

    @property
    def length(self) -> int:
        return sum(map(len, self.logs))

    def last(self, source: int, seen: int) -> Mark:
        return self.logs[source][seen - 1] if seen else NOTHING

    def believing(self, member: int, source: int, belief: Belief) -> "State":
        row = tuple(belief if at == source else each for at, each in enumerate(self.beliefs[member]))
        return self._replace(beliefs=tuple(row if at == member else each for at, each in enumerate(self.beliefs)))

    def trying(self, member: int, source: int, attempt: Attempt) -> "State":
        belief = self.beliefs[member][source]._replace(pending=attempt)
        return self.believing(member, source, belief)._replace(sent=self.sent | {(source, attempt)})

    def claim(self, member: int, source: int, seen: int) -> "State":
        """Take over, after a look that saw so many records."""
        belief = self.beliefs[member][source]
        counted = self.believing(member, source, belief._replace(claims=belief.claims + 1))
        return counted.trying(member, source, claim_after(self.last(source, seen), f"{MEMBERS[member]}{belief.claims}"))

    def append(self, member: int, source: int) -> "State":
        return self.trying(member, source, append_after(self.beliefs[member][source].own))

    def arrive(self, source: int, attempt: Attempt) -> "State":
        """The log takes or refuses an attempt, perhaps not for the first time."""
        log = self.logs[source]
        if attempt.expected != (log[-1].seq if log else 0):
            return self
        mark = stored_at(attempt, self.length + 1)
        logs = tuple((*each, mark) if at == source else each for at, each in enumerate(self.logs))
        return self._replace(logs=logs, answers=self.answers | {(source, attempt, mark.seq)})

    def hear(self, member: int, source: int, seq: int) -> "State":
        belief = self.beliefs[member][source]
        assert belief.pending is not None
        told = (*belief.told, belief.pending)
        return self.believing(
            member, source, belief._replace(own=stored_at(belief.pending, seq), pending=None, told=told)
        )

    def look(self, member: int, source: int, seen: int) -> "State":
        """Judge what was refused, or not answered, after a look that saw so many records."""
        belief, last = self.beliefs[member][source], self.last(source, seen)
        assert belief.pending is not None
        verdict = judge(belief.pending, last)
        if verdict is Verdict.STORED:
            return self.hear(member, source, last.seq)
        if verdict is Verdict.LOST:
            return self.believing(member, source, belief._replace(own=NOTHING, pending=None))
        return self

    def next_states(self) -> Iterator["State"]:
        for source, attempt in self.sent:
            yield self.arrive(source, attempt)
        for member in range(len(MEMBERS)):
            for source in SOURCES:
                yield from self._of(member, source)

    def _of(self, member: int, source: int) -> Iterator["State"]:
        belief, looks = self.beliefs[member][source], range(len(self.logs[source]) + 1)
        if belief.pending is None:
            yield from (self.claim(member, source, seen) for seen in looks)
            if belief.own != NOTHING:
                yield self.append(member, source)
            return
        for where, attempt, seq in self.answers:
            if (where, attempt) == (source, belief.pending):
                yield self.hear(member, source, seq)
        yield from (self.look(member, source, seen) for seen in looks)

    def check(self) -> None:
        for source in SOURCES:
            for before, after in zip((NOTHING, *self.logs[source]), self.logs[source], strict=False):
                same = (before.epoch, before.number + 1, before.writer) == (after.epoch, after.number, after.writer)
                assert same or (after.epoch, after.number) == (before.epoch + 1, 0), "a stale or doubled record"
            for member in range(len(MEMBERS)):
                for attempt in self.beliefs[member][source].told:
                    found = [mark for mark in self.logs[source] if stored_at(attempt, mark.seq) == mark]
                    assert len(found) == 1, "what was taken for stored is not there once"
