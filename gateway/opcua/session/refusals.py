"""What a server would not tell of its address space: which look-up, where, and why.

Every Bad result of a look-up is noted here by whoever made it.  So a folder that cannot be browsed is not taken for an
empty one: it is named in the log, in `gateway browse` and `gateway plan`, counted, and looked up again.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from asyncua import ua

from gateway.logs import SparingLog
from gateway.metrics import Level

NOT_THERE = frozenset((0x8033_0000, 0x8034_0000, 0x8035_0000))
"""BadNodeIdInvalid, BadNodeIdUnknown, BadAttributeIdInvalid: there is nothing to tell."""
SHOWN = 5
"""So many examples are named in one log line."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One look-up that the server did not answer."""

    what: str
    """What was looked up: `children`, or an attribute or property by its name."""
    path: str
    """Browse names, or the node id where nobody knows them."""
    reason: str
    """The status, or what was wrong."""
    attribute: ua.AttributeIds | None = None
    """Which attribute of the node was read; None where it was browsed."""
    is_our_limit: bool = False
    """There is more than we look at.  Asking again does not help."""


class Refusals:
    """The refusals of one session."""

    def __init__(self, count: Level, log: SparingLog) -> None:
        """`count` shows how many there are."""
        self._count = count
        self._log = log
        self._now: dict[tuple[str, ua.NodeId | str], Refusal] = {}
        self._told: frozenset[Refusal] = frozenset()

    def __iter__(self) -> Iterator[Refusal]:
        return iter(sorted(self._now.values(), key=lambda each: (each.path, each.what)))

    def __len__(self) -> int:
        return len(self._now)

    def begin(self, whats: Collection[str]) -> None:
        """All of this is going to be looked up anew."""
        self._now = {key: refusal for key, refusal in self._now.items() if refusal.what not in whats}

    def forget(self, what: str, node: "ua.NodeId | str") -> None:
        """This is going to be looked up anew."""
        self._now.pop((what, node), None)

    def has(self, what: str, node: "ua.NodeId | str") -> bool:
        return (what, node) in self._now

    def note(self, node: "ua.NodeId | str", refusal: Refusal) -> None:
        """This look-up was refused."""
        self._now[refusal.what, node] = refusal

    @property
    def worth_asking(self) -> dict[ua.AttributeIds | None, dict[ua.NodeId, Refusal]]:
        """What may be told at another time: by the attribute that was read, None for what was browsed."""
        found: defaultdict[ua.AttributeIds | None, dict[ua.NodeId, Refusal]] = defaultdict(dict)
        for (_, node), refusal in self._now.items():
            if isinstance(node, ua.NodeId) and not refusal.is_our_limit:
                found[refusal.attribute][node] = refusal
        return found

    def tell(self) -> None:
        """Log what is refused now and was not before, one line for each reason; and when all of it is over."""
        now = frozenset(self._now.values())
        grouped: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for refusal in sorted(now - self._told, key=lambda each: each.path):
            grouped[refusal.what, refusal.reason].append(refusal.path)
        for (what, reason), paths in grouped.items():
            self._log.warning(
                "the server does not tell all of its address space: it is asked again from time to time",
                kind=f"{what} {reason}", what=what, reason=reason, count=len(paths), places=paths[:SHOWN],
            )  # fmt: skip
        if self._told and not now:
            self._log.info("the server tells all of its address space again")
        self._told = now
        self._count.set(len(now))
