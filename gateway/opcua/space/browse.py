"""Browses an address space: level by level, many nodes per request, several requests in parallel.

    Browse ─► pages ─┬─ continuation points: drained by BrowseNext before the call counts as done
                     ├─ BadNoContinuationPoints: put aside, and asked again when no point is in use, fewer at once
                     └─ Bad: noted with its path (`Refusals`); what it hides is neither there nor gone

Every node is visited once, because address spaces have loops.  The walk is bounded in depth and number; what lies
beyond is noted as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary
from msgspec import Struct

from gateway.errors import Unavailable
from gateway.opcua.codec.node_ids import text_of_node
from gateway.opcua.codec.references import (
    BROWSE,
    BROWSE_NEXT,
    NOTHING,
    Page,
    Reference,
    browse_next_request,
    browse_request,
    node_from,
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
_OBJECTS_OCTETS, _PROPERTY_OCTETS = nodeid_to_binary(_OBJECTS), nodeid_to_binary(_HAS_PROPERTY)
_ROOT = ua.NodeId(ua.Int32(ua.ObjectIds.RootFolder), ua.Int16(0))
_HAS_SUBTYPE = ua.NodeId(ua.Int32(ua.ObjectIds.HasSubtype), ua.Int16(0))
LOOKED_ALONG = {CHILDREN: _HIERARCHICAL, SUBTYPES: _HAS_SUBTYPE}
"""The references that were followed, by what was looked up."""
OBJECT, VARIABLE, OBJECT_TYPE = 1, 2, 8
"""Node class bits."""
_NO_POINTS, _POINT_INVALID, _UNCERTAIN = 0x804B_0000, 0x804A_0000, 0x4000_0000
_POINTS = "continuation"
"""The kind of call that took a continuation point too many."""


class Variable(Struct, frozen=True, gc=False):
    """A variable found below a root.  Node ids are octets, as in `Reference`."""

    path: tuple[str, ...]
    """Browse names from below the root to the variable."""
    octets: bytes
    unit_octets: bytes | None = None
    """Its EngineeringUnits property."""
    range_octets: bytes | None = None
    """Its EURange property."""

    @property
    def node(self) -> ua.NodeId:
        return node_from(self.octets)


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


_NONE = _Below(0)
"""Of all nodes that have no references.  It is never changed."""


def _first(page: Page) -> _Below:
    return _NONE if page is NOTHING else _Below(page.status, page.continuation, list(page.references))


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
    octets = [nodeid_to_binary(node) for node in nodes]
    known = paths or {}
    return await _children(
        session, octets, _Wanted(reference, classes), progress, lambda number: known.get(nodes[number], ())
    )


async def _children(
    session: Session,
    nodes: Sequence[bytes],
    wanted: "_Wanted",
    progress: Callable[[int], None],
    path_of: Callable[[int], tuple[str, ...]],
) -> list[list[Reference]]:
    """The same for the octets of node ids; `path_of` gives the path of one by its place."""
    points = session.limits.continuation
    scarce = session.sizes.most(_POINTS, points) < points
    found = await session.in_calls(
        "browse", nodes, lambda some: _browse(session, some, wanted), progress=progress, alone=lambda _, s: _Below(s),
        width=1 if scarce else min(WIDTH, points),
    )  # fmt: skip
    left = [number for number, below in enumerate(found) if below is not _NONE and below.is_short_of_points]
    if left:
        session.sizes.refused(_POINTS, points, "BadNoContinuationPoints")
        await _once_more(session, nodes, wanted, found, left)
        session.sizes.answered(_POINTS, 1)
    for number, below in enumerate(found):
        if below is not _NONE and below.problem:
            node = node_from(nodes[number])
            path = "/".join(path_of(number)) or text_of_node(node, session.uris)
            what = SUBTYPES if wanted.reference == _HAS_SUBTYPE else CHILDREN
            session.refused.note(node, Refusal(what, path, below.problem))
    return [below.references for below in found]


async def _once_more(
    session: Session, nodes: Sequence[bytes], wanted: _Wanted, found: list[_Below], left: list[int]
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


async def _browse(session: Session, nodes: Sequence[bytes], wanted: _Wanted) -> list[_Below]:
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


async def _all_pages(session: Session, nodes: Sequence[bytes], wanted: _Wanted, most: int) -> list[_Below]:
    request = browse_request(nodes, wanted.reference, wanted.classes, most)
    pages = await _pages(session, BROWSE, request, len(nodes))
    found = [_first(page) for page in pages]
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
    start = nodeid_to_binary(root)
    walk = _Walk({start})
    level, paths = [start], [prefix]
    closed: list[tuple[str, ...]] = []
    wanted = _Wanted(_HIERARCHICAL, OBJECT | VARIABLE)
    for deep in range(min(depth, MAX_LEVELS) + 1):
        if deep == depth:  # at the last level only properties of variables are needed
            closed = [path for node, path in zip(level, paths, strict=True) if node not in walk.variables]
            paths = [path for node, path in zip(level, paths, strict=True) if node in walk.variables]
            level = [node for node in level if node in walk.variables]
        below = await _children(session, level, wanted, progress, paths.__getitem__)
        for parent, path, references in zip(level, paths, below, strict=True):
            if references:
                walk.visit(references, parent, path, is_last=deep == depth)
        level, paths = walk.next_level()
        if deep == depth or not level or len(walk.seen) > MAX_NODES:
            break
    if len(walk.seen) > MAX_NODES or (closed and depth >= MAX_LEVELS):
        _note_endless(session, root, prefix)
    return Survey(walk.found(), sorted(closed), walk.objects)


@dataclass(slots=True)
class _Walk:
    """What has been found so far, by the octets of node ids."""

    seen: set[bytes]
    variables: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    """Their paths."""
    objects: dict[tuple[str, ...], Reference] = field(default_factory=dict)
    units: dict[bytes, bytes] = field(default_factory=dict)
    """EngineeringUnits, by variable; and EURange."""
    ranges: dict[bytes, bytes] = field(default_factory=dict)
    _following: list[bytes] = field(default_factory=list)
    _paths: list[tuple[str, ...]] = field(default_factory=list)

    def visit(self, references: Sequence[Reference], parent: bytes, path: tuple[str, ...], *, is_last: bool) -> None:
        """Take what a node refers to.  Of the last level only properties are taken."""
        seen, is_folder = self.seen, parent == _OBJECTS_OCTETS
        for reference in references:
            node, is_property = reference.octets, reference.kind_octets == _PROPERTY_OCTETS
            if is_property:
                if parent in self.variables:
                    self._describe(parent, reference)
                    continue
            elif is_last:
                continue
            if node in seen or (is_folder and _is_standard(node)):
                continue
            seen.add(node)
            below = (*path, reference.name)
            if reference.node_class == VARIABLE:
                self.variables[node] = below
            elif reference.node_class == OBJECT:
                self.objects[below] = reference
            if not is_property:
                self._following.append(node)
                self._paths.append(below)

    def _describe(self, variable: bytes, reference: Reference) -> None:
        if reference.name == "EngineeringUnits":
            self.units[variable] = reference.octets
        elif reference.name == "EURange":
            self.ranges[variable] = reference.octets

    def next_level(self) -> tuple[list[bytes], list[tuple[str, ...]]]:
        """What is to be browsed next, and its paths."""
        level, paths = self._following, self._paths
        self._following, self._paths = [], []
        return level, paths

    def found(self) -> list[Variable]:
        """All variables, by path."""
        units, ranges = self.units, self.ranges
        rows = sorted(self.variables.items(), key=itemgetter(1))
        return [Variable(path, node, units.get(node), ranges.get(node)) for node, path in rows]


def _is_standard(node: bytes) -> bool:
    """Whether it is in namespace 0."""
    return node[0] == 0 or (node[1] == 0 if node[0] == 1 else node[1:3] == b"\0\0")


def _note_endless(session: Session, root: ua.NodeId, path: tuple[str, ...]) -> None:
    """A tree that is deeper or larger than any that we follow; what was found so far is taken."""
    text = f"more than {MAX_NODES} nodes or {MAX_LEVELS} levels: the others are not looked into"
    path_text = "/".join(path) or text_of_node(root, session.uris)
    session.refused.note(root, Refusal(TREE, path_text, text, is_our_limit=True))


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
