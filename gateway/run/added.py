"""Selections that were made at run time, and how they join those of the file.  Pure."""

import hashlib
import json
from collections.abc import Sequence

from pydantic import Field

from gateway.config import CommandRule, Config, Selection, SourceConfig
from gateway.config.quantities import Fields, Name, Seconds, SecondsOrZero, Strict
from gateway.config.selection import NodeText


class Added(Strict):
    """One variable of a source, or the events of one node, that a requester subscribed to."""

    source: Name
    node: NodeText
    name: str
    """For consumers: what the rule calls it."""
    requester: Name
    since: str
    publishing_interval: Seconds | None = None
    sampling_interval: SecondsOrZero | None = None
    heartbeat: Seconds | None = None
    events: bool = False
    """Whether the node reports events and is no variable."""
    fields: Fields = Field(default_factory=dict)
    rule: str
    """Of the rule that allowed it: `key_of`."""

    @property
    def selection(self) -> Selection:
        places: dict[str, str | None] = {"events": self.node} if self.events else {"node": self.node}
        return Selection.model_validate(
            {
                **places, "name": self.name, "publishing_interval": self.publishing_interval,
                "sampling_interval": self.sampling_interval, "heartbeat": self.heartbeat, "fields": self.fields,
            }
        )  # fmt: skip


def key_of(rule: CommandRule) -> str:
    """What a rule names and for whom: where that changes, what it allowed before is not allowed any more."""
    chosen = (rule.source, rule.node, rule.subtree, rule.type, rule.name, rule.include, rule.exclude, rule.requesters)
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16]


def still_allowed(config: Config, added: Sequence[Added]) -> tuple[Added, ...]:
    """Those that a rule of this configuration allows, within its bounds."""
    commands = config.commands
    if commands is None:
        return ()
    rules = {key_of(rule): rule for rule in commands.rules if rule.subscribe is not None}
    found: list[Added] = []
    for each in added:
        rule = rules.get(each.rule)
        number = sum(one.source == each.source for one in found)
        if (
            rule is not None
            and each.requester in commands.requesters
            and rule.allows(each.requester, "subscribe")
            and (not each.events or (rule.subscribe is not None and rule.subscribe.events))
            and number < commands.subscriptions
            and each.source in (source.name for source in config.sources)
        ):
            found.append(each)
    return tuple(found)


def joined(config: Config, added: Sequence[Added]) -> Config:
    """The configuration, with these at the end of the selections of their sources."""
    if not added:
        return config
    return config.model_copy(update={"sources": tuple(_joined(source, added) for source in config.sources)})


def _joined(source: SourceConfig, added: Sequence[Added]) -> SourceConfig:
    own = added_to(source.name, added)
    if not own:
        return source
    return source.model_copy(update={"select": (*source.select, *(each.selection for each in own))})


def added_to(source: str, added: Sequence[Added]) -> tuple[Added, ...]:
    return tuple(each for each in added if each.source == source)
