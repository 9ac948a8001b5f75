"""The type dictionaries of a server: structures that have no DataTypeDefinition, as servers before 1.04 describe them.

    data type ─ HasEncoding ─► Default Binary ─ HasDescription ─► description (its value: a name in the dictionary)
    OPC Binary type system ─► dictionaries (value: a `.bsd` file) ─► their descriptions

Part 5 of version 1.03, Annex D.  The dictionary of the standard itself is not read: it is large, and its types are
known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncua import ua

from gateway.opcua.codec.dictionary import (
    BinaryType,
    Compiler,
    FieldReader,
    TypeName,
    Unreadable,
    parse_dictionary,
)
from gateway.opcua.codec.namespaces import printable
from gateway.opcua.codec.node_ids import text_of_node
from gateway.opcua.codec.wire import StructureReader
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import VARIABLE, children

_TYPE_SYSTEM = ua.NodeId(ua.Int32(ua.ObjectIds.OPCBinarySchema_TypeSystem), ua.Int16(0))
_HAS_ENCODING = ua.NodeId(ua.Int32(ua.ObjectIds.HasEncoding), ua.Int16(0))
_HAS_DESCRIPTION = ua.NodeId(ua.Int32(ua.ObjectIds.HasDescription), ua.Int16(0))
_OBJECT = 1
_ANY_CLASS = 0
"""Some servers tell the wrong class in a reference."""
MOST_DICTIONARIES = 100
NO_DESCRIPTION = "the server does not describe it"


@dataclass(frozen=True, slots=True)
class Described:
    """What the dictionaries say of some structures."""

    readers: Mapping[str, StructureReader] = field(default_factory=dict)
    """By encoding id."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """By data type: why there is no reader.  Abstract types, which have no encoding, are left out."""


@dataclass(frozen=True, slots=True)
class _Dictionaries:
    types: Mapping[TypeName, BinaryType]
    names: Mapping[ua.NodeId, TypeName]
    """By the node of a description."""
    problems: Mapping[ua.NodeId, str]
    """By the node of a description: why its dictionary cannot be read."""


async def read_described(
    session: Session, wanted: Mapping[str, ua.NodeId], known: Mapping[TypeName, tuple[int, FieldReader]]
) -> Described:
    """Readers of these data types, as far as dictionaries have them; `known` are types described in the newer way.

    Raises `Unavailable`.
    """
    encodings = await _default_binary(session, wanted)
    descriptions = await _descriptions(session, list(encodings.values()))
    if not descriptions:
        return Described({}, dict.fromkeys(encodings, NO_DESCRIPTION))
    dictionaries = await _dictionaries(session)
    ids = {}
    for text, encoding in encodings.items():
        name = dictionaries.names.get(descriptions.get(encoding, ua.NodeId()))
        if name is not None:
            ids[name] = text
    compiler = Compiler(dictionaries.types, known, ids)
    readers, unreadable = {}, {}
    for text, encoding in encodings.items():
        description = descriptions.get(encoding, ua.NodeId())
        found = dictionaries.names.get(description)
        try:
            if found is None:
                raise Unreadable(dictionaries.problems.get(description, NO_DESCRIPTION))
            readers[text_of_node(encoding, session.uris)] = compiler.reader(found)
        except Unreadable as error:
            unreadable[text] = str(error)
    return Described(readers, unreadable)


async def _default_binary(session: Session, wanted: Mapping[str, ua.NodeId]) -> dict[str, ua.NodeId]:
    """The node of the binary encoding of each data type that has one."""
    below = await children(session, list(wanted.values()), reference=_HAS_ENCODING, classes=_OBJECT)
    found = {}
    for text, references in zip(wanted, below, strict=True):
        for reference in references:
            if reference.name == "Default Binary":
                found[text] = reference.node
    return found


async def _descriptions(session: Session, encodings: list[ua.NodeId]) -> dict[ua.NodeId, ua.NodeId]:
    """The description of each encoding that has one."""
    below = await children(session, encodings, reference=_HAS_DESCRIPTION, classes=_ANY_CLASS)
    return {node: references[0].node for node, references in zip(encodings, below, strict=True) if references}


async def _dictionaries(session: Session) -> _Dictionaries:
    [found] = await children(session, [_TYPE_SYSTEM], classes=VARIABLE)
    nodes = [reference.node for reference in found if reference.node.NamespaceIndex][:MOST_DICTIONARIES]
    below = await children(session, nodes, classes=VARIABLE)
    types: dict[TypeName, BinaryType] = {}
    names: dict[ua.NodeId, TypeName] = {}
    problems: dict[ua.NodeId, str] = {}
    for node, references in zip(nodes, below, strict=True):
        described = [reference.node for reference in references]
        [content] = await session.read_values([node])
        try:
            target, some = parse_dictionary(content.good if isinstance(content.good, bytes) else b"")
        except Unreadable as error:
            problems |= dict.fromkeys(described, str(error))
            continue
        types |= some
        told = await session.read_values(described) if described else []
        for reference, value in zip(references, told, strict=True):
            said = value.good if isinstance(value.good, str) and value.good else reference.name
            if (target, printable(said)) in some:
                names[reference.node] = target, printable(said)
    return _Dictionaries(types, names, problems)
