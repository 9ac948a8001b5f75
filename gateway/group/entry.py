"""What the log holds: one record for each append of a source, and what brokers have acknowledged.

A record says in its header who wrote it, and in its body what was appended.  Small bodies travel as they are, larger
ones compressed: values as text shrink to a fraction, and every server of the cluster writes them to its disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec
import zstandard

from gateway.errors import Unavailable
from gateway.group.claim import Mark
from gateway.model import Message

HEADER = "CF-Writer"
FORMAT, FORMAT_HEADER = 1, "CF-Format"
"""The form of records that this version writes, and reads with all before it.  The first has no header."""
_COMPRESS_FROM = 1024
_ENCODER = msgspec.msgpack.Encoder()


class Kind(Enum):
    CLAIM = "claim"
    VALUES = "values"
    STATE = "state"
    """The counters of a source's streams, so that the records before it may go."""
    CURSOR = "cursor"
    RELEASE = "release"


class Entry(msgspec.Struct, array_like=True, omit_defaults=True):
    """The body of a record."""

    messages: dict[str, list[Message]] = {}
    """By route."""
    checkpoint: bytes = b""
    seqs: dict[str, int] = {}
    """The last number of streams, in a STATE."""
    appended_ns: int = 0
    cursor: int = 0
    """Of a broker: everything in the log up to here has its verdict."""
    commands: list[bytes] = []
    """Records of the journal of commands, each as JSON."""
    kept: dict[str, list[Message]] = {}
    """By route, in a STATE: what later records refer to, in the form of records.  Nobody delivers it."""
    number: int = 0
    """Of a broker, whose format counts its connections: how many there were."""
    ahead: list[tuple[int, int]] = []
    """Of a broker: what has its verdict above the cursor: behind the first position, up to the second."""


_DECODER = msgspec.msgpack.Decoder(Entry)


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as the log gives it back."""

    subject: str
    mark: Mark
    kind: Kind
    body: bytes

    @property
    def entry(self) -> Entry:
        return decode(self.body)


def encode(entry: Entry) -> bytes:
    data = _ENCODER.encode(entry)
    if len(data) < _COMPRESS_FROM:
        return b"\0" + data
    return b"\1" + zstandard.ZstdCompressor(level=1).compress(data)


def decode(body: bytes) -> Entry:
    """Raises `Unavailable` for what a newer member wrote."""
    if not body:
        return Entry()
    try:
        data = zstandard.ZstdDecompressor().decompress(body[1:]) if body[0] else body[1:]
        return _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, zstandard.ZstdError) as error:
        raise Unavailable(f"a record of the log is not understood: {error}: is a member newer?") from error


def headers_of(mark: Mark, kind: Kind) -> dict[str, str]:
    """Who writes, and in which form."""
    form = {FORMAT_HEADER: str(FORMAT)} if FORMAT > 1 else {}
    return {HEADER: f"{mark.epoch} {mark.number} {mark.writer} {kind.value}", **form}


def stored_from(subject: str, seq: int, headers: Mapping[str, str], body: bytes) -> Stored:
    """Raises `Unavailable` for a record that no member of a group wrote, or a member of a later version."""
    written = headers.get(FORMAT_HEADER, "1")
    if not written.isdigit() or int(written) > FORMAT:
        raise Unavailable(f"record {seq} of the log has the form {written}, of a later version: update this member")
    try:
        epoch, number, writer, kind = headers[HEADER].split(" ")
        found = Kind(kind)
        mark = Mark(seq, int(epoch), int(number), writer, found is Kind.RELEASE)
    except (KeyError, ValueError) as error:
        raise Unavailable(f"record {seq} of the log was not written by a member of the group") from error
    return Stored(subject, mark, found, body)
