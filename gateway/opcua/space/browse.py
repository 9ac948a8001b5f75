"""Browses an address space: level by level, many nodes per request, several requests in parallel.

    Browse ─► pages ─┬─ continuation points: drained by BrowseNext before the call counts as done
                     ├─ BadNoContinuationPoints: put aside, and asked again when no point is in use, fewer at once
                     └─ Bad: noted with its path (`Refusals`); what it hides is neither there nor gone

Every node is visited once, because address spaces have loops.  The walk is bounded in depth and number; what lies
beyond is noted as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from asyncua import ua

from gateway.errors import Unavailable
from gateway.opcua.codec.node_ids import text_of_node
from gateway.opcua.codec.references import (
    BROWSE,
    BROWSE_NEXT,
    Page,
    Reference,
    browse_next_request,
    browse_request,
    read_pages,
)
from gateway.opcua.session.asyncua_edge import TooLarge, peer_errors, status_text
from gateway.opcua.session.calls import WIDTH, no_progress
from gateway.opcua.session.refusals import Refusal
from gateway.opcua.session.session import Session

MAX_LEVELS = 100
MAX_NODES = 1_000_000
EMPTY_PAGES = 100
"""So many pages without a reference in a row are a server that goes on for ever."""
SMALLER_PAGES = (1000, 100, 10, 1)
"""References per page, where the children of one node are too large for a message."""
CHILDREN, TREE, SUBTYPES = "children", "tree", "subtypes"
"""What browsing looks up."""

_HAS_PROPERTY = ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty), ua.Int16(0))
_HIERARCHICAL = ua.NodeId(ua.Int32(ua.ObjectIds.HierarchicalReferences), ua.Int16(0))
_OBJECTS = ua.NodeId(ua.Int32(ua.ObjectIds.ObjectsFolder), ua.Int16(0))
_ROOT = ua.NodeId(ua.Int32(ua.ObjectIds.RootFolder), ua.Int16(0))
_HAS_SUBTYPE = ua.NodeId(ua.Int32(ua.ObjectIds.HasSubtype), ua.Int16(0))
LOOKED_ALONG = {CHILDREN: _HIERARCHICAL, SUBTYPES: _HAS_SUBTYPE}
"""The references that were followed, by what was looked up."""
OBJECT, VARIABLE, OBJECT_TYPE = 1, 2, 8
"""Node class bits."""
_NO_POINTS, _POINT_INVALID, _UNCERTAIN = 0x804B_0000, 0x804A_0000, 0x4000_0000
_POINTS = "continuation"
"""The kind of call that took a continuation point too many."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable found below a root."""

    path: tuple[str, ...]
    """Browse names from below the root to the variable."""
    node: ua.NodeId
    unit_node: ua.NodeId | None = None
    """Its EngineeringUnits property."""
    range_node: ua.NodeId | None = None
    """Its EURange property."""


@dataclass(slots=True)
class _Below:
    """What was told of one node so far."""

    status: int
    point: bytes = b""
    references: list[Reference] = field(default_factory=list)
    empty_pages: int = 0

    def add(self, page: Page) -> None:
        self.status, self.point = page.status, page.continuation
        self.references += page.references
        self.empty_pages = 0 if page.references else self.empty_pages + 1

    @property
    def is_endless(self) -> bool:
        return self.empty_pages > EMPTY_PAGES or len(self.references) > MAX_NODES

    @property
    def is_short_of_points(self) -> bool:
        return self.status in (_NO_POINTS, _POINT_INVALID)

    @property
    def problem(self) -> str:
        """Why not everything was told; empty when it was."""
        if self.is_endless and self.point:
            return "it goes on for ever"
        return status_text(self.status) if self.status >= _UNCERTAIN else ""


@dataclass(frozen=True, slots=True)
class _Wanted:
    reference: ua.NodeId
    classes: int


