"""Encodes browse requests and decodes browse responses (Part 4, 5.9.2 and 5.9.3): asyncua takes 60 µs per reference.

Only what browsing needs is requested and kept.  References to other servers are left out.  The only error is
`Malformed`.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from gateway.errors import Rejected
from gateway.opcua.codec.node_ids import node_of
from gateway.opcua.codec.wire import Malformed, Reader, read_node_id

BROWSE, BROWSE_NEXT = 527, 533
"""Node ids of the binary encodings of the requests (Part 6, A.3)."""
_HEAD = b"\x00\x00" + struct.pack("<qI", 0, 0)
"""No view."""
_FORWARD = struct.pack("<i", 0)
_WANTED = 0x01 | 0x04 | 0x08 | 0x20
"""Reference type, node class, browse name, type definition."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference from a node to another on the same server."""

    node: ua.NodeId
    """The target."""
    name: str
    """Its browse name.  Bytes that are not UTF-8 are replaced, since names go into topics and texts."""
    node_class: int
    kind: ua.NodeId
    """Reference type."""
    definition: ua.NodeId
    """Type definition of an object or variable; null for others."""


@dataclass(frozen=True, slots=True)
class Page:
    """The references of one node in one response."""

    status: int
    continuation: bytes
    references: list[Reference]


def browse_request(nodes: Sequence[ua.NodeId], reference: ua.NodeId, classes: int, most: int = 0) -> bytes:
    """The body of a BrowseRequest: forward references of this type and its subtypes, to nodes of these classes.

    At most `most` of each node at once; as many as the server likes for 0.
    """
    tail = b"".join((_FORWARD, nodeid_to_binary(reference), struct.pack("<BII", 1, classes, _WANTED)))
    described = [part for node in nodes for part in (nodeid_to_binary(node), tail)]
    return b"".join((_HEAD, struct.pack("<Ii", most, len(nodes)), *described))


def browse_next_request(points: Sequence[bytes], is_release: bool = False) -> bytes:
    """The body of a BrowseNextRequest; or of one that gives the points back."""
    octets = [part for point in points for part in (struct.pack("<i", len(point)), point)]
    return b"".join((bytes([is_release]), struct.pack("<i", len(points)), *octets))


def read_pages(r: Reader, uris: Sequence[str]) -> list[Page]:
    """The results of a BrowseResponse or BrowseNextResponse; the reader stands behind its header.

    Raises `Malformed`.
    """
    known: dict[bytes, ua.NodeId] = {}
    return [_page(r, uris, known) for _ in range(max(0, r.count(12)))]


def _page(r: Reader, uris: Sequence[str], known: dict[bytes, ua.NodeId]) -> Page:
    status, continuation = r.u32(), r.octets() or b""
    references = [_reference(r, uris, known) for _ in range(max(0, r.count(18)))]
    return Page(status, continuation, [each for each in references if each is not None])


def _reference(r: Reader, uris: Sequence[str], known: dict[bytes, ua.NodeId]) -> Reference | None:
    kind = _known_node(r, uris, known)
    r.step(1)
    node = _node(r, uris)
    r.step(2)
    name = (r.octets() or b"").decode("utf-8", "replace")
    mask = r.u8()
    for bit in (1, 2):
        if mask & bit:
            r.octets()
    node_class, definition = r.i32(), _known_node(r, uris, known)
    if node is None or kind is None:
        return None
    return Reference(node, name, node_class, kind, definition or _NULL)


_NULL = ua.NodeId()


def _known_node(r: Reader, uris: Sequence[str], known: dict[bytes, ua.NodeId]) -> ua.NodeId | None:
    """A node id that many references share.  It is created once."""
    start = r.pos
    if r.u8() < 2:  # forms of fixed size without a URI, as usual for types
        r.pos = start
        end = start + (2 if r.data[start] == 0 else 4)
        found = known.get(r.data[start:end])
        if found is not None:
            r.step(end - start)
            return found
        node = _node(r, uris)
        if node is not None:
            known[r.data[start:end]] = node
        return node
    r.pos = start
    return _node(r, uris)


def _node(r: Reader, uris: Sequence[str]) -> ua.NodeId | None:
    """A NodeId or ExpandedNodeId (Part 6, 5.2.2.9, 5.2.2.10).  None: another server, or an unknown namespace."""
    start = r.pos
    encoding = r.u8()
    form = encoding & 0x3F
    if form == 3:
        namespace: int = r.u16()
        identifier: object = (r.octets() or b"").decode("utf-8", "surrogateescape")
    elif form == 0:
        namespace, identifier = 0, r.u8()
    elif form == 1:
        namespace, identifier = r.u8(), r.u16()
    elif form == 2:
        namespace, identifier = r.u16(), r.u32()
    else:
        return _rare_node(r, start, uris)
    if encoding & 0xC0:
        return _rare_node(r, start, uris)
    return ua.NodeId(identifier, namespace)  # type: ignore[arg-type]  # it accepts plain int and str


def _rare_node(r: Reader, start: int, uris: Sequence[str]) -> ua.NodeId | None:
    """Read any form by way of its text."""
    r.pos = start
    text = read_node_id(r).removeprefix("svr=0;")
    if text.startswith("svr="):
        return None
    try:
        return node_of(text, uris)
    except Rejected as error:
        raise Malformed(str(error)) from error
