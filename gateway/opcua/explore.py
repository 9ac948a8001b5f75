"""The variables of a server, and the effect of a configuration on it: for `gateway browse` and `gateway plan`.

A plan really subscribes, so revised intervals and refusals come from the server itself.  Its subscriptions are deleted
at once; nothing stays on the server.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from asyncua import ua

import gateway.opcua.subscription.services as services
from gateway.config import Selection, SourceConfig
from gateway.errors import Rejected
from gateway.in_thread import in_thread
from gateway.metrics import SourceMetrics
from gateway.model import IS_ARRAY, IS_MATRIX, Tag
from gateway.opcua.codec.namespaces import nameless, printable
from gateway.opcua.codec.node_ids import node_of, text_of_node
from gateway.opcua.codec.read_values import ReadValue
from gateway.opcua.session.asyncua_edge import patch_asyncua, status_text
from gateway.opcua.session.connect import open_session
from gateway.opcua.session.refusals import Refusal
from gateway.opcua.session.security import check
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import MAX_LEVELS, Survey, Variable, survey
from gateway.opcua.space.selection import Item, Table, locate, resolve, with_properties
from gateway.opcua.space.structures import has_raw, types_or_none
from gateway.opcua.subscription.monitoring import Monitored
from gateway.opcua.subscription.polled import NOT_THERE
from gateway.opcua.subscription.services import NoSubscriptions, Subscription
from gateway.opcua.subscription.subscriptions import Subscriptions
from gateway.opcua.subscription.tracker import SubscriptionTracker
from gateway.values import QualifiedName

_NAMES = {int(kind.value): kind.name for kind in ua.VariantType}


@dataclass(frozen=True, slots=True)
class Entry:
    """One variable of a server."""

    path: str
    """Browse names below the start node, joined with `/`."""
    node_id: str
    type: str
    """Name of the built-in type, with `[]` for arrays; empty where there is no value."""
    read: ReadValue
    """What was read, as a source would read it."""
    status: str
    """Empty for Good."""
    unit: str | None
    access: int = 0
    """What we may do (UserAccessLevel, Part 3, 8.57): 1 read, 2 write, 4 read its history."""

    @property
    def rights(self) -> str:
        """`r`, `w` and `h` (its history), or `-`."""
        return "".join(letter for bit, letter in ((1, "r"), (2, "w"), (4, "h")) if self.access & bit) or "-"


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One object of a server."""

    path: str
    node_id: str
    type: str
    """The browse name of its type."""
    type_id: str


@dataclass(frozen=True, slots=True)
class PlannedTag:
    """One variable and the server's answer for it."""

    tag: Tag
    item: Item
    got: Monitored
    every_s: float
    """The revised publishing interval of its subscription; for polling, the interval of the cycle."""
    read: ReadValue | None = None
    """Its value now.  None: of events, and of what the server does not have."""

    @property
    def problem(self) -> str:
        """Why it cannot be subscribed to.  Empty: it can."""
        return status_text(self.got.status) if self.got.status & 0x8000_0000 else ""


@dataclass(frozen=True, slots=True)
class UnreadableType:
    """A structure that cannot be decoded."""

    data_type: str
    why: str
    names: tuple[str, ...]
    """Of the variables that have it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The present effect of a configuration on its server."""

    subscriptions: tuple[Subscription, ...]
    tags: tuple[PlannedTag, ...]
    missing: tuple[Selection, ...]
    """Subtrees and types without variables."""
    refused: tuple[Refusal, ...] = ()
    """What the server would not tell of its address space: there may be more variables than these."""
    unreadable: tuple[UnreadableType, ...] = ()
    """What will come as bytes."""
    nameless: str = ""
    """Namespaces that no URI names alone, for people."""

    @property
    def is_polled(self) -> bool:
        """Whether the variables would be polled, without a subscription."""
        return not self.subscriptions

    @property
    def most_values_per_s(self) -> float:
        """The rate if every variable changed at every sample.

        A sampling interval of 0 counts as the publishing interval.
        """
        good = [t for t in self.tags if not t.problem]
        return sum(1.0 / max(t.got.sampling_ms / 1000.0, t.every_s / 100) for t in good)


@asynccontextmanager
async def connected(config: SourceConfig, metrics: SourceMetrics) -> AsyncIterator[Session]:
    """A session for browsing.  Raises `Unavailable`, and `ConfigError` when our own files cannot be used."""
    patch_asyncua()
    await in_thread(partial(check, config), "look at secrets and keys")
    async with open_session(config, metrics) as session:
        yield session


Progress = Callable[[str, int], None]
"""Called with the step and its count."""


