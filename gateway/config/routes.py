"""Routes: which broker gets what.  A route is a payload, a choice of tags, and the brokers that get it.

Brokers without `payload` and `tags` use the route without a name: the gateway's payload and all tags.  Brokers with the
same settings share a route, which is named after the first of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from gateway.config.payload import PayloadConfig
from gateway.config.quantities import Fields, Name, Strict

PriorityName = Literal["event", "state", "telemetry"]


class TagsConfig(Strict):
    """A choice of tags: those that meet all conditions given here."""

    sources: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Tags of these sources (default: all)."""
    fields: Fields = Field(default_factory=dict)
    """Tags with these fields: name of a field and pattern of its value, `{line: line-1, machine: "press-*"}`."""
    include: tuple[str, ...] = ()
    """Tags whose name for consumers matches: patterns, `*` within a level, `**` across levels (default: all)."""
    exclude: tuple[str, ...] = ()
    """Tags whose name does not match; wins over `include`."""
    priorities: Annotated[tuple[PriorityName, ...], Field(min_length=1)] | None = None
    """Tags with these priorities: `event`, `state`, `telemetry` (default: all)."""


@dataclass(frozen=True, slots=True)
class Route:
    """The messages for a group of brokers."""

    name: str
    """A part of the names of its streams.  Empty for brokers without settings of their own."""
    payload: PayloadConfig
    tags: tuple[TagsConfig, ...] | None
    """The choices, of which a tag must match one.  None: all tags."""
    brokers: tuple[str, ...]


Wish = tuple[str, PayloadConfig | None, tuple[TagsConfig, ...] | None]
"""Name, own payload and own choice of tags of a broker."""


def routes_of(default: PayloadConfig, wishes: Iterable[Wish]) -> Mapping[str, Route]:
    """The route of each broker."""
    groups: list[tuple[PayloadConfig, tuple[TagsConfig, ...] | None, list[str]]] = []
    for broker, own, tags in wishes:
        payload = own or default
        found = next((brokers for known, wanted, brokers in groups if (known, wanted) == (payload, tags)), None)
        if found is None:
            groups.append((payload, tags, found := []))
        found.append(broker)
    return {
        broker: Route("" if (payload, tags) == (default, None) else brokers[0], payload, tags, tuple(brokers))
        for payload, tags, brokers in groups
        for broker in brokers
    }
