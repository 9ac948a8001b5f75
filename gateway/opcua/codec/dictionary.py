"""Type dictionaries (Part 6, Annex F of 1.05: OPC Binary): what servers before 1.04 say of their structures.

A `.bsd` file names the fields of each structure in the order of its bytes.  What a DataTypeDefinition says in words of
its own is said there with more fields: a length before an array, bits before optional fields, a switch before a union.
Those are read and not shown.

    bytes ─ parse_dictionary ─► types by name ─ Compiler.reader ─► a reader of a structure

A type is read only when all of it is understood; `Unreadable` says what is not.  The file may be hostile: it is bounded
in size, has no document type (so no entities), and nothing of it is evaluated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

from gateway.model import IS_ARRAY
from gateway.opcua.codec.wire import (
    EXTENSION_OBJECT,
    SCALARS,
    Reader,
    StructureReader,
    read_elements,
)
from gateway.values import Structure, Typed

MOST_BYTES = 16 * 2**20
MOST_FIELDS = 200_000
SCHEMA = "http://opcfoundation.org/BinarySchema/"
STANDARD = "http://opcfoundation.org/UA/"

TypeName = tuple[str, str]
"""Namespace URI and name."""

_BIT = "Bit"
_BUILT_IN: Mapping[TypeName, int] = {
    **{(SCHEMA, name): kind for name, kind in (
        ("Boolean", 1), ("SByte", 2), ("Byte", 3), ("Int16", 4), ("UInt16", 5), ("Int32", 6), ("UInt32", 7),
        ("Int64", 8), ("UInt64", 9), ("Float", 10), ("Double", 11), ("String", 12), ("CharArray", 12), ("DateTime", 13),
        ("Guid", 14), ("ByteString", 15), ("Char", 3), ("WideChar", 5),
    )},
    **{(STANDARD, name): kind for name, kind in (
        ("XmlElement", 16), ("NodeId", 17), ("ExpandedNodeId", 18), ("StatusCode", 19), ("QualifiedName", 20),
        ("LocalizedText", 21), ("ExtensionObject", 22), ("DataValue", 23), ("Variant", 24), ("DiagnosticInfo", 25),
    )},
}  # fmt: skip
_ENUMERATED = {8: 3, 16: 5, 32: 6, 64: 8}
"""Built-in type by the length of an enumeration in bits."""
_COMPARES: Mapping[str, Callable[[int, int], bool]] = {
    "Equals": lambda a, b: a == b,
    "NotEqual": lambda a, b: a != b,
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanOrEqual": lambda a, b: a >= b,
    "LessThan": lambda a, b: a < b,
    "LessThanOrEqual": lambda a, b: a <= b,
}


class Unreadable(Exception):  # noqa: N818 - it describes the type
    """What of a dictionary or a type is not understood, for people."""


@dataclass(frozen=True, slots=True)
class BinaryField:
    """One field, as the dictionary has it."""

    name: str
    type: TypeName
    length: int = 0
    length_field: str = ""
    switch_field: str = ""
    switch_value: int | None = None
    switch_operand: str = "Equals"
    unknown: str = ""
    """An attribute that changes the encoding in a way that is not read here."""


@dataclass(slots=True)
class BinaryType:
    """A structure, or an enumeration, which has bits and no fields."""

    fields: list[BinaryField] = field(default_factory=list)
    bits: int = 0


Types = Mapping[TypeName, BinaryType]


def parse_dictionary(data: bytes) -> tuple[str, dict[TypeName, BinaryType]]:
    """The namespace that a dictionary describes, and its types.  Raises `Unreadable`."""
    if len(data) > MOST_BYTES:
        raise Unreadable(f"a type dictionary of {len(data)} bytes")
    building = _Building()
    parser = expat.ParserCreate(namespace_separator="\n")
    parser.StartNamespaceDeclHandler = building.prefix
    parser.StartElementHandler = building.begin
    parser.EndElementHandler = building.end
    parser.StartDoctypeDeclHandler = _no_document_type
    try:
        parser.Parse(data.rstrip(b"\0"), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Unreadable(f"a type dictionary that cannot be read: {error}") from error
    return building.target, building.types


def _no_document_type(*_: object) -> None:
    raise Unreadable("a type dictionary with a document type")


class _Building:
    """What the parser has found so far."""

    def __init__(self) -> None:
        self.types: dict[TypeName, BinaryType] = {}
        self._prefixes: dict[str, str] = {}
        self.target = ""
        self._open: BinaryType | None = None
        self._fields = 0

    def prefix(self, prefix: str | None, uri: str | None) -> None:
        self._prefixes[prefix or ""] = uri or ""

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        uri, _, name = tag.rpartition("\n")
        if uri != SCHEMA:
            return
        if name == "TypeDictionary":
            self.target = attributes.get("TargetNamespace", "")
            if attributes.get("DefaultByteOrder", "LittleEndian") != "LittleEndian":
                raise Unreadable("a type dictionary of another byte order")
        elif name in ("StructuredType", "EnumeratedType", "OpaqueType"):
            bits = int(attributes.get("LengthInBits", "32")) if name == "EnumeratedType" else 0
            self._open = BinaryType(bits=bits)
            if name != "OpaqueType":
                self.types[self.target, attributes.get("Name", "")] = self._open
        elif name == "Field" and self._open is not None:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise Unreadable(f"a type dictionary with more than {MOST_FIELDS} fields")
            self._open.fields.append(self._field(attributes))

    def end(self, tag: str) -> None:
        if tag.rpartition("\n")[2] in ("StructuredType", "EnumeratedType", "OpaqueType"):
            self._open = None

    def _field(self, said: dict[str, str]) -> BinaryField:
        value = said.get("SwitchValue")
        odd: list[str] = [name for name in ("Terminator", "ByteOrder") if name in said]
        if said.get("IsLengthInBytes", "false") not in ("false", "0"):
            odd.append("IsLengthInBytes")
        return BinaryField(
            said.get("Name", ""),
            self._qualified(said.get("TypeName", "")),
            int(said.get("Length", "0")),
            said.get("LengthField", ""),
            said.get("SwitchField", ""),
            None if value is None else int(value),
            said.get("SwitchOperand", "Equals"),
            ", ".join(odd),
        )

    def _qualified(self, name: str) -> TypeName:
        prefix, _, local = name.rpartition(":")
        return self._prefixes.get(prefix, ""), local


FieldReader = Callable[[Reader], object]
_Step = tuple[BinaryField, int, FieldReader | None]
"""A field, its built-in type, and how it is read; None for bits."""


class Compiler:
    """Makes readers of the types of all dictionaries of one server."""

    def __init__(
        self, types: Types, known: Mapping[TypeName, tuple[int, FieldReader]], ids: Mapping[TypeName, str]
    ) -> None:
        """`known`: types that the server describes in the newer way: built-in type and reader.  `ids`: data types."""
        self._types = types
        self._known = known
        self._ids = ids
        self._made: dict[TypeName, StructureReader] = {}

    def reader(self, name: TypeName) -> StructureReader:
        """A reader of this structure.  Raises `Unreadable`."""
        wanted, waiting = {name}, [name]
        steps: dict[TypeName, list[_Step]] = {}
        while waiting:  # a chain of types may be longer than Python's stack
            each = waiting.pop()
            if each not in self._types or self._types[each].bits:
                raise Unreadable(f"no structure {each[1]} in the type dictionary")
            steps[each] = [self._step(field) for field in self._types[each].fields]
            _check(each[1], steps[each])
            inside = {f.type for f, kind, _ in steps[each] if kind == EXTENSION_OBJECT and self._is_structure(f.type)}
            waiting += inside - wanted
            wanted |= inside
        for each in wanted - self._made.keys():
            self._made[each] = _reader(steps[each], self._ids.get(each, each[1]))
        return self._made[name]

    def _is_structure(self, name: TypeName) -> bool:
        return name not in _BUILT_IN and name not in self._known

    def _step(self, field: BinaryField) -> _Step:
        if field.unknown:
            raise Unreadable(f"{field.name} has {field.unknown}")
        if field.type == (SCHEMA, _BIT):
            return field, 0, None
        if field.type in _BUILT_IN:
            kind = _BUILT_IN[field.type]
            return field, kind, SCALARS[kind]
        if field.type in self._known:
            kind, read = self._known[field.type]
            return field, kind, read
        found = self._types.get(field.type)
        if found is None:
            raise Unreadable(f"{field.name} is of the type {field.type[1]}, which no dictionary has")
        if found.bits:
            kind = _ENUMERATED.get(found.bits, 0)
            if not kind:
                raise Unreadable(f"{field.name} is an enumeration of {found.bits} bits")
            return field, kind, SCALARS[kind]
        return field, EXTENSION_OBJECT, lambda r, name=field.type: self._made[name](r)


def _check(name: str, steps: Sequence[_Step]) -> None:
    """What a field refers to must have come before it."""
    seen: set[str] = set()
    for each, _, read in steps:
        for other in (each.length_field, each.switch_field):
            if other and other not in seen:
                raise Unreadable(f"{name}.{each.name} refers to {other}, which is not before it")
        if each.switch_operand not in _COMPARES or (read is None and each.length_field):
            raise Unreadable(f"{name}.{each.name} is encoded in a way that is not known")
        seen.add(each.name)


def _reader(steps: Sequence[_Step], type_id: str) -> StructureReader:
    hidden = {f.length_field for f, _, _ in steps} | {f.switch_field for f, _, _ in steps}
    hidden |= {f.name for f, _, read in steps if read is None and f.name.startswith("Reserved")}

    def read_structure(r: Reader) -> Structure:
        r.deeper()
        r.structure()
        numbers: dict[str, int] = {}
        fields: dict[str, Typed] = {}
        bits = _Bits(r)
        for each, kind, read in steps:
            if each.switch_field and not _is_there(each, numbers):
                continue
            if read is None:
                number = bits.take(each.length or 1)
                typed = Typed(1, bool(number)) if each.length < 2 else Typed(7, number)
                value: object = number
            else:
                bits.close()
                typed = _value(r, each, kind, read, numbers)
                value = typed.value
            if isinstance(value, int):
                numbers[each.name] = value
            if each.name not in hidden:
                fields[each.name] = typed
        bits.close()
        r.depth -= 1
        return Structure(type_id, fields)

    return read_structure


def _value(r: Reader, field: BinaryField, kind: int, read: FieldReader, numbers: Mapping[str, int]) -> Typed:
    if not field.length_field and not field.length:
        return Typed(kind, read(r))
    length = numbers.get(field.length_field, -1) if field.length_field else field.length
    if length < 0:
        return Typed(kind | IS_ARRAY, None)
    if kind != EXTENSION_OBJECT and read is SCALARS[kind]:
        return Typed(kind | IS_ARRAY, read_elements(r, kind, length))
    return Typed(kind | IS_ARRAY, [read(r) for _ in range(r.claim(length, 1))])


def _is_there(field: BinaryField, numbers: Mapping[str, int]) -> bool:
    number = numbers.get(field.switch_field)
    if number is None:
        return False
    if field.switch_value is None:
        return number != 0
    return _COMPARES[field.switch_operand](number, field.switch_value)


class _Bits:
    """Bits, the lowest of a byte first; what is left of a byte is passed over before anything else is read."""

    def __init__(self, r: Reader) -> None:
        self._r = r
        self._byte = self._left = 0

    def take(self, count: int) -> int:
        number = 0
        for place in range(count):
            if not self._left:
                self._byte, self._left = self._r.u8(), 8
            number |= (self._byte & 1) << place
            self._byte >>= 1
            self._left -= 1
        return number

    def close(self) -> None:
        self._left = 0