@dataclass(frozen=True, slots=True)
class BrowseOptions:
    """What to show of a server."""

    root: str = "i=85"
    """A node id or a path of browse names."""
    is_chosen: Callable[[str], bool] = lambda path: True
    """Whether to show a path."""
    depth: int = MAX_LEVELS
    """How many levels below the root are browsed."""
    limit: int = 0
    """The largest number of variables; 0: all."""
    with_values: bool = True


@dataclass(frozen=True, slots=True)
class Browsed:
    """The result of `browse`."""

    entries: list[Entry]
    closed: list[str]
    """Paths of objects that were not browsed."""
    matching: int
    """How many variables match, including those beyond the limit."""
    refused: tuple[Refusal, ...] = ()
    """What the server would not tell."""
    nameless: str = ""
    """Namespaces that no URI names alone, for people."""
    objects: tuple[ObjectEntry, ...] = ()
    """All objects, by path."""
    root_id: str = ""
    """The node id of the start node."""


async def browse(session: Session, options: BrowseOptions, progress: Progress = lambda what, done: None) -> Browsed:
    """The variables below a node, by path.  Values and units are read only for the variables that are shown.

    Raises `Rejected` when the node does not exist, `Unavailable` when the server is lost.
    """
    node = await locate(session, options.root)
    if node is None or not await _exists(session, node):
        raise Rejected("node_id", f"{session.where} has no node {options.root}")
    found = await survey(session, node, depth=options.depth, progress=counted(progress, "nodes browsed"))
    matching = [variable for variable in found.variables if options.is_chosen("/".join(variable.path))]
    found_out = await with_properties(session, matching[: options.limit or None])
    shown = [(variable, properties.unit) for variable, properties in found_out]
    nodes = [variable.node for variable, _ in shown]
    values, rights = [ReadValue(0, None, 0)] * len(shown), [ReadValue(0, None, 0)] * len(shown)
    if options.with_values and nodes:
        values = await _with_structures(session, nodes, counted(progress, "values read"))
        rights = await session.read_attribute(nodes, ua.AttributeIds.UserAccessLevel)
    rows = zip(shown, values, rights, strict=True)
    entries = [_entry(session, *pair, value, right) for pair, value, right in rows]
    closed, objects = ["/".join(path) for path in found.closed], await _objects(session, found)
    told = tuple(session.refused), nameless(session.uris)
    return Browsed(entries, closed, len(matching), *told, objects, text_of_node(node, session.uris))


async def _objects(session: Session, found: Survey) -> tuple[ObjectEntry, ...]:
    """The objects of a survey, with the names of their types."""
    types = sorted({each.definition for each in found.objects.values()}, key=str)
    answers = await session.read_attribute(types, ua.AttributeIds.BrowseName) if types else []
    named = {
        node: printable(answer.good.name) if isinstance(answer.good, QualifiedName) else ""
        for node, answer in zip(types, answers, strict=True)
    }
    text = partial(text_of_node, uris=session.uris)
    return tuple(
        ObjectEntry("/".join(path), text(each.node), named[each.definition], text(each.definition))
        for path, each in sorted(found.objects.items())
    )


async def _with_structures(
    session: Session, nodes: Sequence[ua.NodeId], progress: Callable[[int], None]
) -> list[ReadValue]:
    """The values; the server's data types are looked into only where one of them needs that."""
    values = await session.read_values(nodes, progress)
    raw = [place for place, value in enumerate(values) if has_raw(value.value)]
    readers = (await types_or_none(session, bool(raw))).readers
    again = await session.read_values([nodes[place] for place in raw], structures=readers) if raw and readers else []
    for place, value in zip(raw, again, strict=bool(again)):
        values[place] = value
    return values


async def _exists(session: Session, node: ua.NodeId) -> bool:
    [answer] = await session.read_attribute([node], ua.AttributeIds.NodeClass)
    return answer.good is not None


