"""Routes: what goes to whom.  A route is a payload, a choice of tags, and the brokers that get it.

The route without a name is that of the brokers which say nothing of their own: the payload of the gateway, and all
tags.  Brokers that say the same share a route; it is called after the first of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from gateway.config.payload import PayloadConfig
from gateway.config.quantities import Fields, Name, Strict

PriorityName = Literal["event", "state", "telemetry"]


class TagsConfig(Strict):
    """Some of the tags: those to which all that is said here applies."""

    sources: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Those of these sources (default: of all)."""
    fields: Fields = Field(default_factory=dict)
    """Those with these fields: the name of a field and a pattern of its value, `{line: line-1, machine: "press-*"}`."""
    include: tuple[str, ...] = ()
    """Those with such a name, as consumers see it: patterns, `*` within a level, `**` across levels (default: all)."""
    exclude: tuple[str, ...] = ()
    """Those without such a name; wins over `include`."""
    priorities: Annotated[tuple[PriorityName, ...], Field(min_length=1)] | None = None
    """Those of these priorities: `event`, `state`, `telemetry` (default: of all)."""


@dataclass(frozen=True, slots=True)
class Route:
    """What some brokers get."""

    name: str
    """Part of the names of its streams; empty for what all get who say nothing of their own."""
    payload: PayloadConfig
    tags: tuple[TagsConfig, ...] | None
    """Those to which any of these applies; None for all tags."""
    brokers: tuple[str, ...]


Wish = tuple[str, PayloadConfig | None, tuple[TagsConfig, ...] | None]
"""Name of a broker, its own payload, and the tags that it asks for."""


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