async def children(
    session: Session,
    nodes: Sequence[ua.NodeId],
    *,
    reference: ua.NodeId = _HIERARCHICAL,
    classes: int = OBJECT | VARIABLE,
    progress: Callable[[int], None] = no_progress,
    paths: Mapping[ua.NodeId, tuple[str, ...]] | None = None,
) -> list[list[Reference]]:
    """The forward references of each node.

    Of a node that the server refuses there are none, or those that it told before; it is noted in the session's
    refusals, by its path.  Raises `Unavailable`.
    """
    wanted = _Wanted(reference, classes)
    points = session.limits.continuation
    scarce = session.sizes.most(_POINTS, points) < points
    found = await session.in_calls(
        "browse", nodes, lambda some: _browse(session, some, wanted), progress=progress, alone=lambda _, s: _Below(s),
        width=1 if scarce else min(WIDTH, points),
    )  # fmt: skip
    left = [number for number, below in enumerate(found) if below.is_short_of_points]
    if left:
        session.sizes.refused(_POINTS, points, "BadNoContinuationPoints")
        await _once_more(session, nodes, wanted, found, left)
        session.sizes.answered(_POINTS, 1)
    for node, below in zip(nodes, found, strict=True):
        if below.problem:
            path = "/".join((paths or {}).get(node, ())) or text_of_node(node, session.uris)
            what = SUBTYPES if reference == _HAS_SUBTYPE else CHILDREN
            session.refused.note(node, Refusal(what, path, below.problem))
    return [below.references for below in found]


async def _once_more(
    session: Session, nodes: Sequence[ua.NodeId], wanted: _Wanted, found: list[_Below], left: list[int]
) -> None:
    """Ask again for nodes that got no continuation point: one call at a time, fewer at once until each has got one."""
    size = min(len(left), session.limits.continuation)
    while left:
        size = min(size, session.sizes.most("browse", session.limits.browse))
        for number, below in zip(
            left[:size], await _browse(session, [nodes[n] for n in left[:size]], wanted), strict=True
        ):
            found[number] = below
        again = [number for number in left if found[number].is_short_of_points]
        if len(again) < len(left):
            left = again
        elif size > 1:
            size //= 2
        else:  # not even alone
            left = left[1:]


async def _browse(session: Session, nodes: Sequence[ua.NodeId], wanted: _Wanted) -> list[_Below]:
    """One Browse call, and all of its pages.  Raises `TooLarge` for several nodes, `Unavailable`."""
    try:
        return await _all_pages(session, nodes, wanted, 0)
    except TooLarge:
        if len(nodes) > 1:
            raise
    for most in SMALLER_PAGES[:-1]:
        try:
            return await _all_pages(session, nodes, wanted, most)
        except TooLarge:
            continue
    return await _all_pages(session, nodes, wanted, SMALLER_PAGES[-1])


async def _all_pages(session: Session, nodes: Sequence[ua.NodeId], wanted: _Wanted, most: int) -> list[_Below]:
    request = browse_request(nodes, wanted.reference, wanted.classes, most)
    pages = await _pages(session, BROWSE, request, len(nodes))
    found = [_Below(page.status, page.continuation, page.references) for page in pages]
    try:
        while open_now := [below for below in found if below.point and not below.is_endless]:
            pages = await _pages(session, BROWSE_NEXT, browse_next_request([b.point for b in open_now]), len(open_now))
            for below, page in zip(open_now, pages, strict=True):
                below.add(page)
    finally:
        await _release(session, [below.point for below in found if below.point])
    return found


async def _release(session: Session, points: Sequence[bytes]) -> None:
    """Give continuation points back that nobody follows any more."""
    if points and session.is_open:
        await _pages(session, BROWSE_NEXT, browse_next_request(points, is_release=True), len(points), is_release=True)


async def _pages(session: Session, request: int, body: bytes, count: int, is_release: bool = False) -> list[Page]:
    with peer_errors("browse", session.where):
        pages = read_pages(await session.ask(request, body), session.uris)
    if len(pages) != count and not is_release:
        raise Unavailable(f"{session.where} answered {len(pages)} of {count} browse operations")
    return pages


@dataclass(frozen=True, slots=True)
class Survey:
    """The content below a node."""

    variables: list[Variable]
    """By path."""
    closed: list[tuple[str, ...]]
    """Objects at the greatest depth, which were not browsed."""
    objects: dict[tuple[str, ...], Reference] = field(default_factory=dict)
    """All objects, by path."""


async def variables_below(session: Session, root: ua.NodeId, prefix: tuple[str, ...] = ()) -> list[Variable]:
    """Every variable below `root`, by path.  Raises `Unavailable`."""
    return (await survey(session, root, prefix)).variables


