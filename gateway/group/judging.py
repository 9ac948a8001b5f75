"""What a member does next, from what it sees of the others.  Pure.

Being seen is liveness only: it decides when to take over and when to hand over.  That two members never write is the
log's doing (`claim.py`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gateway.group.plan import plan

SETTLE_S = 1.5
"""A member that has just come looks at the others for so long first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A member, as it shows itself."""

    weight: float = 1.0
    holds: Mapping[str, int] = field(default_factory=dict)
    """Its works, and the epoch of each claim."""
    format: int = 1
    """The form of the records that it writes."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What people asked for."""

    moves: Mapping[str, str] = field(default_factory=dict)
    """Which member shall have a work."""
    drained: Collection[str] = ()
    """Who shall have nothing."""


@dataclass(frozen=True, slots=True)
class Next:
    """What to do now."""

    take: tuple[str, ...] = ()
    give: tuple[str, ...] = ()


@dataclass(slots=True)
class Judge:
    """One member's view of the group over time."""

    member: str
    presence_s: float
    rebalance_after_s: float
    handover_s: float
    begun_s: float
    silent_at_s: float = float("-inf")
    """When it last could not show itself: others could not either, and are not gone."""
    _known: frozenset[str] = frozenset()
    _changed_s: float = float("-inf")
    """When a member came or went."""
    _late_s: dict[str, float] = field(default_factory=dict)
    """Since when another member has not handed over what is planned for this one."""

    def look(
        self, now_s: float, works: Collection[str], members: Mapping[str, Seen], wishes: Wishes, own: Collection[str]
    ) -> Next:
        """What to take and what to give.  `members` has this one only when others see it; `own` are its works now."""
        if frozenset(members) != self._known:
            self._known, self._changed_s = frozenset(members), now_s
        newest = max((seen.format for seen in members.values()), default=0)  # others could not read what that writes
        able = {name for name, seen in members.items() if seen.format == newest and name not in wishes.drained}
        weights = {name: seen.weight if name in able else 0.0 for name, seen in members.items()}
        holders = self._holders(members, own)
        due = now_s - self._changed_s >= self.rebalance_after_s
        planned = plan(works, weights, holders, wishes.moves, level=due)
        asked = {work for work in own if planned.get(work) == wishes.moves.get(work)} | (
            set(own) if self.member not in able else set()
        )
        give = [
            work
            for work in own
            if work not in works or (planned.get(work, self.member) != self.member and (due or work in asked))
        ]
        return Next(self._takes(now_s, planned, holders, own), tuple(give))

    def _takes(
        self, now_s: float, planned: Mapping[str, str], holders: Mapping[str, str], own: Collection[str]
    ) -> tuple[str, ...]:
        settled = now_s - self.begun_s >= SETTLE_S and now_s - self.silent_at_s >= self.presence_s / 2
        mine = [work for work, member in planned.items() if member == self.member and work not in own]
        late = {work for work in mine if holders.get(work, self.member) != self.member}
        self._late_s = {work: self._late_s.get(work, now_s) for work in late}
        overdue = self.rebalance_after_s + self.handover_s
        return tuple(work for work in mine if settled and (work not in late or now_s - self._late_s[work] >= overdue))

    def _holders(self, members: Mapping[str, Seen], own: Collection[str]) -> dict[str, str]:
        """Who has each work.  Of two that say so, the one with the later claim."""
        epochs: dict[str, int] = {}
        holders: dict[str, str] = {}
        for name, seen in sorted(members.items()):
            for work, epoch in seen.holds.items():
                if (name != self.member or work in own) and epoch > epochs.get(work, -1):
                    epochs[work], holders[work] = epoch, name
        return {**dict.fromkeys((work for work in own if work not in holders), self.member), **holders}
