"""Claims: no stale record, none twice, and what was taken for stored is there; whatever the network does."""

import os
from collections import deque
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.group.claim import Attempt, Mark, Verdict, claim_after, judge
from tests.unit.group.claims import MEMBERS, SOURCES, State

MOST_ATTEMPTS = int(os.environ.get("CLAIMS", "3"))
"""Claims and appends together: all orders of so many, with every loss, delay and repetition in between.  CLAIMS=4 takes
minutes."""


def reachable() -> int:
    """Check every state that can be reached.  Members have no rank, so the first to act is the first."""
    seen, left = {State()}, deque([State()])
    while left:
        state = left.popleft()
        state.check()
        for following in state.next_states():
            if len(following.sent) <= MOST_ATTEMPTS and following not in seen:
                seen.add(following)
                left.append(following)
    return len(seen)


def test_every_state_of_three_members_and_two_sources_is_sound() -> None:
    assert reachable() > 2_000


class Claims(RuleBasedStateMachine):
    """Longer histories than can be enumerated, in random order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()

    @rule(member=st.sampled_from(range(len(MEMBERS))), source=st.sampled_from(SOURCES), old=st.integers(0, 3))
    def act(self, member: int, source: int, old: int) -> None:
        """Whatever the member does next: claim, append, or find out what became of its attempt."""
        belief, seen = self.state.beliefs[member][source], max(0, len(self.state.logs[source]) - old)
        if belief.pending is not None:
            self.state = self.state.look(member, source, seen)
        elif belief.own.seq and old != 1:
            self.state = self.state.append(member, source)
        else:
            self.state = self.state.claim(member, source, seen)

    @rule(pick=st.randoms(use_true_random=False))
    def arrives(self, pick: Random) -> None:
        if self.state.sent:
            source, attempt = pick.choice(sorted(self.state.sent, key=repr))
            self.state = self.state.arrive(source, attempt)

    @rule(pick=st.randoms(use_true_random=False))
    def is_told(self, pick: Random) -> None:
        heard = [
            (MEMBERS.index(attempt.writer[0]), source, seq)
            for source, attempt, seq in self.state.answers
            if self.state.beliefs[MEMBERS.index(attempt.writer[0])][source].pending == attempt
        ]
        if heard:
            self.state = self.state.hear(*pick.choice(sorted(heard)))

    @invariant()
    def is_sound(self) -> None:
        self.state.check()


Claims.TestCase.settings = settings(max_examples=25, stateful_step_count=50, deadline=None)
TestClaims = Claims.TestCase


def test_a_zombie_that_wakes_up_is_refused_and_finds_the_claim() -> None:
    """Frozen with an append on its way, taken over from, and woken: its clock plays no part."""
    state = State().claim(0, 0, 0)
    state = state.arrive(0, claim_after(Mark(0, 0, 0, ""), "a0")).look(0, 0, 1).append(0, 0)
    state = state.claim(1, 0, 1)
    state = state.arrive(0, Attempt(1, 2, 0, "b0")).look(1, 0, 2)
    woken = state.arrive(0, Attempt(1, 1, 1, "a0"))
    assert woken.logs == state.logs
    assert judge(Attempt(1, 1, 1, "a0"), woken.logs[0][-1]) is Verdict.LOST
