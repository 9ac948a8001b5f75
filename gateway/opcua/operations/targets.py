"""From rules to nodes: which variables and methods of this server they name, and what requesters call them."""

from collections.abc import AsyncIterator, Iterator, Sequence

from asyncua import ua

from gateway.config import CommandRule, Selection
from gateway.errors import Unavailable
from gateway.opcua.codec.node_ids import text_of_node
from gateway.opcua.codec.references import Reference
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.session import Session, content
from gateway.opcua.space.browse import MAX_LEVELS, MAX_NODES, OBJECT, VARIABLE, children, instances_of, node_at
from gateway.opcua.space.selection import is_chosen, locate, variables_of
from gateway.operations import Target

METHOD = 4
"""Node class bit."""
_HIERARCHICAL = ua.NodeId(ua.Int32(ua.ObjectIds.HierarchicalReferences), ua.Int16(0))

Found = tuple[tuple[str, ...], ua.NodeId, ua.NodeId | None]
"""Path, node, and for a method the object that it is called on."""


async def targets_of(session: Session, rules: Sequence[CommandRule]) -> list[Target]:
    """The variables and methods that these rules name, by rule and name.  Raises `Unavailable`."""
    targets: list[Target] = []
    for number, rule in enumerate(rules):
        found = [each async for each in _found(session, rule)]
        for path, node, owner in sorted(found, key=lambda each: each[0]):
            if rule.node is None and not is_chosen("/".join(path), _selection(rule)):
                continue
            name = rule.name or "/".join(path)
            text, owner_text = text_of_node(node, session.uris), text_of_node(owner, session.uris) if owner else ""
            targets.append(Target(name, text, number, owner_text))
    return targets


def _selection(rule: CommandRule) -> Selection:
    """Which variables of a subtree or type: chosen as tags are."""
    return Selection(subtree=rule.subtree, type=rule.type, include=rule.include, exclude=rule.exclude)


async def _found(session: Session, rule: CommandRule) -> AsyncIterator[Found]:
    if rule.node is not None:
        one = await _one(session, rule.node)
        if one is not None:
            yield one
        return
    if rule.read or rule.write is not None:
        for variable in await variables_of(session, _selection(rule)):
            yield variable.path, variable.node, None
    if rule.call is not None:
        for path, node, owner in await _methods_of(session, rule):
            yield path, node, owner


async def _one(session: Session, text: str) -> Found | None:
    """The variable or method with this node id or path; None where there is none."""
    if text.startswith("/"):
        above, _, name = text.rstrip("/").rpartition("/")
        parent = await node_at(session, above) if above.strip("/") else await locate(session, "i=84")
        below = (await children(session, [parent], classes=VARIABLE | METHOD))[0] if parent is not None else []
        for reference in below:
            if reference.name == name:
                return (name,), reference.node, parent if reference.node_class == METHOD else None
        return None
    node = await locate(session, text)
    if node is None:
        return None
    node_class, browse_name = await _class_and_name(session, node)
    if node_class == METHOD:
        owner = await _owner(session, node)
        return ((browse_name,), node, owner) if owner is not None else None
    return ((browse_name,), node, None) if node_class == VARIABLE else None


async def _class_and_name(session: Session, node: ua.NodeId) -> tuple[int, str]:
    [said_class] = await session.read_attribute([node], ua.AttributeIds.NodeClass)
    [said_name] = await session.read_attribute([node], ua.AttributeIds.BrowseName)
    node_class, name = content(said_class), content(said_name)
    return (
        int(node_class) if isinstance(node_class, int) else 0,
        str(name.Name) if isinstance(name, ua.QualifiedName) else "",
    )


async def inverse(session: Session, node: ua.NodeId, reference: ua.NodeId, classes: int) -> list[ua.NodeId]:
    """The nodes that refer to this one in this way."""
    wanted = ua.BrowseDescription()
    wanted.NodeId, wanted.BrowseDirection = node, ua.BrowseDirection.Inverse
    wanted.ReferenceTypeId, wanted.IncludeSubtypes = reference, True
    wanted.NodeClassMask, wanted.ResultMask = ua.UInt32(classes), ua.UInt32(0)
    parameters = ua.BrowseParameters()
    parameters.RequestedMaxReferencesPerNode = ua.UInt32(0)
    parameters.NodesToBrowse = [wanted]
    with peer_errors("browse", session.where):
        results = await session.services.browse(parameters)
    return [reference.NodeId for result in results for reference in result.References or ()]


async def _owner(session: Session, method: ua.NodeId) -> ua.NodeId | None:
    """The object that has the method; None where none has, or several do: then a path says which."""
    owners = await inverse(session, method, _HIERARCHICAL, OBJECT)
    return owners[0] if len(owners) == 1 else None


async def _methods_of(session: Session, rule: CommandRule) -> list[Found]:
    roots: list[tuple[tuple[str, ...], ua.NodeId]] = []
    if rule.subtree is not None:
        root = await locate(session, rule.subtree)
        roots = [((), root)] if root is not None else []
    elif (object_type := await locate(session, rule.type or "")) is not None:
        roots = [((name,), node) for name, node in await instances_of(session, object_type)]
    return [method for path, root in roots for method in await _methods_below(session, root, path)]


async def _methods_below(session: Session, root: ua.NodeId, prefix: tuple[str, ...]) -> list[Found]:
    """Every method of an object and of the objects below it."""
    found: list[Found] = []
    seen, level = {root}, [(prefix, root)]
    for _ in range(MAX_LEVELS):
        below = await children(session, [node for _, node in level], classes=OBJECT | METHOD)
        following: list[tuple[tuple[str, ...], ua.NodeId]] = []
        for (path, owner), references in zip(level, below, strict=True):
            found += _methods(path, owner, references)
            fresh = [each for each in references if each.node_class == OBJECT and each.node not in seen]
            seen |= {each.node for each in fresh}
            following += [((*path, each.name), each.node) for each in fresh]
        if not following:
            break
        if len(seen) > MAX_NODES:
            raise Unavailable(f"more than {MAX_NODES} nodes below {root} at {session.where}: choose a smaller subtree")
        level = following
    return found


def _methods(path: tuple[str, ...], owner: ua.NodeId, references: Sequence[Reference]) -> Iterator[Found]:
    for each in references:
        if each.node_class == METHOD:
            yield (*path, each.name), each.node, owner
