"""Walking an address space: level by level, many nodes per request, several requests at a time.

BrowseNext is followed, continuation points the server has not got are done without, every node is visited once (address
spaces have loops), and the walk is bounded in depth and number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asyncua import ua

from gateway.errors import Unavailable
from gateway.opcua.peer import peer_errors
from gateway.opcua.session import Session, in_chunks, untold

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
    progress: Callable[[int], None] = untold,
) -> list[list[ua.ReferenceDescription]]:
    """The forward references of each node.  A node the server refuses has none."""
    if not nodes:
        return []

    async def browse(some: Sequence[ua.NodeId]) -> list[list[ua.ReferenceDescription]]:
        with peer_errors("browse", session.where):
            return await _browse(session, some, reference, classes)

    return await in_chunks(nodes, session.limits.browse, browse, progress)


async def _browse(
    session: Session, nodes: Sequence[ua.NodeId], reference: ua.NodeId, classes: int
) -> list[list[ua.ReferenceDescription]]:
    parameters = ua.BrowseParameters()
    parameters.NodesToBrowse = [_description(node, reference, classes) for node in nodes]
    results = await session.services.browse(parameters)
    if len(results) != len(nodes):
        raise Unavailable(f"{session.where} answered {len(results)} of {len(nodes)} browse operations")
    found = []
    for node, result in zip(nodes, results, strict=True):
        if result.StatusCode.value == ua.StatusCodes.BadNoContinuationPoints and len(nodes) > 1:
            found += await _browse(session, [node], reference, classes)
        else:
            found.append(await _all_of(session, result))
    return found


def _description(node: ua.NodeId, reference: ua.NodeId, classes: int) -> ua.BrowseDescription:
    description = ua.BrowseDescription()
    description.NodeId = node
    description.BrowseDirection = ua.BrowseDirection.Forward
    description.ReferenceTypeId = reference
    description.IncludeSubtypes = True
    description.NodeClassMask = ua.UInt32(classes)
    description.ResultMask = ua.UInt32(ua.BrowseResultMask.All)
    return description


async def _all_of(session: Session, result: ua.BrowseResult) -> list[ua.ReferenceDescription]:
    references = list(result.References or ())
    while result.ContinuationPoint:
        more = ua.BrowseNextParameters()
        more.ReleaseContinuationPoints = False
        more.ContinuationPoints = [result.ContinuationPoint]
        [result] = await session.services.browse_next(more)
        references += result.References or ()
    return references


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is below a node."""

    variables: list[Variable]
    """By path."""
    closed: list[tuple[str, ...]]
    """Objects at the greatest depth, which were not looked into."""


async def variables_below(session: Session, root: ua.NodeId, prefix: tuple[str, ...] = ()) -> list[Variable]:
    """Every variable below `root`, by path.  Raises `Unavailable`."""
    return (await survey(session, root, prefix)).variables


async def survey(
    session: Session,
    root: ua.NodeId,
    prefix: tuple[str, ...] = (),
    *,
    depth: int = MAX_LEVELS,
    progress: Callable[[int], None] = untold,
) -> Survey:
    """What there is below `root`, so many levels deep.  Properties of variables describe them and are not taken.

    Below the Objects folder, what the standard itself puts there (Server, Aliases …) is left out.  `progress` is told
    how many nodes more were looked into.  Raises `Unavailable`.
    """
    found: dict[ua.NodeId, Variable] = {}
    seen = {root}
    level: list[tuple[ua.NodeId, tuple[str, ...]]] = [(root, prefix)]
    closed: list[tuple[str, ...]] = []
    for deep in range(min(depth, MAX_LEVELS) + 1):
        if deep == depth:  # of what lies there, variables are looked into for their properties only
            closed = [path for node, path in level if node not in found]
            level = [(node, path) for node, path in level if node in found]
        below = await children(session, [node for node, _ in level], progress=progress)
        following: list[tuple[ua.NodeId, tuple[str, ...]]] = []
        for (parent, path), references in zip(level, below, strict=True):
            for reference in references:
                if deep < depth or reference.ReferenceTypeId == _HAS_PROPERTY:
                    _visit(reference, parent, path, found, seen, following)
        level = following if deep < depth else []
        if not level:
            break
        if len(seen) > MAX_NODES:
            raise Unavailable(f"more than {MAX_NODES} nodes below {root} at {session.where}: choose a smaller subtree")
    return Survey(sorted(found.values(), key=lambda variable: variable.path), sorted(closed))


def _visit(
    reference: ua.ReferenceDescription,
    parent: ua.NodeId,
    path: tuple[str, ...],
    found: dict[ua.NodeId, Variable],
    seen: set[ua.NodeId],
    following: list[tuple[ua.NodeId, tuple[str, ...]]],
) -> None:
    node, name = plain(reference.NodeId), reference.BrowseName.Name or ""
    is_property = reference.ReferenceTypeId == _HAS_PROPERTY
    if is_property and parent in found:
        if name == "EngineeringUnits":
            found[parent] = Variable(path, parent, node)
        return
    if node in seen or (parent == _OBJECTS and node.NamespaceIndex == 0):
        return
    seen.add(node)
    if reference.NodeClass == ua.NodeClass.Variable:
        found[node] = Variable((*path, name), node)
    if not is_property:
        following.append((node, (*path, name)))


async def node_at(session: Session, path: str) -> ua.NodeId | None:
    """The node at `/Objects/line-1/press-1`: browse names from the root, in whatever namespace; None if not there."""
    node = _ROOT
    for name in path.strip("/").split("/"):
        [references] = await children(session, [node], classes=OBJECT | VARIABLE)
        named = [plain(r.NodeId) for r in references if r.BrowseName.Name == name]
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
            node = plain(reference.NodeId)
            if node in seen or len(seen) > MAX_NODES:
                continue
            seen.add(node)
            level.append(node)
            if plain(reference.TypeDefinition) in types:
                found[node] = reference.BrowseName.Name or ""
        if not level:
            break
    return sorted(((name, node) for node, name in found.items()), key=lambda pair: (pair[0], str(pair[1])))


async def _subtypes(session: Session, object_type: ua.NodeId) -> list[ua.NodeId]:
    found: list[ua.NodeId] = []
    level = [object_type]
    while level and len(found) < MAX_NODES:
        below = await children(session, level, reference=_HAS_SUBTYPE, classes=OBJECT_TYPE)
        level = [plain(reference.NodeId) for references in below for reference in references]
        level = [node for node in level if node not in found]
        found += level
    return found


def plain(node: ua.NodeId) -> ua.NodeId:
    """The node id of an expanded one on the same server."""
    return ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)
