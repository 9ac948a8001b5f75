"""From the selections of the configuration to the table of tags: variables, names, sampling.

A variable is taken once: the first selection that matches decides.  The order of the table follows from the
configuration and the server's content, never from timing.  Handles are indexes into it, so a subscription of an earlier
process is continued only when the table is the same (`digest`).
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import isfinite
from typing import NamedTuple

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary
from msgspec import Struct
from msgspec.structs import replace as renamed

from gateway import patterns
from gateway.config import Selection, SourceConfig
from gateway.model import Priority, Tag
from gateway.opcua.codec.namespaces import printable
from gateway.opcua.codec.node_ids import node_of, text_of_node
from gateway.opcua.codec.references import node_from, texts_of
from gateway.opcua.codec.standard import range_of, unit_of
from gateway.opcua.session.calls import no_progress
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import CHILDREN, TREE, Variable, children, instances_of, node_at, survey
from gateway.opcua.space.event_filters import DEFAULT_FIELDS, EventFilter
from gateway.opcua.space.structures import Types
from gateway.topics import PATH
from gateway.values import QualifiedName

_NAME, _UNIT, _RANGE = "BrowseName", "EngineeringUnits", "EURange"
NO_LEVEL = "-"
"""The field of a missing level, for a variable higher up in the tree."""


ASKED = ("sampling_ms", "queue_size", "discard_oldest", "trigger", "deadband_kind", "deadband", "events")
"""What the server is told of an item beside its node.  Their form in the digest outlives versions of the gateway."""


class Asked(Struct, frozen=True, gc=False):
    """How to monitor an item.  All variables of a selection share one."""

    sampling_ms: float
    queue_size: int
    discard_oldest: bool = True
    trigger: int = 1
    """DataChangeTrigger (Part 4, 7.22.2): 0 status, 1 status or value, 2 also the timestamp."""
    deadband_kind: int = 0
    """0 none, 1 absolute, 2 percent of EURange."""
    deadband: float = 0.0
    events: EventFilter | None = None
    """Set for a notifier instead of a variable: the events to request."""
    publishing_s: float = 0.25
    """The interval of its subscription.  Not in the digest, since the checkpoint has it per subscription."""
    heartbeat_s: float = 0.0
    """How often the last value is repeated.  Not in the digest, since the server does not know it."""

    @property
    def has_filter(self) -> bool:
        return self.events is None and (self.trigger != 1 or self.deadband_kind != 0)


class Item(Struct, frozen=True, gc=False):
    """What to request from the server for the tag with the same handle."""

    text: str
    """The node id as text.  It is resolved again when the server gets the namespace."""
    asked: Asked


@dataclass(frozen=True, slots=True)
class Table:
    """Tags and items by handle."""

    tags: tuple[Tag, ...]
    items: tuple[Item, ...]
    digest: str = ""
    missing: tuple[Selection, ...] = ()
    """Subtrees and types that do not exist or have no variables."""
    added: tuple[str, ...] = ()
    """Node ids added while the table was in use.  They are its last ones, in this order."""
    types: Types | None = None
    """The server's descriptions of its variables' types.  None: no format needs them."""


_Fields = tuple[int, dict[str, str]]
"""The number of a mapping among those of a draft, and the mapping."""


@dataclass(slots=True)
class _Draft:
    tags: list[Tag] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)
    names: dict[tuple[str, int], int] = field(default_factory=dict)
    fields: dict[frozenset[tuple[str, str]], _Fields] = field(default_factory=dict)
    """Tags with the same fields share one mapping: 100 000 variables belong to few machines."""
    missing: list[Selection] = field(default_factory=list)

    def shared(self, fields: dict[str, str]) -> _Fields:
        return self.fields.setdefault(frozenset(fields.items()), (len(self.fields), fields))

    def add(self, name: str, fields: _Fields, told: "Properties", item: Item, selection: tuple[int, Priority]) -> None:
        if item.text in self.nodes:
            return
        self.nodes.add(item.text)
        number, shared = fields
        count = self.names[name, number] = self.names.get((name, number), 0) + 1
        # A copy: the original name lies in the memory that browsing leaves behind, and would keep it from being freed.
        shown = f"{name}~{count}" if count > 1 else "".join((name[:1], name[1:]))
        self.tags.append(Tag(shown, item.text, shared, told.unit, *selection, range=told.range))
        self.items.append(item)


class _Naming:
    """Fields and names of the variables of one selection: what is above a variable is looked at once for all there."""

    def __init__(self, draft: _Draft, fields: Mapping[str, str], levels: Sequence[str]) -> None:
        self._draft = draft
        self._fields = fields
        self._levels = levels
        self._known: dict[tuple[str, ...], tuple[_Fields, str]] = {}

    def of(self, path: tuple[str, ...]) -> tuple[_Fields, str]:
        above, last = path[:-1], path[-1]
        known = self._known.get(above)
        if known is not None and "/" not in last:
            return known[0], known[1] + last
        levels, name = split_path(path, self._levels)
        fields = self._draft.shared({**self._fields, **_below(self._fields, levels)})
        if "/" not in last:
            self._known[above] = fields, name.removesuffix(last)
        return fields, name


async def resolve(session: Session, config: SourceConfig, progress: Callable[[int], None] = no_progress) -> Table:
    """The present table of this configuration on this server.  `progress` gets the number of nodes browsed since its
    last call.

    What the server does not tell is in the session's refusals, all of which begin anew.  Raises `Unavailable`.
    """
    session.refused.begin((CHILDREN, TREE, _NAME, _UNIT))
    draft = _Draft()
    single = await _single_variables(session, [n for s in config.select if (n := s.node or s.events) is not None])
    for index, selection in enumerate(config.select):
        asked, taken_by = _asked(config, selection), (index, _priority(selection))
        fields = {**config.fields, **selection.fields}
        if (node := selection.node or selection.events) is not None:
            name, text, properties = single[node]
            draft.add(selection.name or name, draft.shared(fields), properties, Item(text, asked), taken_by)
        else:
            found = await variables_of(session, selection, progress)
            if not found:
                draft.missing.append(selection)
            chosen = [v for v in found if is_chosen("/".join(v.path), selection)]
            naming = _Naming(draft, fields, selection.levels)
            texts = texts_of([variable.octets for variable in chosen], session.uris)
            for text, (variable, properties) in zip(texts, await with_properties(session, chosen), strict=True):
                shared, name = naming.of(variable.path)
                draft.add(name, shared, properties, Item(text, asked), taken_by)
    return Table(tuple(draft.tags), tuple(draft.items), digest_of(draft.items), tuple(draft.missing))


def _below(fields: Mapping[str, str], levels: Mapping[str, str]) -> Mapping[str, str]:
    """The levels; a `path` of the configuration comes before that of the tree."""
    if PATH not in fields or PATH not in levels:
        return levels
    return {**levels, PATH: "/".join(filter(None, (fields[PATH], levels[PATH])))}


def digest_of(items: Sequence[Item]) -> str:
    """A digest of what a subscription monitors, in the order of its handles."""
    digest = hashlib.sha256()
    of: Asked | None = None
    rest = ""
    for item in items:
        if item.asked is not of:
            of = item.asked
            rest = ", ".join(f"{name}={getattr(of, name)!r}" for name in ASKED)
        digest.update(f"Item(text={item.text!r}, {rest})".encode())
    return digest.hexdigest()[:32]


def arranged(table: Table, last: Sequence[str]) -> Table:
    """The table with these node ids at its end, in this order, as they were added before."""
    place = {text: number for number, text in enumerate(last, len(table.items))}
    if not any(item.text in place for item in table.items):
        return table
    order = sorted(range(len(table.items)), key=lambda handle: place.get(table.items[handle].text, handle))
    tags, items = tuple(table.tags[handle] for handle in order), tuple(table.items[handle] for handle in order)
    return replace(table, tags=tags, items=items, digest=digest_of(items), added=tuple(last))


def extended(table: Table, found: Table) -> Table:
    """The table, followed by the new tags of `found`, so that handles keep their meaning."""
    known = {item.text for item in table.items}
    names = {(tag.name, frozenset(tag.fields.items())) for tag in table.tags}
    tags, items = list(table.tags), list(table.items)
    for tag, item in zip(found.tags, found.items, strict=True):
        if item.text in known:
            continue
        name, fields = tag.name, frozenset(tag.fields.items())
        candidates = (name if number == 1 else f"{name}~{number}" for number in count(1))
        name = next(candidate for candidate in candidates if (candidate, fields) not in names)
        names.add((name, fields))
        tags.append(renamed(tag, name=name))
        items.append(item)
    added = (*table.added, *(item.text for item in items[len(table.items) :]))
    return Table(tuple(tags), tuple(items), digest_of(items), found.missing, added, table.types)


async def variables_of(
    session: Session, selection: Selection, progress: Callable[[int], None] = no_progress
) -> list[Variable]:
    """The variables of a subtree, or of the instances of a type."""
    if selection.subtree is not None:
        root = await locate(session, selection.subtree)
        return (await survey(session, root, progress=progress)).variables if root is not None else []
    object_type = await locate(session, selection.type or "")
    found: list[Variable] = []
    for name, node in await instances_of(session, object_type) if object_type is not None else []:
        found += (await survey(session, node, (name,), progress=progress)).variables
    return found


async def locate(session: Session, text: str) -> ua.NodeId | None:
    """The node for a node id or path of the configuration.  None: it does not exist."""
    return await node_at(session, text) if text.startswith("/") else node_of(text, session.uris)


def _asked(config: SourceConfig, selection: Selection) -> Asked:
    """The request settings for the variables of this selection."""
    publishing_s = selection.publishing_interval or config.publishing_interval
    sampling_s = publishing_s if selection.sampling_interval is None else selection.sampling_interval
    return Asked(
        sampling_s * 1000.0,
        selection.queue_size or config.queue_size,
        selection.discard == "oldest",
        ("status", "value", "timestamp").index(selection.trigger),
        1 if selection.deadband is not None else 2 if selection.deadband_percent is not None else 0,
        selection.deadband or selection.deadband_percent or 0.0,
        _events(selection),
        publishing_s,
        selection.heartbeat or 0.0,
    )


def _priority(selection: Selection) -> Priority:
    if selection.events is not None:
        return Priority.EVENT
    return Priority.STATE if selection.priority == "state" else Priority.TELEMETRY


def _events(selection: Selection) -> EventFilter | None:
    if selection.events is None:
        return None
    return EventFilter(selection.event_fields or DEFAULT_FIELDS, selection.event_types, selection.least_severity)


def is_chosen(path: str, selection: Selection) -> bool:
    """Whether a path below the subtree is taken."""
    return patterns.is_chosen(path, selection.include, selection.exclude)


def split_path(path: tuple[str, ...], levels: Sequence[str]) -> tuple[dict[str, str], str]:
    """The fields from the first levels, and the name: the rest of the path, at least its last part."""
    if levels and levels[-1] == PATH:  # all further levels, up to the variable
        fields, rest = split_path(path, levels[:-1])
        above, _, name = rest.rpartition("/")
        return {**fields, PATH: above}, name
    taken = min(len(levels), len(path) - 1)
    fields = dict(zip(levels, [*path[:taken], *[NO_LEVEL] * (len(levels) - taken)], strict=True))
    return fields, "/".join(path[taken:])


class Properties(NamedTuple):
    """What the properties of a variable say."""

    unit: str | None = None
    range: tuple[float, float] | None = None


async def _single_variables(session: Session, texts: Sequence[str]) -> dict[str, tuple[str, str, Properties]]:
    """Name, node id with URI, and properties of each node selected by itself.  A missing node is named by its id."""
    nodes = {text: await locate(session, text) for text in texts}
    known = [(text, node) for text, node in nodes.items() if node is not None]
    named = {node: text for text, node in known}
    names = await session.look_up(_NAME, named, ua.AttributeIds.BrowseName)
    below = await children(session, [node for _, node in known])
    variables = []
    for (_, node), references in zip(known, below, strict=True):
        said = names[node].good
        path = (printable(said.name),) if isinstance(said, QualifiedName) else ()
        by_name = {r.name: r.octets for r in reversed(references)}
        variables.append(Variable(path, nodeid_to_binary(node), by_name.get(_UNIT), by_name.get(_RANGE)))
    found = {text: (re.split("[=/]", text)[-1], text, Properties()) for text in texts}
    told = await with_properties(session, variables)
    for (text, node), (variable, properties) in zip(known, told, strict=True):
        shown = variable.path[0] if variable.path else found[text][0]
        found[text] = (shown, text_of_node(node, session.uris), properties)
    return found


async def with_properties(session: Session, variables: Sequence[Variable]) -> list[tuple[Variable, Properties]]:
    """Each variable with the text of its engineering unit, and its EURange."""
    units = {v.unit_octets: "/".join(v.path) for v in variables if v.unit_octets is not None}
    having = [v.range_octets for v in variables if v.range_octets is not None]
    if not units and not having:
        return [(each, _NO_PROPERTIES) for each in variables]
    known = await session.look_up(_UNIT, {node_from(octets): path for octets, path in units.items()})
    texts = dict(zip(units, (unit_of(known[node_from(octets)].good) for octets in units), strict=True))
    ranges = dict(zip(having, await session.read_values(list(map(node_from, having))) if having else [], strict=True))
    found = []
    for each in variables:
        unit = texts[each.unit_octets] if each.unit_octets is not None else None
        said = range_of(ranges[each.range_octets].good) if each.range_octets is not None else (0.0, 0.0)
        low_high = said if said[0] < said[1] and all(map(isfinite, said)) else None
        found.append((each, Properties(printable(unit) if unit else None, low_high)))
    return found


_NO_PROPERTIES = Properties()
