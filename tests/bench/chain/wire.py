"""The few OPC UA binary structures the load server reads and writes by hand (Part 6, 5.2).

`Reader` walks through a request; the functions below make the parts of a PublishResponse.  What is not needed for
load (the secure channel, sessions, Browse, Read) is asyncua's.
"""

import struct
import time

import numpy as np
from numpy.typing import NDArray

UNIX_EPOCH_TICKS = 116_444_736_000_000_000
"""1970 as OPC UA counts time: 100 ns since 1601."""
ROW = np.dtype([
    ("handle", "<u4"), ("mask", "u1"), ("type", "u1"), ("value", "<f8"), ("source", "<i8"), ("server", "<i8"),
])  # fmt: skip
"""A MonitoredItemNotification with a Double and both timestamps, status Good, byte for byte."""
ONE_ROW = struct.Struct("<IBBdqq")
MASK, DOUBLE = 0x0D, 11
"""Value, source timestamp and server timestamp are there; the value is a Double."""
NO_DIAGNOSTICS = b"\xff\xff\xff\xff"
_U32, _I32 = struct.Struct("<I"), struct.Struct("<i")
_RESPONSE_HEADER = struct.Struct("<qIIBi3s")
_MESSAGE = struct.Struct("<Iqi5si")
_NO_DATA = struct.Struct("<Iqi")
_CHUNK = struct.Struct("<4sIIIII")
_DATA_CHANGE = b"\x01\x00\x2b\x03\x01"
"""Type id and encoding of a DataChangeNotification (i=811, binary)."""


class Status:
    """The status codes the server answers with (Part 4, annex A)."""

    SUBSCRIPTION_ID_INVALID = 0x80280000
    NODE_ID_UNKNOWN = 0x80340000
    ATTRIBUTE_ID_INVALID = 0x80350000
    MONITORED_ITEM_ID_INVALID = 0x80420000
    CONTINUATION_POINT_INVALID = 0x804A0000
    TOO_MANY_PUBLISH_REQUESTS = 0x80780000
    NO_SUBSCRIPTION = 0x80790000
    SEQUENCE_NUMBER_UNKNOWN = 0x807A0000
    MESSAGE_NOT_AVAILABLE = 0x807B0000


class Reader:
    """A place in a request, moved on by what is read."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, layout: str) -> tuple[int | float, ...]:
        fields = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return fields

    def u32(self) -> int:
        self.at += 4
        return int(_U32.unpack_from(self.data, self.at - 4)[0])

    def count(self) -> int:
        """The length of an array; a null array has none."""
        self.at += 4
        return max(0, int(_I32.unpack_from(self.data, self.at - 4)[0]))

    def skip_text(self) -> None:
        """A String or ByteString."""
        length = self.count()  # which moves on by itself
        self.at += length

    def node_id(self) -> bytes:
        """A NodeId or ExpandedNodeId, as its bytes."""
        began, flags = self.at, self.data[self.at]
        kind = flags & 0x3F
        self.at += {0: 2, 1: 4, 2: 7, 3: 3, 4: 19, 5: 3}[kind]
        if kind in (3, 5):
            self.skip_text()
        if flags & 0x80:
            self.skip_text()
        if flags & 0x40:
            self.at += 4
        return self.data[began : self.at]

    def skip_extension_head(self) -> int:
        """Type id, encoding and length of an ExtensionObject; gives the length of its body."""
        self.node_id()
        self.at += 1
        return self.count() if self.data[self.at - 1] else 0

    def skip_extension(self) -> None:
        length = self.skip_extension_head()
        self.at += length

    def request_header(self) -> int:
        """Gives the request handle (Part 4, 7.33)."""
        self.node_id()
        handle = int(_U32.unpack_from(self.data, self.at + 8)[0])
        self.at += 16
        self.skip_text()
        self.at += 4
        self.skip_extension()
        return handle


def string_node_id(name: str, namespace: int) -> bytes:
    """The NodeId `ns=…;s=…` as clients write it."""
    raw = name.encode()
    return struct.pack("<BHi", 3, namespace, len(raw)) + raw


def now_ticks() -> int:
    return time.time_ns() // 100 + UNIX_EPOCH_TICKS


def type_id(number: int) -> bytes:
    """The NodeId in front of a request or response."""
    return struct.pack("<BBH", 1, 0, number)


def response(number: int, handle: int, status: int = 0) -> bytes:
    """Type id and ResponseHeader (Part 4, 7.34)."""
    return type_id(number) + _RESPONSE_HEADER.pack(now_ticks(), handle, status, 0, -1, b"\0\0\0")


def fault(handle: int, status: int) -> bytes:
    return response(397, handle, status)


def codes(statuses: list[int]) -> bytes:
    """An array of status codes and no diagnostics, which is how most responses end."""
    return struct.pack(f"<i{len(statuses)}I", len(statuses), *statuses) + NO_DIAGNOSTICS


def data_change(rows: bytes, count: int) -> bytes:
    """The body of a DataChangeNotification (Part 4, 7.25.2)."""
    return b"".join((_I32.pack(count), rows, NO_DIAGNOSTICS))


def notification(sequence_number: int, body: bytes) -> bytes:
    """A NotificationMessage with one DataChangeNotification."""
    return _MESSAGE.pack(sequence_number, now_ticks(), 1, _DATA_CHANGE, len(body)) + body


def keep_alive(sequence_number: int) -> bytes:
    """A NotificationMessage without data; the number is that of the next one with data (Part 4, 7.26)."""
    return _NO_DATA.pack(sequence_number, now_ticks(), 0)


def chunks(body: bytes, most: int, channel: int, token: int, request_id: int, sequence_number: int) -> list[bytes]:
    """A message as chunks without security (Part 6, 6.7.2); `sequence_number` is the last one that was used."""
    parts = []
    for start in range(0, len(body), most):
        part, last = body[start : start + most], start + most >= len(body)
        sequence_number += 1
        kind = b"MSGF" if last else b"MSGC"
        parts += [_CHUNK.pack(kind, len(part) + 24, channel, token, sequence_number, request_id), part]
    return parts


def blank_rows(handles: NDArray[np.uint32], least: int) -> NDArray[np.void]:
    """Rows of all items, over and over, so that any `least` following ones are there in one piece."""
    rows = np.zeros(len(handles) * (1 + -(-least // len(handles))), ROW)
    rows["handle"] = np.resize(handles, len(rows))
    rows["mask"], rows["type"] = MASK, DOUBLE
    return rows
