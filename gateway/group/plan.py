"""Who of a group does what: a function of what there is to do, who is there, and who does it now.  Pure.

There is no leader.  Every member computes the same plan from the same list of members.  When two of them see different
lists for a moment, both may want the same work; the log decides (`claim.py`).

A work stays with the member that does it, as long as this one is there and has no more than its share.  What nobody
does goes to the member with the highest score for it (rendezvous hashing) that has room.
"""

import hashlib
import math
from collections.abc import Collection, Mapping
from fractions import Fraction

ITSELF = "source/_gateway"
"""The work of answering what the gateway itself is asked for: no source can be called so."""


def shares_of(count: int, weights: Mapping[str, float]) -> dict[str, int]:
    """How much each member does at most, of `count` works: its part by weight, rounded up.  Nothing for weight 0."""
    exact = {member: Fraction(weight) for member, weight in weights.items()}
    total = sum(exact.values())
    return {member: math.ceil(count * weight / total) if weight else 0 for member, weight in exact.items()}


def least_of(count: int, weights: Mapping[str, float]) -> dict[str, int]:
    """How much each member does at least, when work is shared anew: its part by weight, rounded down."""
    exact = {member: Fraction(weight) for member, weight in weights.items()}
    total = sum(exact.values())
    return {member: math.floor(count * weight / total) for member, weight in exact.items()}


def plan(
    works: Collection[str],
    weights: Mapping[str, float],
    holders: Mapping[str, str] | None = None,
    wishes: Mapping[str, str] | None = None,
    *,
    level: bool = False,
) -> dict[str, str]:
    """The member for each work.  Empty: nobody may do anything.

    `weights` are those of the members that are there; 0 for one that shall have nothing.  `holders` says who does a
    work now, `wishes` who shall do it, whatever the shares say, while that member is there.

    - Every work has one member, and nobody has more than its share, wishes aside.
    - Who leaves, leaves its works behind, and no other work moves.
    - For who joins, others give only what they have beyond their new shares.
    - The plan of a plan is that plan.
    - With `level`, others also give what a member lacks of the least that it should have.
    """
    able = {member: weight for member, weight in weights.items() if weight > 0}
    if not able:
        return {}
    wished = {work: member for work, member in (wishes or {}).items() if member in able and work in works}
    most, least = shares_of(len(works), able), least_of(len(works), able)
    room = dict(most)
    found = dict(wished)
    for member in found.values():
        room[member] -= 1
    open_works = [work for work in works if work not in found]
    held: dict[str, list[str]] = {member: [] for member in able}
    for work in open_works:
        if (holder := (holders or {}).get(work)) in held:
            held[holder].append(work)
    for member, some in held.items():
        kept = sorted(some, key=lambda work: (-score(work, member, able[member]), work))[: max(0, room[member])]
        found.update(dict.fromkeys(kept, member))
        room[member] -= len(kept)
    for work in sorted((work for work in open_works if work not in found), key=lambda work: (_hash(work), work)):
        by_score = sorted(able, key=lambda member: (-score(work, member, able[member]), member))
        lacking = (member for member in by_score if most[member] - room[member] < least[member])
        best = next(lacking, None) or next((member for member in by_score if room[member] > 0), by_score[0])
        found[work] = best
        room[best] -= 1
    if level:
        _level(found, able, least, frozenset(wished))
    return found


def _level(found: dict[str, str], able: Mapping[str, float], least: Mapping[str, int], kept: Collection[str]) -> None:
    """Give each member the least that it should have, from those that have more than theirs."""
    while True:
        has = {member: [work for work, each in found.items() if each == member] for member in able}
        poor = min((member for member in able if len(has[member]) < least[member]), default=None)
        rich = [member for member in able if len(has[member]) > least[member] and set(has[member]) - set(kept)]
        if poor is None or not rich:
            return
        giver = max(rich, key=lambda member: (len(has[member]) - least[member], member))
        given = min(set(has[giver]) - set(kept), key=lambda work: (score(work, giver, able[giver]), work))
        found[given] = poor


def score(work: str, member: str, weight: float) -> float:
    """Weighted rendezvous hashing: the highest has it, each as often as its weight says."""
    return -weight / math.log((_hash(f"{work}\0{member}") + 0.5) / 2.0**64)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
