"""Browses an address space: level by level, many nodes per request, several requests in parallel.

BrowseNext is followed.  A server that runs out of continuation points gets fewer nodes per request.  Every node is
visited once, because address spaces contain loops.  Depth and number of nodes are limited.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asyncua import ua

from gateway.errors import Unavailable
from gateway.opcua.codec.references import (
    BROWSE,
    BROWSE_NEXT,
    Page,
    Reference,
    browse_next_request,
    browse_request,
    read_pages,
)
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.session import Session, in_chunks, no_progress

MAX_LEVELS = 100
MAX_NODES = 2_000_000

_HAS_PROPERTY = ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty), ua.Int16(0))
_HIERARCHICAL = ua.NodeId(ua.Int32(ua.ObjectIds.HierarchicalReferences), ua.Int16(0))
_OBJECTS = ua.NodeId(ua.Int32(ua.ObjectIds.ObjectsFolder), ua.Int16(0))
_ROOT = ua.NodeId(ua.Int32(ua.ObjectIds.RootFolder), ua.Int16(0))
_HAS_SUBTYPE = ua.NodeId(ua.Int32(ua.ObjectIds.HasSubtype), ua.Int16(0))
OBJECT, VARIABLE, OBJECT_TYPE = 1, 2, 8
"""Node class bits."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable found below a root."""

    path: tuple[str, ...]
    """Browse names from below the root to the variable."""
    node: ua.NodeId
    unit_node: ua.NodeId | None = None
    """Its EngineeringUnits property."""


async def children(
    session: Session,
    nodes: Sequence[ua.NodeId],
    *,
    reference: ua.NodeId = _HIERARCHICAL,
    classes: int = OBJECT | VARIABLE,
    progress: Callable[[int], None] = no_progress,
) -> list[list[Reference]]:
    """The forward references of each node.  A node that the server refuses has none.  Raises `Unavailable`."""
    if not nodes:
        return []

    async def browse(some: Sequence[ua.NodeId]) -> list[list[Reference]]:
        with peer_errors("browse", session.where):
            return await _browse(session, some, reference, classes)

    return await in_chunks(nodes, session.limits.browse, browse, progress)


async def _browse(
    session: Session, nodes: Sequence[ua.NodeId], reference: ua.NodeId, classes: int
) -> list[list[Reference]]:
    pages = await _pages(session, BROWSE, browse_request(nodes, reference, classes), len(nodes))
    found = []
    for node, page in zip(nodes, pages, strict=True):
        if page.status == ua.StatusCodes.BadNoContinuationPoints and len(nodes) > 1:
            found += await _browse(session, [node], reference, classes)
        else:
            found.append(await _all_of(session, page))
    return found


async def _pages(session: Session, request: int, body: bytes, count: int) -> list[Page]:
    pages = read_pages(await session.ask(request, body), session.uris)
    if len(pages) != count:
        raise Unavailable(f"{session.where} answered {len(pages)} of {count} browse operations")
    return pages


async def _all_of(session: Session, page: Page) -> list[Reference]:
    references = page.references
    while page.continuation:
        [page] = await _pages(session, BROWSE_NEXT, browse_next_request([page.continuation]), 1)
        references += page.references
    return references


@dataclass(frozen=True, slots=True)
class Survey:
    """The content below a node."""

    variables: list[Variable]
    """By path."""
    closed: list[tuple[str, ...]]
    """Objects at the greatest depth, which were not browsed."""


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
    for deep in range(min(depth, MAX_LEVELS) + 1):
        if deep == depth:  # at the last level only properties of variables are needed
            closed = [path for node, path in level if node not in found]
            level = [(node, path) for node, path in level if node in found]
        below = await children(session, [node for node, _ in level], progress=progress)
        following: list[tuple[ua.NodeId, tuple[str, ...]]] = []
        for (parent, path), references in zip(level, below, strict=True):
            for reference in references:
                if deep < depth or reference.kind == _HAS_PROPERTY:
                    _visit(reference, parent, path, found=found, seen=seen, following=following)
        level = following if deep < depth else []
        if not level:
            break
        if len(seen) > MAX_NODES:
            raise Unavailable(f"more than {MAX_NODES} nodes below {root} at {session.where}: choose a smaller subtree")
    return Survey(sorted(found.values(), key=lambda variable: variable.path), sorted(closed))


def _visit(
    reference: Reference,
    parent: ua.NodeId,
    path: tuple[str, ...],
    *,
    found: dict[ua.NodeId, Variable],
    seen: set[ua.NodeId],
    following: list[tuple[ua.NodeId, tuple[str, ...]]],
) -> None:
    node, name = reference.node, reference.name
    is_property = reference.kind == _HAS_PROPERTY
    if is_property and parent in found:
        if name == "EngineeringUnits":
            found[parent] = Variable(path, parent, node)
        return
    if node in seen or (parent == _OBJECTS and node.NamespaceIndex == 0):
        return
    seen.add(node)
    if reference.node_class == VARIABLE:
        found[node] = Variable((*path, name), node)
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
    types = {object_type} | set(await _subtypes(session, object_type))
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
    return sorted(((name, node) for node, name in found.items()), key=lambda pair: (pair[0], str(pair[1])))


async def _subtypes(session: Session, object_type: ua.NodeId) -> list[ua.NodeId]:
    found: list[ua.NodeId] = []
    level = [object_type]
    while level and len(found) < MAX_NODES:
        below = await children(session, level, reference=_HAS_SUBTYPE, classes=OBJECT_TYPE)
        level = [reference.node for references in below for reference in references]
        level = [node for node in level if node not in found]
        found += level
    return found
