"""Reading values (Part 4, 5.10.2), encoded and decoded by hand: a value that is read looks as one that was sent.

The library decodes with types that are global to the process, and loses its place behind an ExtensionObject with an
XML body.  Here a value that cannot be decoded costs itself.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from gateway.opcua.codec.columns import read_item
from gateway.opcua.codec.value import BAD_DECODING_ERROR
from gateway.opcua.codec.wire import Malformed, Reader

READ = 631
"""Node id of the binary encoding of the request (Part 6, A.3)."""
_HEAD = struct.pack("<di", 0.0, 2)
"""As new as the server has it, with both timestamps."""
VALUE = 13
"""The attribute (Part 6, A.1)."""
_WHOLE = struct.pack("<iHi", -1, 0, -1)
"""No index range, the default encoding."""
_TAILS = tuple(struct.pack("<I", attribute) + _WHOLE for attribute in range(28))
"""By attribute."""


class ReadValue(NamedTuple):
    """What a server says of one attribute of a node."""

    type: int
    """As in `Batch.types`."""
    value: object
    status: int
    source_ticks: int = 0
    server_ticks: int = 0
    problem: str = ""

    @property
    def good(self) -> object:
        """The value; None where its status is not Good."""
        return self.value if not self.status >> 30 else None


def read_request(nodes: Sequence[ua.NodeId], attribute: int = VALUE) -> bytes:
    """The body of a ReadRequest for an attribute of each node."""
    return request_of([(node, attribute) for node in nodes])


def request_of(wanted: Sequence[tuple[ua.NodeId, int]]) -> bytes:
    """The body of a ReadRequest for these attributes of nodes."""
    parts = [part for node, attribute in wanted for part in (nodeid_to_binary(node), _TAILS[attribute])]
    return b"".join((_HEAD, struct.pack("<i", len(wanted)), *parts))


def read_answer(r: Reader, count: int) -> list[ReadValue]:
    """The results of a ReadResponse, behind its header, up to the first whose end cannot be found; that is the last.

    Raises `Malformed` where it has another number of results.
    """
    found: list[ReadValue] = []
    if r.fit(max(0, r.i32()), 1) != count:
        raise Malformed("another number of results than of variables")
    try:
        for _ in range(count):
            found.append(ReadValue(*read_item(r)))
    except Malformed as error:
        found.append(ReadValue(0, None, BAD_DECODING_ERROR, problem=str(error) or "malformed"))
    return found
