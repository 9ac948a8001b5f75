"""The structures of one server: reads their definitions and makes readers from them.

asyncua keeps decoded types in registries global to the process, where two servers overwrite each other.  Here each
session has its own readers.  A type without a definition, or with one that Part 6 has no encoding for, is looked up
in the older type dictionaries; where that fails too it has no reader, and its values keep their bytes.

    data types ─ follow HasSubtype from BaseDataType ─► the built-in type of each
               └ DataTypeDefinition of each ──────────► fields ─► a reader per encoding id
                 else its type dictionary (`type_dictionaries.py`)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from asyncua import ua

from gateway.errors import Unavailable
from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.opcua.codec.dictionary import TypeName
from gateway.opcua.codec.namespaces import printable
from gateway.opcua.codec.node_ids import text_of_node
from gateway.opcua.codec.read_values import ReadValue
from gateway.opcua.codec.standard import (
    DEFINITIONS,
    STANDARD_STRUCTURES,
    STANDARD_TYPES,
    STRUCTURE_DEFINITION,
    rows_of,
)
from gateway.opcua.codec.wire import (
    DECIMAL,
    EXTENSION_OBJECT,
    SCALARS,
    Malformed,
    Reader,
    StructureReader,
    read_array,
    read_elements,
    read_matrix,
)
from gateway.opcua.session.refusals import Refusal
from gateway.opcua.session.session import Session
from gateway.opcua.space.browse import children
from gateway.opcua.space.type_dictionaries import Described, read_described
from gateway.values import RawStructure, Sampled, Structure, Typed

_BASE_DATA_TYPE = ua.NodeId(ua.Int32(ua.ObjectIds.BaseDataType), ua.Int16(0))
_HAS_SUBTYPE = ua.NodeId(ua.Int32(ua.ObjectIds.HasSubtype), ua.Int16(0))
_HAS_ENCODING = ua.NodeId(ua.Int32(ua.ObjectIds.HasEncoding), ua.Int16(0))
_DATA_TYPE, _OBJECT = 64, 1
"""Node class bits."""
_ENUMERATION, _INT32, _VARIANT = "i=29", 6, 24
_LAST_BUILT_IN = 25
_NO_NODE = "i=0"
_WITH_HEADER = ("i=22", DECIMAL)
"""Structure, which stands for any structure, and Decimal, which has no fields."""
MOST_TYPES = 50_000
MAX_LEVELS = 50

_MOST_OPTIONAL = 32
"""The number of bits in the mask of present fields."""

_PLAIN, _OPTIONAL, _UNION = 0, 1, 2
"""StructureType (Part 3, 8.48); 3 and 4 are the first and the last with subtypes allowed."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a structure."""

    name: str
    data_type: str
    dimensions: int = 0
    """0 for a scalar, 1 for an array, more for a matrix."""
    is_optional: bool = False
    allows_subtypes: bool = False

    @property
    def is_inline(self) -> bool:
        """Whether a structure in this field has no ExtensionObject header (Part 6, 5.2.6)."""
        return self.data_type not in _WITH_HEADER and not self.allows_subtypes


@dataclass(frozen=True, slots=True)
class Definition:
    """The server's definition of one structure."""

    data_type: str
    kind: int
    fields: tuple[Field, ...]


FieldReader = Callable[[Reader], Typed]


@dataclass(frozen=True, slots=True)
class Types:
    """The server's data types."""

    readers: Mapping[str, StructureReader]
    """Readers of structures, by encoding id."""
    definitions: Mapping[str, Definition]
    """Definitions of structures."""
    kinds: Mapping[str, int]
    """The built-in type of each data type."""
    unreadable: Mapping[str, str] = dataclass_field(default_factory=dict)
    """Structures without a reader, and why."""


async def load_types(session: Session) -> Types:
    """The server's data types, with a reader for each readable structure.  Raises `Unavailable`."""
    kinds, nodes, names = await _data_types(session)
    structures = [node for text, node in nodes.items() if kinds[text] == EXTENSION_OBJECT]
    answers = await read_definitions(session, structures) if structures else []
    definitions: dict[str, Definition] = {}
    encodings: dict[str, str] = {}
    without_encoding: list[ua.NodeId] = []
    for node, answer in zip(structures, answers, strict=True):
        said = answer.good
        if not isinstance(said, Structure) or said.type_id != STRUCTURE_DEFINITION:
            continue
        text = text_of_node(node, session.uris)
        definition = definition_of(text, said)
        if definition is None:
            continue
        definitions[text] = definition
        encoding = str(said.fields["DefaultEncodingId"].value)
        if encoding == _NO_NODE:
            without_encoding.append(node)
        else:
            encodings[encoding] = text
    encodings |= await encodings_of(session, without_encoding)
    made = _made(definitions, kinds)
    left = {t: n for t, n in nodes.items() if kinds[t] == EXTENSION_OBJECT and t not in made and n.NamespaceIndex}
    described = await _described(session, left, names, kinds, made)
    readers = {**STANDARD_STRUCTURES, **described.readers, **_by_encoding(made, encodings)}
    return Types(readers, definitions, kinds, described.unreadable)


