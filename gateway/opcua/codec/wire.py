"""Decodes OPC UA Binary (Part 6, 5.2) into the values of `gateway/values.py`.  The bytes may be hostile.

Every length is checked against the available bytes before memory is allocated.  That limits types of fixed size;
nesting and the number of other array elements have limits of their own.  The only error is `Malformed`.  A mistake
inside a value whose end is known (text that is not UTF-8, dimensions that do not fit) does not stop decoding: it is
noted in `Reader.spoiled`, and the caller keeps the bytes (`value.py`).

asyncua is not used here: its types live in registries global to the process, and its DateTime loses a digit.
"""

import base64
import math
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.opcua.codec.namespaces import escaped, qualified, string_identifier, uri_at
from gateway.values import LocalizedText, QualifiedName, RawStructure, Sampled, Structure, Typed

MAX_DEPTH = 32
"""The deepest nesting of variants and structures.  Part 6 requires no more than 100."""
MAX_ELEMENTS = 1 << 20
"""The most array elements without a fixed size in one message.  They may take 60 times the memory of their bytes."""

BYTE_STRING, EXTENSION_OBJECT = 15, 22

_U16, _I32, _U32, _I64 = struct.Struct("<H"), struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<q")


class Malformed(Exception):  # noqa: N818 - it describes the bytes
    """The bytes violate Part 6, and the position of the next value is unknown."""


MOST_UNREAD = 100


class TooLarge(Malformed):
    """There are too many elements to decode, but the position of the next value can still be found."""


class Reader:
    """A position in some bytes that never leaves them."""

    __slots__ = ("data", "depth", "dialect", "elements", "end", "pos", "skipped", "spoiled", "structures")

    def __init__(self, data: bytes, pos: int, end: int, dialect: "Dialect") -> None:
        self.data = data
        self.pos = pos
        self.end = min(end, len(data))
        self.dialect = dialect
        self.depth = 0
        self.elements = 0
        self.skipped = 0
        self.structures = 0
        self.spoiled = ""

    def step(self, size: int) -> int:
        """Advance by `size` bytes.  Returns the old position.  Raises `Malformed` when fewer are left."""
        pos = self.pos
        if size < 0 or pos + size > self.end:
            raise Malformed(f"{size} bytes wanted, {self.end - pos} left")
        self.pos = pos + size
        return pos

    def count(self, least_size: int) -> int:
        """The length of an array (-1: null) whose elements take at least `least_size` bytes each.

        Raises `Malformed`.
        """
        length = self.i32()
        return self.claim(length, least_size) if length >= 0 else -1

    def claim(self, length: int, least_size: int) -> int:
        """Check that `length` elements without a fixed size can follow, of at least `least_size` bytes each."""
        self.fit(length, least_size)
        self.elements += length
        if self.elements > MAX_ELEMENTS:
            raise TooLarge(f"{length} elements, where a message may have {MAX_ELEMENTS} of such a type")
        return length

    def fit(self, length: int, size: int) -> int:
        """Check that the remaining bytes can hold `length` elements of at least `size` bytes each."""
        if length * max(size, 1) > self.end - self.pos:
            raise Malformed(f"an array of {length} elements in {self.end - self.pos} bytes")
        return length

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Malformed(f"nested deeper than {MAX_DEPTH}")

    def structure(self) -> None:
        """Count a structure.  There may be as many as bytes, and a few more, because empty ones take no bytes."""
        self.structures += 1
        if self.structures > len(self.data) + MAX_DEPTH:
            raise Malformed(f"{self.structures} structures in {len(self.data)} bytes")

    def u8(self) -> int:
        return self.data[self.step(1)]

    def u16(self) -> int:
        return int(_U16.unpack_from(self.data, self.step(2))[0])

    def i32(self) -> int:
        return int(_I32.unpack_from(self.data, self.step(4))[0])

    def u32(self) -> int:
        return int(_U32.unpack_from(self.data, self.step(4))[0])

    def i64(self) -> int:
        return int(_I64.unpack_from(self.data, self.step(8))[0])

    def octets(self) -> bytes | None:
        length = self.i32()
        if length < 0:
            return None
        start = self.step(length)
        return self.data[start : start + length]

    def text(self) -> str | None:
        raw = self.octets()
        if raw is None:
            return None
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self.spoiled = self.spoiled or "text that is not UTF-8"
            return ""


StructureReader = Callable[[Reader], Structure]


@dataclass(frozen=True, slots=True)
class Dialect:
    """The server-specific meaning of bytes: its namespaces and its structures."""

    uris: Sequence[str] = ()
    """The server's NamespaceArray."""
    structures: Mapping[str, StructureReader] = field(default_factory=dict)
    """By the text of the encoding's node id."""
    unread: set[str] = field(default_factory=set)
    """Encodings of structures that came and could not be read, up to `MOST_UNREAD`."""


