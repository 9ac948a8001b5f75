"""The variables that came to an address space or left it, compared with the present table.

A handle keeps its meaning while a source is open: new variables go to the end of the table, and removed ones keep their
place.  A subtree that cannot be browsed for a moment looks empty.  So a variable counts as removed only when the server
says that it does not know its node.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from asyncua import ua

from gateway.config import SourceConfig
from gateway.errors import Unavailable
from gateway.opcua.codec.namespaces import uris_of
from gateway.opcua.codec.node_ids import node_of
from gateway.opcua.session.refusals import Refusal
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import LOOKED_ALONG, SUBTYPES, children
from gateway.opcua.space.data_types import with_types
from gateway.opcua.space.selection import Table, extended, locate, resolve, variables_of

_NAMESPACES = ua.NodeId(ua.Int32(ua.ObjectIds.Server_NamespaceArray), ua.Int16(0))
_UNKNOWN = frozenset((0x8033_0000, 0x8034_0000))
"""BadNodeIdInvalid, BadNodeIdUnknown."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A table, and its differences from the former one."""

    table: Table
    came: range
    """Handles that are new."""
    went: tuple[int, ...]
    """Handles whose nodes the server does not know any more."""


async def growth_of(session: Session, config: SourceConfig, table: Table) -> Growth:
    """Browse again for the selected variables.

    Raises `Unavailable`, also when the server's namespaces have changed: the next connection resolves everything anew.
    """
    await check_namespaces(session)
    found = await resolve(session, config)
    session.refused.tell()
    grown = extended(table, found)
    if table.types is not None:
        came = await with_types(session, grown.tags[len(table.tags) :], table.types)
        grown = replace(grown, tags=(*table.tags, *came))
    here = {item.text for item in found.items}
    absent = [
        (handle, node)
        for handle, (tag, item) in enumerate(zip(table.tags, table.items, strict=True))
        if item.text not in here and _is_browsed(config, tag.selection) and (node := node_of(item.text, session.uris))
    ]
    classes = await session.read_attribute([n for _, n in absent], ua.AttributeIds.NodeClass) if absent else []
    went = [handle for (handle, _), answer in zip(absent, classes, strict=True) if answer.status in _UNKNOWN]
    return Growth(grown, range(len(table.items), len(grown.items)), tuple(went))


async def something_appeared(session: Session, table: Table, failed: Collection[int]) -> bool:
    """Whether a subtree or type that was empty has something in it now, or the server tells what it would not tell.

    Raises `Unavailable`, also when a path of browse names now leads to a node: the variable has a node id then, and
    with it another place in the table.
    """
    for handle in failed:
        place = table.items[handle].text
        if place.startswith("/") and await locate(session, place) is not None:
            raise Unavailable(f"{place} has appeared at {session.where}: connecting again to subscribe to it")
    for selection in table.missing:
        if await variables_of(session, selection):
            return True
    return await _is_told_at_last(session)


async def _is_told_at_last(session: Session) -> bool:
    """Whether anything that the server refused to tell is told now.

    Raises `Unavailable`, also when that are data types: the next connection reads values by them.
    """
    refused, before = session.refused, session.refused.worth_asking
    for attribute, refusals in before.items():
        for node, refusal in refusals.items():
            refused.forget(refusal.what, node)
        if attribute is None:
            await _browse_again(session, refusals)
            continue
        answers = await session.read_attribute(list(refusals), attribute)
        for (node, refusal), answer in zip(refusals.items(), answers, strict=True):
            if answer.good in (None, []):
                refused.note(node, refusal)
    now = refused.worth_asking
    told = any(node not in now[attribute] for attribute, nodes in before.items() for node in nodes)
    refused.tell()
    return told


async def _browse_again(session: Session, refusals: Mapping[ua.NodeId, Refusal]) -> None:
    """Browse these nodes as they were browsed before."""
    paths = {node: (refusal.path,) for node, refusal in refusals.items()}
    for what, reference in LOOKED_ALONG.items():
        nodes = [node for node, refusal in refusals.items() if refusal.what == what]
        await children(session, nodes, reference=reference, paths=paths)
        if what == SUBTYPES and any(not session.refused.has(SUBTYPES, node) for node in nodes):
            raise Unavailable(f"{session.where} tells its data types now: connecting again to read values by them")


def is_growing(config: SourceConfig) -> bool:
    """Whether any selection can gain or lose variables."""
    return any(_is_browsed(config, number) for number in range(len(config.select)))


def _is_browsed(config: SourceConfig, selection: int) -> bool:
    chosen = config.select[selection]
    return chosen.subtree is not None or chosen.type is not None


async def check_namespaces(session: Session) -> None:
    [answer] = await session.read_values([_NAMESPACES])
    uris = answer.good
    if isinstance(uris, list) and uris_of(uris) != session.uris:
        raise Unavailable(f"{session.where} has other namespaces now: connecting again to resolve everything anew")