async def _described(
    session: Session,
    wanted: Mapping[str, ua.NodeId],
    names: Mapping[TypeName, str],
    kinds: Mapping[str, int],
    made: Mapping[str, StructureReader],
) -> Described:
    """What the type dictionaries say of structures that have no definition.

    Raises `Unavailable` only when the link is gone.
    """
    if not wanted:
        return Described()
    known: dict[TypeName, tuple[int, Callable[[Reader], object]]] = {}
    for name, text in names.items():
        read = {**STANDARD_TYPES, **made}.get(text) if kinds[text] == EXTENSION_OBJECT else SCALARS[kinds[text]]
        if read is not None:
            known[name] = kinds[text], read
    try:
        return await read_described(session, wanted, known)
    except Unavailable as error:
        if not session.is_open:
            raise
        return Described({}, dict.fromkeys(wanted, str(error)))


async def _data_types(session: Session) -> tuple[dict[str, int], dict[str, ua.NodeId], dict[TypeName, str]]:
    """The built-in type of each data type of the server, its node id, and the data types by name."""
    kinds, nodes = {"i=24": _VARIANT}, {}
    names: dict[TypeName, str] = {}
    level = [_BASE_DATA_TYPE]
    for _ in range(MAX_LEVELS):
        if not level or len(kinds) > MOST_TYPES:
            break
        below = await children(session, level, reference=_HAS_SUBTYPE, classes=_DATA_TYPE)
        found = [(parent, each) for parent, subtypes in zip(level, below, strict=True) for each in subtypes]
        level = []
        for parent, subtype in found:
            node, text = subtype.node, text_of_node(subtype.node, session.uris)
            if text in kinds:
                continue
            kinds[text], nodes[text] = built_in(text, kinds[text_of_node(parent, session.uris)]), node
            if node.NamespaceIndex < len(session.uris):
                names[session.uris[node.NamespaceIndex], subtype.name] = text
            level.append(node)
    return kinds, nodes, names


def built_in(data_type: str, inherited: int) -> int:
    """The built-in type in which values of a data type are encoded (Part 6, 5.1.2).

    `inherited`: that of its supertype.
    """
    if data_type == _ENUMERATION:
        return _INT32
    if data_type == DECIMAL:
        return EXTENSION_OBJECT
    number = data_type.removeprefix("i=")
    if data_type.startswith("i=") and number.isdecimal() and 1 <= int(number) <= _LAST_BUILT_IN and number != "24":
        return int(number)
    return inherited


async def encodings_of(session: Session, nodes: Sequence[ua.NodeId]) -> dict[str, str]:
    """The binary encoding of data types whose definition does not name it."""
    below = await children(session, nodes, reference=_HAS_ENCODING, classes=_OBJECT) if nodes else []
    found = {}
    for node, references in zip(nodes, below, strict=True):
        for reference in references:
            if reference.name == "Default Binary":
                found[text_of_node(reference.node, session.uris)] = text_of_node(node, session.uris)
    return found


async def read_definitions(session: Session, data_types: Sequence[ua.NodeId]) -> list[ReadValue]:
    """The definition of each data type (Part 3, 8.50 and 8.51) as a structure.  Raises `Unavailable`."""
    return await session.read_attribute(data_types, ua.AttributeIds.DataTypeDefinition, structures=DEFINITIONS)


def definition_of(data_type: str, said: Structure) -> Definition | None:
    """The definition in our form.  None: it cannot be read."""
    kind = int(str(said.fields["StructureType"].value))
    fields = []
    for number, field in enumerate(rows_of(said, "Fields")):
        rank, is_marked = int(str(field["ValueRank"])), bool(field["IsOptional"])
        if rank != -1 and rank < 1:
            return None  # a field is a scalar or has fixed dimensions (Part 3, 8.51)
        name = printable(str(field["Name"] or f"field{number}"))
        optional, subtypes = is_marked and kind == _OPTIONAL, is_marked and kind in (3, 4)
        fields.append(Field(name, str(field["DataType"]), max(0, rank), optional, subtypes))
    if sum(field.is_optional for field in fields) > _MOST_OPTIONAL:
        return None
    return Definition(data_type, {3: _PLAIN, 4: _UNION}.get(kind, kind), tuple(fields))


def readers_of(
    definitions: Mapping[str, Definition], encodings: Mapping[str, str], kinds: Mapping[str, int]
) -> dict[str, StructureReader]:
    """A reader per encoding id.  Types with unreadable parts are left out."""
    return _by_encoding(_made(definitions, kinds), encodings)


def _by_encoding(made: Mapping[str, StructureReader], encodings: Mapping[str, str]) -> dict[str, StructureReader]:
    return {encoding: made[text] for encoding, text in encodings.items() if text in made}