def read_node_id(r: Reader) -> str:
    """Read a NodeId or ExpandedNodeId (5.2.2.9, 5.2.2.10) as text."""
    encoding = r.u8()
    namespace, identifier = _NODE_IDS.get(encoding & 0x3F, _no_node_id)(r)
    text = qualified(namespace, identifier, r.dialect.uris)
    if encoding & 0x80:
        uri = r.text() or ""
        text = f"nsu={escaped(uri)};{identifier}"
    if encoding & 0x40:
        text = f"svr={r.u32()};{text}"
    return text


def _no_node_id(r: Reader) -> tuple[int, str]:
    raise Malformed("a node id of unknown encoding")


def _guid(r: Reader) -> uuid.UUID:
    start = r.step(16)
    return uuid.UUID(bytes_le=r.data[start : start + 16])


def _opaque_id(r: Reader) -> tuple[int, str]:
    return r.u16(), "b=" + base64.b64encode(r.octets() or b"").decode()


_NODE_IDS: Mapping[int, Callable[[Reader], tuple[int, str]]] = {
    0: lambda r: (0, f"i={r.u8()}"),
    1: lambda r: (r.u8(), f"i={r.u16()}"),
    2: lambda r: (r.u16(), f"i={r.u32()}"),
    3: lambda r: (r.u16(), string_identifier(r.octets() or b"")),
    4: lambda r: (r.u16(), f"g={_guid(r)}"),
    5: _opaque_id,
}


def _qualified_name(r: Reader) -> QualifiedName:
    namespace = r.u16()
    uri = uri_at(namespace, r.dialect.uris) if namespace else None
    return QualifiedName(namespace if uri is None else uri, r.text() or "")


def _localized_text(r: Reader) -> LocalizedText:
    mask = r.u8()
    locale = r.text() if mask & 1 else None
    return LocalizedText(locale, r.text() if mask & 2 else None)


DECIMAL = "i=50"
_LONGEST_DECIMAL = 258


def read_structure(r: Reader) -> Structure | RawStructure | None:
    """Read an ExtensionObject (5.2.2.15).  An unknown one keeps its bytes; one without a body is null."""
    type_id = read_node_id(r)
    encoding = r.u8()
    if type_id == "i=0" and not encoding:
        return None
    body = (r.octets() or b"") if encoding in (1, 2) else b""
    known = r.dialect.structures.get(type_id) if encoding == 1 else None
    if known is None and type_id == DECIMAL and 3 <= len(body) <= _LONGEST_DECIMAL:
        return _decimal(body)
    if known is None:
        return _raw(r, type_id, body)
    inner = Reader(body, 0, len(body), r.dialect)
    inner.depth, inner.elements = r.depth, r.elements
    try:
        inner.deeper()
        structure = known(inner)
    except Malformed:
        return _raw(r, type_id, body)
    r.elements = inner.elements
    return _raw(r, type_id, body) if inner.spoiled or inner.pos != inner.end else structure


def _raw(r: Reader, type_id: str, body: bytes) -> RawStructure:
    if body and len(r.dialect.unread) < MOST_UNREAD:
        r.dialect.unread.add(type_id)
    return RawStructure(type_id, body)


def _decimal(body: bytes) -> Structure:
    """A Decimal (5.1.10).  The digits are exact, so they stay text."""
    digits = str(int.from_bytes(body[2:], "little", signed=True))
    scale = int.from_bytes(body[:2], "little", signed=True)
    return Structure(DECIMAL, {"Scale": Typed(4, scale), "Value": Typed(12, digits)})


def _sampled(r: Reader) -> Sampled:
    r.deeper()
    mask = r.u8()
    value = Typed(*read_variant(r)) if mask & 1 else None
    status, source_ticks, server_ticks = read_stamps(r, mask)
    r.depth -= 1
    return Sampled(value, status, source_ticks, server_ticks)


def read_stamps(r: Reader, mask: int) -> tuple[int, int, int]:
    """Read the members after the value of a DataValue (5.2.2.17): status, source ticks, server ticks."""
    status = r.u32() if mask & 0x02 else 0
    source_ticks = r.i64() if mask & 0x04 else 0
    if mask & 0x10:
        r.step(2)
    server_ticks = r.i64() if mask & 0x08 else 0
    if mask & 0x20:
        r.step(2)
    return status, source_ticks, server_ticks


def _nested_variant(r: Reader) -> Typed:
    return Typed(*read_variant(r))


_DIAGNOSTICS = (
    (0x01, "symbolic_id", 6), (0x02, "namespace_uri", 6), (0x08, "locale", 6), (0x04, "localized_text", 6),
    (0x10, "additional_info", 12), (0x20, "inner_status", 19), (0x40, "inner", 25),
)  # fmt: skip


