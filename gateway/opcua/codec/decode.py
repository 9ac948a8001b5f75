"""Finds the parts of publish responses: the numbers of a message, and the positions of its notifications (Part 4,
5.14.5).

    body ── read_publish ──► Published ── columns.read_changes ──► Changes

Nearly all servers send one form, which is read with a few fixed structures.  Any other form is read field by field.
The time is linear in the size of the body.
"""

import struct

from msgspec import Struct

from gateway.opcua.codec.wire import (
    Dialect,
    Reader,
    read_array,
    read_diagnostics,
    read_node_id,
    read_structure,
)

DATA_CHANGE, STATUS_CHANGE, EVENTS = "i=811", "i=820", "i=916"
"""Node ids of the binary encodings of the three kinds of notification (Part 6, A.3)."""


class Notification(Struct, frozen=True):
    """One notification of a message: its kind, and the position of its body in the response."""

    kind: str
    start: int
    end: int


class Published(Struct, frozen=True):
    """A PublishResponse (Part 4, 5.14.5) or RepublishResponse, with its notifications still encoded."""

    body: bytes
    sequence: int
    notifications: tuple[Notification, ...]
    publish_ticks: int = 0
    """The server's clock at publishing; if the server does not say that, at sending."""
    subscription: int = 0
    available: tuple[int, ...] = ()
    """The sequence numbers that the server still has for Republish."""
    more: bool = False
    results: tuple[int, ...] = ()
    """The StatusCode of each acknowledgement in the request."""
    own_ticks: int = 0
    """The time in the message itself, which a repeat keeps; 0: the server does not state it."""


def read_publish(body: bytes) -> Published:
    """Find the parts of a PublishResponse.  Raises `Malformed`."""
    return _read_usual(body) or _read_any(body)


_USUAL_HEAD = struct.Struct("<IqIIBiHBIi")
"""Node id, time, handle, result, diagnostics, string table, no additional header, subscription, count of numbers."""
_USUAL_MESSAGE = struct.Struct("<BIqi")
"""MoreNotifications, sequence number, time, number of notifications."""
_USUAL_PART = struct.Struct("<IBi")
"""Node id, encoding, size."""
_USUAL_KINDS = {0x032B_0001: DATA_CHANGE, 0x0334_0001: STATUS_CHANGE, 0x0394_0001: EVENTS}
_PUBLISH_RESPONSE = 0x033D_0001
"""Node ids with four bytes, as numbers."""


def _read_usual(body: bytes) -> Published | None:
    """Read a PublishResponse in the form that nearly all servers use.  None: it has another form."""
    try:
        head = _USUAL_HEAD.unpack_from(body)
        kind, sent_ticks, _, result, diagnostics, texts, no_more, encoding, subscription, count = head
        if kind != _PUBLISH_RESPONSE or result or diagnostics or texts > 0 or no_more or encoding:
            return None
        pos, available = _USUAL_HEAD.size, ()
        if count > 0:
            available = struct.unpack_from(f"<{count}I", body, pos)
            pos += 4 * count
        more, sequence, publish_ticks, parts_left = _USUAL_MESSAGE.unpack_from(body, pos)
        pos += _USUAL_MESSAGE.size
        parts = []
        while parts_left > 0:
            kind, encoding, size = _USUAL_PART.unpack_from(body, pos)
            pos += _USUAL_PART.size
            if encoding != 1 or size < 0 or pos + size > len(body):
                return None
            parts.append(Notification(_USUAL_KINDS[kind], pos, pos + size))
            pos += size
            parts_left -= 1
        count = int.from_bytes(body[pos : pos + 4], "little", signed=True)
        results = struct.unpack_from(f"<{count}I", body, pos + 4) if count > 0 else ()
    except (struct.error, KeyError, MemoryError, OverflowError):
        return None
    if pos + 4 > len(body):
        return None
    ticks = publish_ticks or sent_ticks
    return Published(body, sequence, tuple(parts), ticks, subscription, available, more != 0, results, publish_ticks)


def _read_any(body: bytes) -> Published:
    r = Reader(body, 0, len(body), _PLAIN)
    sent_ticks = skip_response_header(r)
    subscription = r.u32()
    available = tuple(int(str(n)) for n in read_array(r, 7) or ())
    more = r.u8() != 0
    sequence, publish_ticks, parts = _read_message(r)
    results = tuple(int(str(s)) for s in read_array(r, 19) or ())
    ticks = publish_ticks or sent_ticks
    return Published(body, sequence, parts, ticks, subscription, available, more, results, publish_ticks)


def read_republish(body: bytes) -> Published:
    """Find the parts of a RepublishResponse.  Raises `Malformed`."""
    r = Reader(body, 0, len(body), _PLAIN)
    sent_ticks = skip_response_header(r)
    sequence, publish_ticks, parts = _read_message(r)
    return Published(body, sequence, parts, publish_ticks or sent_ticks, own_ticks=publish_ticks)


_PLAIN = Dialect()


def skip_response_header(r: Reader) -> int:
    """The server's clock in ticks.  The ServiceResult was checked when the answer arrived."""
    return read_response_header(r)[0]


def read_response_header(r: Reader) -> tuple[int, int]:
    """Time (in ticks) and result of a header (Part 4, 7.33).  Handle, diagnostics and extensions are skipped."""
    read_node_id(r)
    ticks = r.i64()
    r.step(4)
    result = r.u32()
    read_diagnostics(r)
    read_array(r, 12)
    read_structure(r)
    return ticks, result


def _read_message(r: Reader) -> tuple[int, int, tuple[Notification, ...]]:
    sequence, publish_ticks = r.u32(), r.i64()
    parts = []
    for _ in range(max(0, r.count(3))):
        kind = read_node_id(r)
        size = r.i32() if r.u8() else 0
        start = r.step(max(0, size))
        parts.append(Notification(kind, start, r.pos))
    return sequence, publish_ticks, tuple(parts)


def read_status_change(published: Published, part: Notification) -> int:
    """The status in a StatusChangeNotification.  Raises `Malformed`."""
    return Reader(published.body, part.start, part.end, _PLAIN).u32()