def _made(definitions: Mapping[str, Definition], kinds: Mapping[str, int]) -> dict[str, StructureReader]:
    """A reader per data type."""
    made: dict[str, StructureReader] = {}
    for text in _readable(definitions, kinds):
        made[text] = _reader(definitions[text], kinds, made, definitions)
    return made


def _readable(definitions: Mapping[str, Definition], kinds: Mapping[str, int]) -> set[str]:
    """The types whose fields, nested ones included, can all be read.

    Works from unreadable types to the types that contain them, in time linear in the number of fields: a chain of types
    may be longer than Python's stack.
    """
    containing: dict[str, list[str]] = {}
    unreadable: list[str] = []
    for text, definition in definitions.items():
        inline = [f for f in definition.fields if kinds.get(f.data_type) == EXTENSION_OBJECT and f.is_inline]
        for field in inline:
            containing.setdefault(field.data_type, []).append(text)
        if any(f.data_type not in kinds for f in definition.fields):
            unreadable.append(text)
    unreadable += [text for text in containing if text not in definitions]
    spoiled = set(unreadable)
    while unreadable:
        for text in containing.get(unreadable.pop(), ()):
            if text not in spoiled:
                spoiled.add(text)
                unreadable.append(text)
    return definitions.keys() - spoiled


def _reader(
    definition: Definition,
    kinds: Mapping[str, int],
    made: Mapping[str, StructureReader],
    definitions: Mapping[str, Definition],
) -> StructureReader:
    readers = [(f, _field_reader(f, kinds[f.data_type], made, definitions)) for f in definition.fields]
    bits = _optional_bits(definition)

    def read(r: Reader) -> Structure:
        r.deeper()
        r.structure()
        if definition.kind == _UNION:
            fields = _read_union(r, readers)
        else:
            mask = r.u32() if definition.kind == _OPTIONAL else 0
            fields = {f.name: field(r) for (f, field), bit in zip(readers, bits, strict=True) if not bit or mask & bit}
        r.depth -= 1
        return Structure(definition.data_type, fields)

    return read


def _optional_bits(definition: Definition) -> list[int]:
    """The bit of each field in the mask before an encoded structure (Part 6, 5.2.7).  0: always present."""
    bits, following = [], 1
    for field in definition.fields:
        bits.append(following if field.is_optional else 0)
        following <<= field.is_optional
    return bits


def _read_union(r: Reader, readers: Sequence[tuple[Field, FieldReader]]) -> dict[str, Typed]:
    """Read the one field of a union.  0 means none (Part 6, 5.2.8)."""
    chosen = r.u32()
    if chosen > len(readers):
        raise Malformed(f"field {chosen} of a union of {len(readers)}")
    return {readers[chosen - 1][0].name: readers[chosen - 1][1](r)} if chosen else {}


def _field_reader(
    field: Field, kind: int, made: Mapping[str, StructureReader], definitions: Mapping[str, Definition]
) -> FieldReader:
    if kind == EXTENSION_OBJECT and field.is_inline:
        return _inline_reader(field, made)
    if field.allows_subtypes and kind != EXTENSION_OBJECT:
        kind = _VARIANT
    if field.dimensions > 1:
        return lambda r: Typed(kind | IS_ARRAY | IS_MATRIX, read_matrix(r, lambda r, n: read_elements(r, kind, n)))
    if field.dimensions:
        return lambda r: Typed(kind | IS_ARRAY, read_array(r, kind))
    scalar = SCALARS[kind]
    return lambda r: Typed(kind, scalar(r))


def _inline_reader(field: Field, made: Mapping[str, StructureReader]) -> FieldReader:
    """A reader for a nested structure: its fields without the ExtensionObject header.

    It is looked up when used, because types may contain themselves.
    """
    if not field.dimensions:
        return lambda r: Typed(EXTENSION_OBJECT, made[field.data_type](r))

    def elements(r: Reader, length: int) -> list[object]:
        return [made[field.data_type](r) for _ in range(r.claim(length, 1))]

    def read(r: Reader) -> Typed:
        if field.dimensions > 1:
            return Typed(EXTENSION_OBJECT | IS_ARRAY | IS_MATRIX, read_matrix(r, elements))
        length = r.i32()
        return Typed(EXTENSION_OBJECT | IS_ARRAY, None if length < 0 else elements(r, length))

    return read


def has_raw(value: object) -> bool:
    """Whether there is a structure in it that nobody could read."""
    if isinstance(value, list):
        return any(has_raw(each) for each in value)
    if isinstance(value, Structure):
        return any(has_raw(field.value) for field in value.fields.values())
    if isinstance(value, Typed | Sampled):
        return has_raw(value.value)
    return isinstance(value, RawStructure)


async def types_or_none(session: Session, wanted: bool) -> Types:
    """The data types.  Empty if they are not wanted or the server does not describe them.

    Raises `Unavailable` only when the link is lost.
    """
    if not wanted:
        return Types({}, {}, {})
    try:
        return await load_types(session)
    except Unavailable as error:
        if not session.is_open:
            raise
        session.refused.note("structures", Refusal("structures", "DataTypes", str(error)))
        return Types({}, {}, {})
