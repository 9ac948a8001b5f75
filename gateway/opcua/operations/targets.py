"""From rules to nodes: the nodes of a server that rules name, with their names in requests."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from asyncua import ua

from gateway.config import CommandRule, Selection
from gateway.errors import Unavailable
from gateway.opcua.codec.node_ids import text_of_node
from gateway.opcua.codec.references import Reference
from gateway.opcua.operations.conditions import conditions_at
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import MAX_LEVELS, MAX_NODES, OBJECT, VARIABLE, children, instances_of, node_at
from gateway.opcua.space.selection import is_chosen, locate, variables_of
from gateway.operations import Kind, Seen, Target
from gateway.values import QualifiedName

METHOD = 4
"""Node class bit."""
_ANY = OBJECT | VARIABLE | METHOD
_HIERARCHICAL = ua.NodeId(ua.Int32(ua.ObjectIds.HierarchicalReferences), ua.Int16(0))

_HAS_PROPERTY = ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty), ua.Int16(0))
_CLASSES = {OBJECT: "Object", VARIABLE: "Variable", METHOD: "Method"}
_VALUES = ("read", "write", "refresh", "history", "subscribe")
"""The operations on variables."""
_PLACES: tuple[Kind, ...] = ("place", "notifier")
"""What the rule names itself, so that no path below it decides."""
_SUBSCRIBE_TO_EVENTS = 1
"""A bit of EventNotifier (Part 3, 8.59)."""


@dataclass(frozen=True, slots=True)
class Found:
    """One node that a rule names."""

    path: tuple[str, ...]
    node: ua.NodeId
    kind: Kind = "variable"
    owner: ua.NodeId | None = None
    """The object of a method."""
    also: ua.NodeId | None = None
    """What a condition is a condition of."""


async def targets_of(session: Session, rules: Sequence[CommandRule]) -> list[Target]:
    """The nodes that these rules name, sorted by rule and name.  Raises `Unavailable`."""
    targets: list[Target] = []
    for number, rule in enumerate(rules):
        found = [each async for each in _found(session, rule)]
        conditions = sum(each.kind == "condition" for each in found)
        for each in sorted(found, key=lambda each: (each.path, each.kind)):
            if each.kind not in _PLACES and rule.node is None and not is_chosen("/".join(each.path), _selection(rule)):
                continue
            own_name = rule.name if each.kind != "condition" or conditions == 1 else None
            name = own_name or "/".join(each.path)
            owner_text = text_of_node(each.owner, session.uris) if each.owner else ""
            also = text_of_node(each.also, session.uris) if each.also is not None else ""
            targets.append(Target(name, text_of_node(each.node, session.uris), number, owner_text, each.kind, also))
    return targets


def _selection(rule: CommandRule) -> Selection:
    """The variables of a subtree or type, selected like tags."""
    return Selection(subtree=rule.subtree, type=rule.type, include=rule.include, exclude=rule.exclude)


async def _found(session: Session, rule: CommandRule) -> AsyncIterator[Found]:
    if rule.browse is not None:
        for place in await _places(session, rule):
            yield place
    if rule.acknowledge or rule.confirm:
        roots = await _roots(session, rule)
        for node, each in (await conditions_at(session, roots, 0 if rule.node is not None else MAX_LEVELS)).items():
            yield Found(each.path, node, "condition", also=each.source)
    if rule.subscribe is not None and rule.subscribe.events:
        for notifier in await _notifiers(session, await _places(session, rule)):
            yield notifier
    if rule.node is not None:
        one = await _one(session, rule.node)
        if one is not None and one.kind != "place":
            yield one
        return
    if any(getattr(rule, each) not in (None, False) for each in _VALUES):
        for variable in await variables_of(session, _selection(rule)):
            yield Found(variable.path, variable.node)
    if rule.call is not None:
        for method in await _methods_of(session, rule):
            yield method


async def _places(session: Session, rule: CommandRule) -> list[Found]:
    """The nodes below which one may look around."""
    if rule.type is not None:
        return [Found(path, node, "place") for path, node in await _roots(session, rule)]
    one = await _one(session, rule.node or rule.subtree or "")
    return [replace(one, kind="place", owner=None)] if one is not None and one.kind != "method" else []


async def _notifiers(session: Session, places: Sequence[Found]) -> list[Found]:
    """Those of the places that report events."""
    said = await session.read_attribute([place.node for place in places], ua.AttributeIds.EventNotifier)
    return [
        replace(place, kind="notifier")
        for place, each in zip(places, said, strict=True)
        if isinstance(each.good, int) and each.good & _SUBSCRIBE_TO_EVENTS
    ]


async def _one(session: Session, text: str) -> Found | None:
    """The node with this node id or path; None where there is none.  An object is a `place`."""
    if text.startswith("/"):
        above, _, name = text.rstrip("/").rpartition("/")
        parent = await node_at(session, above) if above.strip("/") else await locate(session, "i=84")
        below = (await children(session, [parent], classes=_ANY))[0] if parent is not None else []
        for reference in below:
            if reference.name == name:
                return _as_found(reference.node_class, name, reference.node, parent)
        return None
    node = await locate(session, text)
    if node is None:
        return None
    node_class, browse_name = await _class_and_name(session, node)
    return _as_found(node_class, browse_name, node, await _owner(session, node) if node_class == METHOD else None)


def _as_found(node_class: int, name: str, node: ua.NodeId, owner: ua.NodeId | None) -> Found | None:
    if node_class == METHOD:
        return Found((name,), node, "method", owner) if owner is not None else None
    kinds: dict[int, Kind] = {OBJECT: "place", VARIABLE: "variable"}
    return Found((name,), node, kinds[node_class]) if node_class in kinds else None


async def _class_and_name(session: Session, node: ua.NodeId) -> tuple[int, str]:
    [said_class] = await session.read_attribute([node], ua.AttributeIds.NodeClass)
    [said_name] = await session.read_attribute([node], ua.AttributeIds.BrowseName)
    node_class, name = said_class.good, said_name.good
    return (
        int(node_class) if isinstance(node_class, int) else 0,
        name.name if isinstance(name, QualifiedName) else "",
    )


async def inverse(session: Session, node: ua.NodeId, reference: ua.NodeId, classes: int) -> list[ua.NodeId]:
    """The nodes with a reference of this type to this node."""
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
    """The object of a method.  None: there is none, or there are several, and a path must select one."""
    owners = await inverse(session, method, _HIERARCHICAL, OBJECT)
    return owners[0] if len(owners) == 1 else None


async def _roots(session: Session, rule: CommandRule) -> list[tuple[tuple[str, ...], ua.NodeId]]:
    """Where a rule begins to look, and how the paths below begin."""
    if rule.node is not None:
        one = await _one(session, rule.node)
        return [(one.path, one.node)] if one is not None else []
    if rule.subtree is not None:
        root = await locate(session, rule.subtree)
        return [((), root)] if root is not None else []
    object_type = await locate(session, rule.type or "")
    return [((name,), node) for name, node in await instances_of(session, object_type)] if object_type else []


async def _methods_of(session: Session, rule: CommandRule) -> list[Found]:
    roots = await _roots(session, rule)
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
            yield Found((*path, each.name), each.node, "method", owner)


async def seen_below(
    session: Session, root: ua.NodeId, levels: int, most: int, is_chosen: Callable[[str], bool]
) -> tuple[list[Seen], bool]:
    """The nodes below a node whose path is chosen, by path; and whether there were more than `most`.

    Properties describe their node and are left out.  Raises `Unavailable`.
    """
    found: list[Seen] = []
    seen, level = {root}, [((), root)] if levels else list[tuple[tuple[str, ...], ua.NodeId]]()
    for _ in range(levels):
        below = await children(session, [node for _, node in level], classes=_ANY)
        following: list[tuple[tuple[str, ...], ua.NodeId]] = []
        for (above, _), references in zip(level, below, strict=True):
            for each in references:
                if each.node in seen or each.kind == _HAS_PROPERTY:
                    continue
                if len(seen) > most:
                    return sorted(found, key=lambda one: one.path), True
                seen.add(each.node)
                path = (*above, each.name)
                following.append((path, each.node))
                if is_chosen("/".join(path)):
                    found.append(_seen(session, path, each))
        level = following
        if not level:
            break
    return sorted(found, key=lambda one: one.path), False


def _seen(session: Session, path: tuple[str, ...], each: Reference) -> Seen:
    kind = "" if each.node_class == METHOD else text_of_node(each.definition, session.uris)
    return Seen("/".join(path), text_of_node(each.node, session.uris), _CLASSES.get(each.node_class, ""), kind)