def counted(progress: Progress, what: str) -> Callable[[int], None]:
    """Adds up what is done, and tells it."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        progress(what, done)

    return more


def _entry(session: Session, variable: Variable, unit: str | None, read: ReadValue, right: ReadValue) -> Entry:
    kind = _NAMES.get(read.type & ~(IS_ARRAY | IS_MATRIX), "?") + ("[]" if read.type & IS_ARRAY else "")
    status = status_text(read.status) if read.status else ""
    shown = kind if read.value is not None else ""
    access = right.good if isinstance(right.good, int) else 0
    path, node_id = "/".join(variable.path), text_of_node(variable.node, session.uris)
    return Entry(path, node_id, shown, read, status, unit, access)


def selection_of(found: Browsed, match: Sequence[str] = ()) -> list[dict[str, object]]:
    """What was browsed as the `select` of a configuration, ready for YAML.

    The shorter of two: the subtree with these patterns, where that is all of it, or a `node` and `name` for each.
    """
    nodes: list[dict[str, object]] = [{"node": each.node_id, "name": printable(each.path)} for each in found.entries]
    is_all = found.matching == len(found.entries) and not found.closed and not found.refused
    if not is_all or 2 * len(nodes) <= 1 + len(match):
        return nodes
    return [{"subtree": found.root_id, **({"include": list(match)} if match else {})}]


async def plan(session: Session, config: SourceConfig, progress: Progress = lambda what, done: None) -> Plan:
    """Resolve, subscribe, note the server's answers, and delete the subscriptions.  Raises `Unavailable`."""
    table: Table = await resolve(session, config, counted(progress, "nodes browsed"))
    subscribed = None if config.mode == "poll" else await _subscribed(session, config, table, progress)
    trackers, answers = subscribed or ((), await _polled(session, table))
    every_s = {handle: tracker.subscription.interval_s for tracker in trackers for handle in tracker.handles}
    rows = enumerate(zip(table.tags, table.items, answers, strict=True))
    tags = [PlannedTag(tag, item, got, every_s.get(n, item.asked.publishing_s)) for n, (tag, item, got) in rows]
    tags = await _with_values(session, tags, counted(progress, "values read"))
    unreadable = await _unreadable(session, config, tags)
    subscriptions = tuple(tracker.subscription for tracker in trackers)
    refused = tuple(session.refused)
    return Plan(subscriptions, tuple(tags), table.missing, refused, unreadable, nameless(session.uris))


async def _with_values(session: Session, tags: list[PlannedTag], progress: Callable[[int], None]) -> list[PlannedTag]:
    """The same, with the present values."""
    nodes = {
        place: node
        for place, each in enumerate(tags)
        if each.item.asked.events is None and not each.problem and not each.item.text.startswith("/")
        if (node := node_of(each.item.text, session.uris)) is not None
    }
    values = await _with_structures(session, list(nodes.values()), progress) if nodes else []
    for place, value in zip(nodes, values, strict=True):
        tags[place] = replace(tags[place], read=value)
    return tags


async def _unreadable(session: Session, config: SourceConfig, tags: Sequence[PlannedTag]) -> tuple[UnreadableType, ...]:
    """The structures among these variables that cannot be decoded, and why.  Raises `Unavailable`."""
    types = await types_or_none(session, config.structures)
    known = [
        (each.tag.name, node)
        for each in tags
        if types.unreadable and each.item.asked.events is None and not each.problem
        if not each.item.text.startswith("/") and (node := node_of(each.item.text, session.uris)) is not None
    ]
    answers = await session.read_attribute([node for _, node in known], ua.AttributeIds.DataType) if known else []
    names: dict[str, list[str]] = {}
    for (name, _), answer in zip(known, answers, strict=True):
        text = said if isinstance(said := answer.good, str) else ""
        if text in types.unreadable:
            names.setdefault(text, []).append(name)
    return tuple(UnreadableType(text, types.unreadable[text], tuple(names[text])) for text in sorted(names))


async def _subscribed(
    session: Session, config: SourceConfig, table: Table, progress: Progress
) -> tuple[tuple[SubscriptionTracker, ...], list[Monitored]] | None:
    """The subscriptions, and the server's answer to each item.

    None: the server has no subscriptions, so use polling.
    """
    subscriptions = Subscriptions(session, config)
    try:
        count = counted(progress, "variables subscribed to")
        answers = await subscriptions.place(list(enumerate(table.items)), progress=count)
        return tuple(subscriptions), answers
    except NoSubscriptions:
        if config.mode == "subscribe":
            raise
        return None
    finally:
        for tracker in subscriptions:
            await subscriptions.delete(tracker)


async def _polled(session: Session, table: Table) -> list[Monitored]:
    """The result of polling: each variable is read once."""
    nodes = [None if i.text.startswith("/") or i.asked.events else node_of(i.text, session.uris) for i in table.items]
    known = [node for node in nodes if node is not None]
    values = iter(await session.read_values(known) if known else [])
    answers = []
    for item, node in zip(table.items, nodes, strict=True):
        code = next(values).status if node is not None else services.BAD_NODE_ID_UNKNOWN
        every_ms = item.asked.sampling_ms or item.asked.publishing_s * 1000.0
        answers.append(Monitored(code if code in NOT_THERE else 0, every_ms, 1))
    return answers
