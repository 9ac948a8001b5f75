"""Conditions that can be acknowledged (Part 9, 5.7), below the nodes of a rule or of these."""

from collections.abc import Sequence
from dataclasses import dataclass

from asyncua import ua

from gateway.opcua.codec.references import Reference
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import MAX_LEVELS, MAX_NODES, OBJECT, children, subtypes

_ACKNOWLEDGEABLE = ua.NodeId(ua.Int32(ua.ObjectIds.AcknowledgeableConditionType), ua.Int16(0))
_HAS_CONDITION = ua.NodeId(ua.Int32(ua.ObjectIds.HasCondition), ua.Int16(0))
_HAS_TYPE = ua.NodeId(ua.Int32(ua.ObjectIds.HasTypeDefinition), ua.Int16(0))
_OBJECT_TYPE = 8
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """Where a condition was found."""

    path: Path
    source: ua.NodeId | None = None
    """The node that has it; None: it is one of those that were looked at first."""


async def conditions_at(
    session: Session, roots: Sequence[tuple[Path, ua.NodeId]], levels: int
) -> dict[ua.NodeId, Condition]:
    """The conditions that these nodes are or have, and those of what is so many levels below."""
    types = {_ACKNOWLEDGEABLE, *await subtypes(session, _ACKNOWLEDGEABLE)}
    found = {node: Condition(path) for path, node in roots if await _type_of(session, node) in types}
    seen, level = {node for _, node in roots}, list(roots)
    for deep in range(min(levels, MAX_LEVELS) + 1):
        nodes = [node for _, node in level]
        own = await children(session, nodes, reference=_HAS_CONDITION, classes=OBJECT)
        below = await children(session, nodes) if deep < levels else [[] for _ in nodes]
        following: list[tuple[Path, ua.NodeId]] = []
        for (path, node), conditions, inner in zip(level, own, below, strict=True):
            for each in (*conditions, *inner):
                if _is_one(each, types):
                    found.setdefault(each.node, Condition((*path, each.name), node))
            fresh = [each for each in inner if each.node not in seen and not _is_one(each, types)]
            seen |= {each.node for each in fresh}
            following += [((*path, each.name), each.node) for each in fresh]
        level = following
        if not level or len(seen) > MAX_NODES:
            break
    return found


def _is_one(each: Reference, types: set[ua.NodeId]) -> bool:
    return each.node_class == OBJECT and each.definition in types


async def _type_of(session: Session, node: ua.NodeId) -> ua.NodeId | None:
    [definitions] = await children(session, [node], reference=_HAS_TYPE, classes=_OBJECT_TYPE)
    return definitions[0].node if definitions else None
