"""The server's descriptions of the variables' types, before any value: data types, enumerations, structures.

    tag ─ DataType, ValueRank ─► data type ─┬─ its structures (`structures.py`), with nested ones
                                            └─ DataTypeDefinition, or its property EnumStrings or EnumValues

Servers of version 1.03 and earlier have only the properties (Part 3, 5.8.3).  If a server describes nothing, the tags
stay as they are: a missing description is not an error.
"""

from collections.abc import Sequence

from asyncua import ua
from msgspec.structs import replace

from gateway.errors import Unavailable
from gateway.model import DataField, DataType, Tag, VariableType
from gateway.opcua.codec.namespaces import printable
from gateway.opcua.codec.node_ids import node_of
from gateway.opcua.codec.standard import ENUM_DEFINITION, ENUM_VALUE, rows_of
from gateway.opcua.codec.wire import EXTENSION_OBJECT
from gateway.opcua.session.refusals import Refusal
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import VARIABLE, children
from gateway.opcua.space.structures import Types, read_definitions
from gateway.values import LocalizedText, QualifiedName, Structure

_HAS_PROPERTY = ua.NodeId(ua.Int32(ua.ObjectIds.HasProperty), ua.Int16(0))
_BUILT_IN = {f"i={number}": number for number in range(1, 26) if number not in (22, 24)}
"""Data types that are built-in types, except those without information: Structure and BaseDataType."""
_ABSTRACT = ("i=22", "i=24", "i=26", "i=27", "i=28")
"""Structure, BaseDataType and the abstract numbers: their values have a subtype."""
_NAMES = ("EnumStrings", "EnumValues")
_INT32, _ANY_RANK = 6, -2

Members = tuple[tuple[int, str], ...]


async def with_types(session: Session, tags: Sequence[Tag], types: Types) -> tuple[Tag, ...]:
    """The tags, each with its `VariableType` where the server has one.

    Raises `Unavailable` only when the link is gone.
    """
    try:
        found = await _variable_types(session, tags, types)
    except Unavailable as error:
        if not session.is_open:
            raise
        session.refused.note("types", Refusal("types", "variables", str(error)))
        found = {}
    return tuple(replace(tag, variable_type=found[tag.node_id]) if tag.node_id in found else tag for tag in tags)


async def _variable_types(session: Session, tags: Sequence[Tag], types: Types) -> dict[str, VariableType]:
    """By node id of the tag."""
    texts = (tag.node_id for tag in tags if not tag.node_id.startswith("/"))  # a path leads nowhere, or it were an id
    nodes = {text: node for text in texts if (node := node_of(text, session.uris)) is not None}
    if not nodes:
        return {}
    names = {nodes[tag.node_id]: tag.name for tag in tags if tag.node_id in nodes}
    answers = await session.look_up("DataType", names, ua.AttributeIds.DataType)
    ranks = await session.look_up("ValueRank", names, ua.AttributeIds.ValueRank)
    data_types = [said if isinstance(said := answers[node].good, str) else "" for node in nodes.values()]
    parts = {text: _parts(text, types) for text in set(data_types) - {"", *_ABSTRACT}}
    known = await _known(session, sorted({part for each in parts.values() for part in each}), types)
    made: dict[tuple[str, int], VariableType] = {}
    found: dict[str, VariableType] = {}
    for (tag, node), data_type in zip(nodes.items(), data_types, strict=True):
        if data_type in parts and data_type in known:
            rank = said if isinstance(said := ranks[node].good, int) else _ANY_RANK
            said_type = VariableType(rank, tuple(known[part] for part in parts[data_type] if part in known))
            found[tag] = made.setdefault((data_type, rank), said_type)
    return found


def _parts(data_type: str, types: Types) -> list[str]:
    """A data type and the types of its parts, without built-in types."""
    parts = [data_type]
    for part in parts:
        definition = types.definitions.get(part)
        inside = dict.fromkeys(field.data_type for field in definition.fields) if definition else ()
        parts += [each for each in inside if each not in (*_BUILT_IN, *_ABSTRACT, *parts)]
    return parts


async def _known(session: Session, data_types: Sequence[str], types: Types) -> dict[str, DataType]:
    found = {text: DataType(text, "", _BUILT_IN[text]) for text in data_types if text in _BUILT_IN}
    others = {t: node for t in data_types if t not in found and (node := node_of(t, session.uris)) is not None}
    if not others:
        return found
    names = await session.read_attribute(list(others.values()), ua.AttributeIds.BrowseName)
    members = await _members(session, {t: node for t, node in others.items() if t not in types.definitions})
    for text, answer in zip(others, names, strict=True):
        name = printable(said.name) if isinstance(said := answer.good, QualifiedName) and said.name else text
        definition, built_in = types.definitions.get(text), types.kinds.get(text)
        if definition is not None:
            fields = tuple(DataField(f.name, f.data_type, f.dimensions or -1, f.is_optional) for f in definition.fields)
            found[text] = DataType(text, name, EXTENSION_OBJECT, kind=definition.kind, fields=fields)
        elif members[text]:
            found[text] = DataType(text, name, _INT32, members[text])
        elif built_in is not None and built_in in _BUILT_IN.values():
            found[text] = DataType(text, name, built_in)
    return found


async def _members(session: Session, data_types: dict[str, ua.NodeId]) -> dict[str, Members]:
    """The members of each enumeration.  Empty for all other types."""
    if not data_types:
        return {}
    answers = await read_definitions(session, list(data_types.values()))
    found = {text: _defined(answer.good) for text, answer in zip(data_types, answers, strict=True)}
    without = {text: data_types[text] for text, members in found.items() if members is None}
    told = await _from_properties(session, list(without.values()))
    return {text: members or told.get(data_types[text], ()) for text, members in found.items()}


def _defined(said: object) -> Members | None:
    """The members in a definition.  Empty for other types; None: the server has no definition."""
    if isinstance(said, Structure) and said.type_id == ENUM_DEFINITION:
        members = [(field["Value"], field["Name"]) for field in rows_of(said, "Fields")]
        return tuple((_whole(value), _shown(name)) for value, name in members)
    return () if said is not None else None


async def _from_properties(session: Session, data_types: Sequence[ua.NodeId]) -> dict[ua.NodeId, Members]:
    below = await children(session, data_types, reference=_HAS_PROPERTY, classes=VARIABLE) if data_types else []
    holders = {
        reference.node: node
        for node, references in zip(data_types, below, strict=True)
        for reference in references
        if reference.name in _NAMES
    }
    values = await session.read_values(list(holders)) if holders else []
    return {node: _listed(value.good) for node, value in zip(holders.values(), values, strict=True)}


def _listed(said: object) -> Members:
    """The members in a list of texts, counted from 0 (EnumStrings), or of numbers with texts (EnumValues)."""
    found: list[tuple[int, str]] = []
    for number, each in enumerate(said if isinstance(said, list) else ()):
        if isinstance(each, LocalizedText):
            found.append((number, _shown(each)))
        elif isinstance(each, Structure) and each.type_id == ENUM_VALUE:
            found.append((_whole(each.fields["Value"].value), _shown(each.fields["DisplayName"].value)))
    return tuple(found)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _shown(text: object) -> str:
    said = text.text if isinstance(text, LocalizedText) else text
    return printable(said) if isinstance(said, str) else ""


async def members_of(session: Session, data_type: ua.NodeId) -> Members:
    """The members of one data type; none where it is no enumeration.  Raises `Unavailable`."""
    return (await _members(session, {"": data_type}))[""]


def listed_members(said: object) -> Members:
    """The members in the value of a property EnumStrings or EnumValues."""
    return _listed(said)
