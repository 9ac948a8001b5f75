"""Browse and Read of the load's own nodes, answered from bytes that are made once.

A start with 100 000 variables asks for as many references and attributes; asyncua's server would take longer over them
than any client.  What is about other nodes, other directions or other references is left to it: the functions here
then give None and have read nothing that matters.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.chain.wire import NO_DIAGNOSTICS, Reader, Status, string_node_id

NAMESPACE, GROUPS = 2, 10
OBJECT, VARIABLE = 1, 2
FORWARD, BROWSE_NAME = 0, 3
_HIERARCHICAL, _HAS_CHILD, _ORGANIZES, _AGGREGATES, _HAS_PROPERTY, _HAS_COMPONENT = 33, 34, 35, 44, 46, 47
_ABOVE_COMPONENT = frozenset((_HIERARCHICAL, _HAS_CHILD, _AGGREGATES, _HAS_COMPONENT))
_ABOVE_NOTHING = frozenset((_ORGANIZES, _HAS_PROPERTY))
_TWO_BYTES = struct.Struct("<BB")
Reference = tuple[int, bytes]
"""Node class, and the ReferenceDescription (Part 4, 7.30)."""


def variable_name(number: int) -> str:
    return f"v{number:06}"


def groups(variables: int) -> list[range]:
    """Which variables lie in the first group, in the second …"""
    each = max(1, math.ceil(variables / GROUPS))
    return [range(start, min(variables, start + each)) for start in range(0, variables, each)]


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<i", len(raw)) + raw


def numeric(node_id: bytes) -> int | None:
    """The number of a NodeId of namespace 0."""
    if node_id[0] == 0:
        return node_id[1]
    if node_id[0] == 1 and node_id[1] == 0:
        return int.from_bytes(node_id[2:4], "little")
    if node_id[0] == 2 and node_id[1:3] == b"\0\0":
        return int.from_bytes(node_id[3:7], "little")
    return None


def _component(name: str, node_class: int, type_definition: int) -> Reference:
    """A HasComponent reference to a node whose identifier is its name."""
    names = struct.pack("<H", NAMESPACE) + _text(name) + b"\x02" + _text(name)
    head = _TWO_BYTES.pack(0, _HAS_COMPONENT) + b"\1" + string_node_id(name, NAMESPACE)
    return node_class, head + names + struct.pack("<i", node_class) + _TWO_BYTES.pack(0, type_definition)


@dataclass
class Tree:
    """load → m000 … → v000000 …"""

    variables: int
    references: dict[bytes, list[Reference]] = field(default_factory=dict)
    """NodeId → what its components are; variables have none."""
    numbers: dict[bytes, int] = field(default_factory=dict)
    """NodeId → number, of variables."""

    def __post_init__(self) -> None:
        root = self.references[string_node_id("load", NAMESPACE)] = []
        for place, numbers in enumerate(groups(self.variables)):
            group = f"m{place:03}"
            root.append(_component(group, OBJECT, 58))
            own = self.references[string_node_id(group, NAMESPACE)] = []
            for number in numbers:
                name = variable_name(number)
                own.append(_component(name, VARIABLE, 63))
                node_id = string_node_id(name, NAMESPACE)
                self.references[node_id], self.numbers[node_id] = [], number

    def browsed(self, reader: Reader) -> list[Reference] | None:
        """Read one BrowseDescription; None for what is not ours to answer."""
        node, direction, kind = reader.node_id(), reader.u32(), numeric(reader.node_id())
        subtypes, classes, _ = reader.take("BII")
        known = self.references.get(node)
        if known is None or direction != FORWARD or kind not in _ABOVE_COMPONENT | _ABOVE_NOTHING:
            return None
        if kind in _ABOVE_NOTHING or not (subtypes or kind == _HAS_COMPONENT):
            return []
        return [each for each in known if not classes or each[0] & int(classes)]

    def attribute(self, node: bytes, attribute: int) -> bytes | None:
        """A DataValue; None for what is not ours to answer."""
        number = self.numbers.get(node)
        if number is None:
            return None
        if attribute == BROWSE_NAME:
            return b"\x01\x14" + struct.pack("<H", NAMESPACE) + _text(variable_name(number))
        return _ATTRIBUTES.get(attribute)


_ATTRIBUTES = {
    2: b"\x01\x06" + struct.pack("<i", VARIABLE),
    14: b"\x01\x11" + _TWO_BYTES.pack(0, 11),
    15: b"\x01\x06" + struct.pack("<i", -1),
    16: b"\x02" + struct.pack("<I", Status.ATTRIBUTE_ID_INVALID),
    17: b"\x01\x03\x01",
    18: b"\x01\x03\x01",
    20: b"\x01\x01\x00",
}
"""Of every variable, as DataValues: NodeClass, DataType, ValueRank, ArrayDimensions, AccessLevel, Historizing."""


@dataclass
class Browsing:
    """What one connection is in the middle of."""

    tree: Tree
    left: dict[bytes, list[Reference]] = field(default_factory=dict)
    """Continuation point → what has not been told yet."""
    most: int = 0
    _last: int = 0

    def browse(self, reader: Reader) -> bytes | None:
        """Everything of a BrowseResponse behind its header."""
        reader.node_id()
        reader.take("qI")
        self.most = reader.u32()
        found = []
        for _ in range(reader.count()):
            references = self.tree.browsed(reader)
            if references is None:
                return None
            found.append(references)
        return self._results(found)

    def browse_next(self, reader: Reader) -> bytes | None:
        """Everything of a BrowseNextResponse behind its header."""
        (release,) = reader.take("B")
        points = []
        for _ in range(reader.count()):
            length = reader.count()
            points.append(reader.data[reader.at : reader.at + length])
            reader.at += length
        found = [self.left.pop(point, None) for point in points]
        return self._results([[] for _ in found] if release else found)

    def read(self, reader: Reader) -> bytes | None:
        """Everything of a ReadResponse behind its header."""
        reader.take("dI")
        values = []
        for _ in range(reader.count()):
            node, attribute = reader.node_id(), reader.u32()
            reader.skip_text()
            reader.at += 2
            reader.skip_text()
            value = self.tree.attribute(node, attribute)
            if value is None:
                return None
            values.append(value)
        return struct.pack("<i", len(values)) + b"".join(values) + NO_DIAGNOSTICS

    def _results(self, found: Sequence[list[Reference] | None]) -> bytes:
        parts = [struct.pack("<i", len(found))]
        for references in found:
            if references is None:
                parts.append(struct.pack("<Iii", Status.CONTINUATION_POINT_INVALID, -1, 0))
                continue
            told = references[: self.most] if self.most else references
            parts += [b"\0\0\0\0", self._continuation(references[len(told) :]), struct.pack("<i", len(told))]
            parts += [reference for _, reference in told]
        return b"".join([*parts, NO_DIAGNOSTICS])

    def _continuation(self, left: list[Reference]) -> bytes:
        if not left:
            return b"\xff\xff\xff\xff"
        self._last += 1
        point = struct.pack("<I", self._last)
        self.left[point] = left
        return struct.pack("<i", len(point)) + point
