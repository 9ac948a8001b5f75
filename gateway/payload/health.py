"""How a gateway is, as its presence tells it to whoever looks after many of them.

    "health": {"sources": {"up": 3, "all": 4}, "brokers": {"up": 1, "all": 1}, "lost_values": 0,
               "backlog": {"values": 120, "age_s": 3.2},
               "gap": {"time": "2026-01-01T05:58:12Z", "source": "press-shop", "cause": "overflow"},
               "group": {"name": "hall-2", "member": "host-1", "sources": 12},
               "refused": {"time": "2026-01-01T05:00:00Z", "why": "gateway.yaml:12: …"},
               "pulled": {"revision": "sha256:77aa…", "outcome": "taken"}, "trouble": "…"}

What there is nothing to say about is left out.  In a group, `sources` are those of this member, and `group.sources` all
of the group's.  `pulled` is there when the configuration is pulled: what was read last, and what came of it: `taken`,
`refused` or `waits` (for its approval).
"""

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass

_AGES_S = (10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0)
"""Ages of a backlog that are news when it passes them; in between it is told with the heartbeat."""
MOST_TEXT = 300
"""The longest text in it, in characters."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a gateway is at one moment."""

    sources: tuple[int, int]
    """Connected, and in all."""
    brokers: tuple[int, int]
    backlog_values: int = 0
    backlog_age_s: float = 0.0
    lost_values: int = 0
    """Dropped since the start, over all brokers."""
    gap: tuple[str, str, str] | None = None
    """Time, source and cause of the last one."""
    group: tuple[str, str, int] | None = None
    """Its name, this member, and the number of its sources."""
    refused: tuple[str, str] | None = None
    """When a changed configuration was refused, and why; None after one was taken."""
    pulled: tuple[str, str] | None = None
    """The revision of the configuration that was read last, and what came of it."""
    trouble: str = ""
    """Why nothing can be stored."""

    @property
    def news(self) -> object:
        """What is worth a message when it changes: everything, but of a backlog and of losses only how bad they are."""
        behind = bisect(_AGES_S, self.backlog_age_s)
        told = (self.sources, self.brokers, self.gap, self.group, self.refused, self.pulled, self.trouble)
        return *told, behind, self.lost_values > 0

    @property
    def body(self) -> Mapping[str, object]:
        """As it is published."""
        told: dict[str, object] = {
            "sources": _counted(self.sources),
            "brokers": _counted(self.brokers),
            "backlog": {"values": self.backlog_values, "age_s": round(self.backlog_age_s, 1)},
            "lost_values": self.lost_values,
        }
        for name, keys, found in (
            ("gap", ("time", "source", "cause"), self.gap),
            ("group", ("name", "member", "sources"), self.group),
            ("refused", ("time", "why"), self.refused),
            ("pulled", ("revision", "outcome"), self.pulled),
        ):
            if found is not None:
                told[name] = {key: _short(each) for key, each in zip(keys, found, strict=True)}
        return {**told, "trouble": _short(self.trouble)} if self.trouble else told


def _counted(pair: tuple[int, int]) -> dict[str, int]:
    return {"up": pair[0], "all": pair[1]}


def _short(each: object) -> object:
    return each[:MOST_TEXT] if isinstance(each, str) else each