async def survey(
    session: Session,
    root: ua.NodeId,
    prefix: tuple[str, ...] = (),
    *,
    depth: int = MAX_LEVELS,
    progress: Callable[[int], None] = no_progress,
) -> Survey:
    """The content below `root`, down to `depth` levels.  Properties of variables describe them and are left out.

    Below the Objects folder the standard nodes (Server, Aliases …) are left out.  `progress` gets the number of nodes
    browsed since its last call.  Raises `Unavailable`.
    """
    found: dict[ua.NodeId, Variable] = {}
    seen = {root}
    level: list[tuple[ua.NodeId, tuple[str, ...]]] = [(root, prefix)]
    closed: list[tuple[str, ...]] = []
    objects: dict[tuple[str, ...], Reference] = {}
    for deep in range(min(depth, MAX_LEVELS) + 1):
        if deep == depth:  # at the last level only properties of variables are needed
            closed = [path for node, path in level if node not in found]
            level = [(node, path) for node, path in level if node in found]
        below = await children(session, [node for node, _ in level], progress=progress, paths=dict(level))
        following: list[tuple[ua.NodeId, tuple[str, ...]]] = []
        for (parent, path), references in zip(level, below, strict=True):
            for reference in references:
                if deep < depth or reference.kind == _HAS_PROPERTY:
                    _visit(reference, parent, path, found=found, seen=seen, following=following, objects=objects)
        level = following if deep < depth else []
        if not level:
            break
        if len(seen) > MAX_NODES:
            break
    if len(seen) > MAX_NODES or (closed and depth >= MAX_LEVELS):
        _note_endless(session, root, prefix)
    return Survey(sorted(found.values(), key=lambda variable: variable.path), sorted(closed), objects)


def _note_endless(session: Session, root: ua.NodeId, path: tuple[str, ...]) -> None:
    """A tree that is deeper or larger than any that we follow; what was found so far is taken."""
    text = f"more than {MAX_NODES} nodes or {MAX_LEVELS} levels: the others are not looked into"
    path_text = "/".join(path) or text_of_node(root, session.uris)
    session.refused.note(root, Refusal(TREE, path_text, text, is_our_limit=True))


def _visit(
    reference: Reference,
    parent: ua.NodeId,
    path: tuple[str, ...],
    *,
    found: dict[ua.NodeId, Variable],
    seen: set[ua.NodeId],
    following: list[tuple[ua.NodeId, tuple[str, ...]]],
    objects: dict[tuple[str, ...], Reference],
) -> None:
    node, name = reference.node, reference.name
    is_property = reference.kind == _HAS_PROPERTY
    if is_property and parent in found:
        if name == "EngineeringUnits":
            found[parent] = replace(found[parent], unit_node=node)
        elif name == "EURange":
            found[parent] = replace(found[parent], range_node=node)
        return
    if node in seen or (parent == _OBJECTS and node.NamespaceIndex == 0):
        return
    seen.add(node)
    if reference.node_class == VARIABLE:
        found[node] = Variable((*path, name), node)
    elif reference.node_class == OBJECT:
        objects[(*path, name)] = reference
    if not is_property:
        following.append((node, (*path, name)))


async def node_at(session: Session, path: str) -> ua.NodeId | None:
    """The node at a path such as `/Objects/line-1/press-1`: browse names from the root, in any namespace.

    None: not there.
    """
    node = _ROOT
    for name in path.strip("/").split("/"):
        [references] = await children(session, [node], classes=OBJECT | VARIABLE)
        named = [r.node for r in references if r.name == name]
        if not named:
            return None
        node = named[0]
    return node


async def instances_of(session: Session, object_type: ua.NodeId) -> list[tuple[str, ua.NodeId]]:
    """Name and node id of every object of this type or a subtype, below the Objects folder, by name."""
    types = {object_type} | set(await subtypes(session, object_type))
    found: dict[ua.NodeId, str] = {}
    seen, level = {_OBJECTS}, [_OBJECTS]
    for _ in range(MAX_LEVELS):
        below = await children(session, level, classes=OBJECT)
        references = [reference for some in below for reference in some]
        level = []
        for reference in references:
            node = reference.node
            if node in seen or len(seen) > MAX_NODES:
                continue
            seen.add(node)
            level.append(node)
            if reference.definition in types:
                found[node] = reference.name
        if not level:
            break
    else:
        _note_endless(session, _OBJECTS, ())
    return sorted(((name, node) for node, name in found.items()), key=lambda pair: (pair[0], str(pair[1])))


async def subtypes(session: Session, object_type: ua.NodeId) -> list[ua.NodeId]:
    """Every type below this one."""
    found: list[ua.NodeId] = []
    level = [object_type]
    while level and len(found) < MAX_NODES:
        below = await children(session, level, reference=_HAS_SUBTYPE, classes=OBJECT_TYPE)
        level = [reference.node for references in below for reference in references]
        level = [node for node in level if node not in found]
        found += level
    return found
