"""What the numbers of enumerations mean: read from the server for the tags that have such a data type.

    tag ─ DataType ─► data type ─ DataTypeDefinition, or its property EnumStrings or EnumValues ─► names of the numbers

Servers of version 1.03 and earlier have only the properties (Part 3, 5.8.3).  A server that tells nothing leaves the
tags as they are: names are worth a request or two, but no failure.
"""

from collections.abc import Sequence
from dataclasses import replace

from asyncua import ua

from gateway.errors import Unavailable
from gateway.model import Enumeration, Tag
from gateway.opcua.browse import VARIABLE, children
from gateway.opcua.nodes import node_of, text_of_node
from gateway.opcua.session import Session, content

_HAS_PROPERTY = ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty), ua.Int16(0))
_LAST_PLAIN = 28
"""Built-in types and the abstract numbers (`i=26` to `i=28`) have no names."""
_NAMES = ("EnumStrings", "EnumValues")

Members = tuple[tuple[int, str], ...]


async def with_enumerations(session: Session, tags: Sequence[Tag]) -> tuple[Tag, ...]:
    """The tags, each enumeration with the names of its numbers.  Raises `Unavailable` only when the link is gone."""
    try:
        found = await _enumerations(session, tags)
    except Unavailable:
        if not session.is_open:
            raise
        found = {}
    return tuple(replace(tag, enumeration=found[tag.node_id]) if tag.node_id in found else tag for tag in tags)


async def _enumerations(session: Session, tags: Sequence[Tag]) -> dict[str, Enumeration]:
    """By node id of the tag."""
    nodes = {tag.node_id: node for tag in tags if (node := node_of(tag.node_id, session.uris)) is not None}
    if not nodes:
        return {}
    answers = await session.read_attribute(list(nodes.values()), ua.AttributeIds.DataType)
    types = {
        text: said
        for text, answer in zip(nodes, answers, strict=True)
        if isinstance(said := content(answer), ua.NodeId) and not _is_plain(said)
    }
    known = await _described(session, sorted(set(types.values()), key=str))
    return {text: known[node] for text, node in types.items() if node in known}


def _is_plain(data_type: ua.NodeId) -> bool:
    identifier = data_type.Identifier
    return data_type.NamespaceIndex == 0 and isinstance(identifier, int) and identifier <= _LAST_PLAIN


async def _described(session: Session, data_types: Sequence[ua.NodeId]) -> dict[ua.NodeId, Enumeration]:
    if not data_types:
        return {}
    names = await session.read_attribute(data_types, ua.AttributeIds.BrowseName)
    definitions = await session.read_attribute(data_types, ua.AttributeIds.DataTypeDefinition)
    members = {node: _defined(content(said)) for node, said in zip(data_types, definitions, strict=True)}
    members |= await _from_properties(session, [node for node, found in members.items() if found is None])
    described = {}
    for node, name in zip(data_types, names, strict=True):
        said, found = content(name), members[node]
        if found:
            text = text_of_node(node, session.uris)
            shown = said.Name if isinstance(said, ua.QualifiedName) and said.Name else text
            described[node] = Enumeration(text, shown, found)
    return described


def _defined(said: object) -> Members | None:
    """The members of a definition; none for other types, None where the server has no definition."""
    if isinstance(said, ua.EnumDefinition):
        return tuple((int(field.Value), field.Name or "") for field in said.Fields or ())
    return () if said is not None else None


async def _from_properties(session: Session, data_types: Sequence[ua.NodeId]) -> dict[ua.NodeId, Members | None]:
    below = await children(session, data_types, reference=_HAS_PROPERTY, classes=VARIABLE) if data_types else []
    holders = {
        reference.node: node
        for node, references in zip(data_types, below, strict=True)
        for reference in references
        if reference.name in _NAMES
    }
    values = await session.read_values(list(holders)) if holders else []
    return {node: _listed(content(value)) for node, value in zip(holders.values(), values, strict=True)}


def _listed(said: object) -> Members | None:
    """The members in a list of texts, counted from 0 (EnumStrings), or of numbers with texts (EnumValues)."""
    found: list[tuple[int, str]] = []
    for number, each in enumerate(said if isinstance(said, list) else ()):
        if isinstance(each, ua.LocalizedText):
            found.append((number, each.Text or ""))
        elif isinstance(each, ua.EnumValueType):
            found.append((int(each.Value), each.DisplayName.Text or ""))
    return tuple(found) or None
