"""OPC UA Binary written by hand, for tests of the decoder: the bytes come from the specification, not a library."""

import struct
from collections.abc import Sequence

GOOD, BAD_SENSOR = 0, 0x808C0000
RESPONSE_HEADER = struct.pack("<qII", 0, 1, 0) + b"\x00" + b"\x00\x00\x00\x00" + b"\x00\x00\x00"


def text(value: str | None) -> bytes:
    raw = None if value is None else value.encode()
    return struct.pack("<i", -1) if raw is None else struct.pack("<i", len(raw)) + raw


def item(handle: int, variant: bytes | None, status: int | None = None, source: int | None = None,
         server: int | None = None) -> bytes:  # fmt: skip
    """A MonitoredItemNotification; what is None is not there."""
    mask = (variant is not None) | (status is not None) << 1 | (source is not None) << 2 | (server is not None) << 3
    body = struct.pack("<IB", handle, mask) + (variant or b"")
    body += b"" if status is None else struct.pack("<I", status)
    body += b"" if source is None else struct.pack("<q", source)
    return body + (b"" if server is None else struct.pack("<q", server))


def double(value: float) -> bytes:
    return b"\x0b" + struct.pack("<d", value)


def string(value: str) -> bytes:
    return b"\x0c" + text(value)


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack("<BBH", 1, 0, kind) + b"\x01" + struct.pack("<i", len(body)) + body


def data_change(items: Sequence[bytes]) -> bytes:
    return extension(811, struct.pack("<i", len(items)) + b"".join(items) + struct.pack("<i", -1))


def message(sequence: int, parts: Sequence[bytes], ticks: int = 0) -> bytes:
    return struct.pack("<IqI", sequence, ticks, len(parts)) + b"".join(parts)


def publish_response(
    parts: Sequence[bytes],
    sequence: int = 1,
    subscription: int = 7,
    available: Sequence[int] = (),
    more: bool = False,
    ticks: int = 0,
) -> bytes:
    """A whole PublishResponse, from the node id of its encoding on."""
    head = struct.pack("<BBH", 1, 0, 829) + RESPONSE_HEADER + struct.pack("<I", subscription)
    numbers = struct.pack("<i", len(available)) + b"".join(struct.pack("<I", n) for n in available)
    return head + numbers + bytes([more]) + message(sequence, parts, ticks) + struct.pack("<ii", -1, -1)


def republish_response(parts: Sequence[bytes], sequence: int) -> bytes:
    return struct.pack("<BBH", 1, 0, 835) + RESPONSE_HEADER + message(sequence, parts)