def read_diagnostics(r: Reader) -> Structure:
    """Read a DiagnosticInfo (5.2.2.12) as a structure of its present fields."""
    r.deeper()
    mask = r.u8()
    fields = {name: Typed(kind, SCALARS[kind](r)) for bit, name, kind in _DIAGNOSTICS if mask & bit}
    r.depth -= 1
    return Structure("i=25", fields)


def _number(code: str) -> Callable[[Reader], int | float | bool]:
    packed = struct.Struct("<" + code)

    def read(r: Reader) -> int | float | bool:
        return packed.unpack_from(r.data, r.step(packed.size))[0]  # type: ignore[no-any-return]  # by the format

    return read


NUMBER_CODES: Mapping[int, str] = {
    1: "?", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d", 13: "q", 19: "I",
}  # fmt: skip
"""Built-in types of fixed size with a Python number, and their `struct` codes; DateTime as ticks."""
NUMBER_SIZES: Mapping[int, int] = {kind: struct.calcsize("<" + code) for kind, code in NUMBER_CODES.items()}

SCALARS: Mapping[int, Callable[[Reader], object]] = {
    0: lambda r: None,
    **{kind: _number(code) for kind, code in NUMBER_CODES.items()},
    12: Reader.text,
    14: _guid,
    BYTE_STRING: Reader.octets,
    16: Reader.text,
    17: read_node_id,
    18: read_node_id,
    20: _qualified_name,
    21: _localized_text,
    EXTENSION_OBJECT: read_structure,
    23: _sampled,
    24: _nested_variant,
    25: read_diagnostics,
    **dict.fromkeys(range(26, 32), Reader.octets),
}
"""The function that reads one value of each built-in type.  26 to 31 are reserved and read as ByteString (5.2.2.16)."""

_LEAST_SIZE = {12: 4, 14: 16, 15: 4, 16: 4, 17: 2, 18: 2, 20: 6, 21: 1, 22: 3}


def read_array(r: Reader, kind: int) -> list[object] | None:
    """Read an array of built-in type `kind`, its length first.  None: a null array."""
    length = r.i32()
    return read_elements(r, kind, length) if length >= 0 else None


def read_elements(r: Reader, kind: int, length: int) -> list[object]:
    """Read `length` values of built-in type `kind`.  Raises `Malformed` if the bytes cannot hold them."""
    code = NUMBER_CODES.get(kind)
    if kind == 0 and length:
        raise Malformed("an array of Null elements")
    if code is None:
        r.claim(length, _LEAST_SIZE.get(kind, 1))
        read = SCALARS[kind]
        return [read(r) for _ in range(length)]
    start = r.step(r.fit(length, NUMBER_SIZES[kind]) * NUMBER_SIZES[kind])
    dtype = "u1" if kind == 1 else "<" + np.dtype(code).str[1:]
    numbers = np.frombuffer(r.data, dtype, length, start)
    plain: list[object] = (numbers != 0).tolist() if kind == 1 else numbers.tolist()
    return plain


def read_variant(r: Reader) -> tuple[int, object]:
    """Read a Variant (5.2.2.16): built-in type id with the array flags, and the value."""
    r.deeper()
    encoding = r.u8()
    kind = encoding & 0x3F
    if kind not in SCALARS:
        raise Malformed(f"built-in type {kind}")
    shown = BYTE_STRING if kind > 25 else kind
    if not encoding & IS_ARRAY:
        value = SCALARS[kind](r)
        r.depth -= 1
        return (shown, value) if value is not None else (0, None)
    items = read_array(r, kind)
    if encoding & IS_MATRIX:
        dimensions = read_array(r, 6) or []
        nested = reshaped(r, items or [], [int(str(d)) for d in dimensions])
        r.depth -= 1
        return shown | IS_ARRAY | IS_MATRIX, nested
    r.depth -= 1
    return (shown | IS_ARRAY, items) if items is not None else (0, None)


def read_matrix(r: Reader, elements: Callable[[Reader, int], list[object]]) -> list[object] | None:
    """Read a multi-dimensional field of a structure (5.2.5): the lengths, then the elements, the last dimension
    fastest. None: a null matrix."""
    dimensions = read_array(r, 6)
    if dimensions is None:
        return None
    lengths = [max(0, int(str(length))) for length in dimensions]
    return reshaped(r, elements(r, math.prod(lengths)), lengths)


def reshaped(r: Reader, items: list[object], dimensions: Sequence[int]) -> list[object]:
    """Nest the elements row by row.  Dimensions that do not fit their number spoil the value."""
    total = 1
    for dimension in dimensions:
        total *= max(dimension, 0)
    if total != len(items) or not dimensions or len(dimensions) > MAX_DEPTH:
        r.spoiled = r.spoiled or "dimensions that do not fit"
        return items
    for size in reversed(dimensions[1:]):
        if size == 0:
            return []
        items = [items[i : i + size] for i in range(0, len(items), size)]
    return items
