"""One record of a segment: how to write, check and read it, and how to find the next one behind damage.

Little-endian, no padding:

    magic 4s | crc u32 | length u32 | kind u8 | lane u8 | flags u8 | 0 u8 | number u64 | values_before u64 | seq u64
    | values u32 | appended i64 | clock i64 | oldest_ticks i64 | lengths of stream, topic, source, content type u16 x 4
    | length of properties u32 | stream | topic | source | content type | properties | payload

`crc` is CRC-32 over everything behind it, seeded with the segment's salt, so that a record inside the payload of
another is never taken for a real one.  `length` counts the whole record.  `number` is the position in the lane.
`values_before` is the sum of `values` of all earlier records of the lane, so that a hole shows how much is missing.  A
checkpoint has `source`, and its token as payload; `seq` is its position among all checkpoints, `number` that of the
next message.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

import orjson
from msgspec import Struct

from gateway.model import Message, Priority

MAGIC = b"\xf0Rc1"
HEAD = struct.Struct("<4sIIBBBxQQQIqqqHHHHI")
MESSAGE, CHECKPOINT = 1, 2
RETAIN, LAST, DEFLATED = 1, 2, 4
"""Flags.  `LAST` ends an append.  Records of an append without it are rolled back at recovery."""
MAX_RECORD_BYTES = 2**28 + 2**18
"""More than the largest MQTT packet.  A larger length field is damage."""
_CRC_END = 8
_ARRANGEMENTS = 4096
_PRIORITY_OF_LANE = tuple(Priority) * 86


class Entry(NamedTuple):
    """The head of a record, in the order of the format."""

    magic: bytes
    crc: int
    length: int
    kind: int
    lane: int
    flags: int
    number: int
    values_before: int
    seq: int
    values: int
    appended_ns: int
    clock_ns: int
    oldest_ticks: int
    stream_bytes: int
    topic_bytes: int
    source_bytes: int
    type_bytes: int
    properties_bytes: int


class Stamp(Struct, frozen=True):
    """The position of a record in its lane, and its time."""

    lane: int
    number: int
    values_before: int
    appended_ns: int
    clock_ns: int


def most_bytes(message: Message) -> int:
    """The largest size of its record: UTF-8 has up to four bytes per character, a JSON text six."""
    names = len(message.stream) + len(message.topic) + len(message.source) + len(message.content_type)
    properties = sum(6 * (len(key) + len(value)) + 8 for key, value in message.properties) if message.properties else 0
    return HEAD.size + 4 * names + properties + len(message.payload)


def most_bytes_of_checkpoint(source: str, token: bytes) -> int:
    return HEAD.size + 4 * len(source) + len(token)


class Encoder:
    """Writes records.  Caches the encoded names of recent streams, which repeat in every message."""

    def __init__(self, deflate: bool = False) -> None:
        self._deflate = deflate
        self._known: dict[tuple[object, ...], tuple[bytes, tuple[int, int, int, int, int]]] = {}

    def message(self, message: Message, stamp: Stamp, salt: int, last: bool) -> tuple[bytes, bytes]:
        names, lengths = self._names(message)
        flags = (RETAIN if message.retain else 0) | (LAST if last else 0)
        payload = message.payload
        if self._deflate:
            packed = zlib.compress(payload, 1)
            if len(packed) < len(payload):
                payload, flags = packed, flags | DEFLATED
        return _sealed(
            (MESSAGE, stamp, flags, message.seq, message.values, message.oldest_ticks), lengths, names, payload, salt
        )

    def checkpoint(self, source: str, token: bytes, order: int, stamp: Stamp, salt: int) -> tuple[bytes, bytes]:
        name = source.encode()
        return _sealed((CHECKPOINT, stamp, LAST, order, 0, 0), (0, 0, len(name), 0, 0), name, token, salt)

    def _names(self, message: Message) -> tuple[bytes, tuple[int, int, int, int, int]]:
        key = (message.stream, message.topic, message.source, message.content_type, message.properties)
        found = self._known.get(key)
        if found is None:
            properties = orjson.dumps(message.properties) if message.properties else b""
            parts = (*(str(name).encode() for name in key[:4]), properties)
            a, b, c, d, e = (len(part) for part in parts)
            if len(self._known) >= _ARRANGEMENTS:
                self._known.clear()
            found = self._known[key] = (b"".join(parts), (a, b, c, d, e))
        return found


def _sealed(
    fields: tuple[int, Stamp, int, int, int, int],
    lengths: tuple[int, int, int, int, int],
    names: bytes,
    payload: bytes,
    salt: int,
) -> tuple[bytes, bytes]:
    kind, stamp, flags, seq, values, oldest = fields
    length = HEAD.size + len(names) + len(payload)
    head = HEAD.pack(
        MAGIC, 0, length, kind, stamp.lane, flags, stamp.number, stamp.values_before, seq, values,
        stamp.appended_ns, stamp.clock_ns, oldest, *lengths,
    )  # fmt: skip
    crc = zlib.crc32(payload, zlib.crc32(names, zlib.crc32(memoryview(head)[_CRC_END:], salt)))
    return b"".join((MAGIC, crc.to_bytes(4, "little"), head[_CRC_END:], names)), payload


def length_at(data: bytes, at: int) -> int | None:
    """The length that the record at this offset states.  None: there is no record head."""
    if len(data) - at < HEAD.size or data[at : at + 4] != MAGIC:
        return None
    length = int.from_bytes(data[at + 8 : at + 12], "little")
    return length if HEAD.size <= length <= MAX_RECORD_BYTES else None


def entry_at(data: bytes, at: int, salt: int) -> Entry | None:
    """The record at this offset.  None: there is none, it is incomplete, or it is damaged."""
    if len(data) - at < HEAD.size:
        return None
    entry = Entry._make(HEAD.unpack_from(data, at))
    if entry.magic != MAGIC or not HEAD.size <= entry.length <= len(data) - at:
        return None
    crc = zlib.crc32(memoryview(data)[at + _CRC_END : at + entry.length], salt)
    return entry if crc == entry.crc else None


def next_entry(data: bytes, at: int, salt: int) -> tuple[int, Entry] | None:
    """The first intact record at or behind this offset, and where it begins."""
    while (at := data.find(MAGIC, at)) >= 0:
        entry = entry_at(data, at, salt)
        if entry is not None:
            return at, entry
        at += 1
    return None


def entries(data: bytes, at: int, salt: int) -> Iterator[tuple[int, Entry]]:
    """Every intact record from this offset on.  A gap between two offsets shows damage."""
    while (found := next_entry(data, at, salt)) is not None:
        yield found
        at = found[0] + found[1].length


class Decoder:
    """Reads messages.  Caches the decoded names of recent streams, which repeat.  For one thread."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, tuple[int, ...]], tuple[str, str, str, str, tuple[tuple[str, str], ...]]] = {}

    def message(self, data: bytes, at: int, entry: Entry) -> Message:
        """The message in an intact record."""
        lengths = entry[13:]
        start = at + HEAD.size
        end = start + sum(lengths)
        key = (data[start:end], lengths)
        names = self._known.get(key)
        if names is None:
            if len(self._known) >= _ARRANGEMENTS:
                self._known.clear()
            names = self._known[key] = _names_in(*key)
        payload = data[end : at + entry.length]
        if entry.flags & DEFLATED:
            payload = zlib.decompress(payload)
        stream, topic, source, content_type, properties = names
        return Message(
            topic, payload, stream, entry.seq, entry.values, source, entry.oldest_ticks, _PRIORITY_OF_LANE[entry.lane],
            content_type, bool(entry.flags & RETAIN), properties,
        )  # fmt: skip


def _names_in(text: bytes, lengths: tuple[int, ...]) -> tuple[str, str, str, str, tuple[tuple[str, str], ...]]:
    ends = list(accumulate(lengths, initial=0))
    stream, topic, source, content_type, properties = (text[start:end] for start, end in pairwise(ends))
    pairs = tuple((str(key), str(value)) for key, value in orjson.loads(properties)) if properties else ()
    return stream.decode(), topic.decode(), source.decode(), content_type.decode(), pairs


def checkpoint_of(data: bytes, at: int, entry: Entry) -> tuple[str, bytes]:
    """Source and token of an intact checkpoint."""
    start = at + HEAD.size
    return data[start : start + entry.source_bytes].decode(), data[start + entry.source_bytes : at + entry.length]


def stream_of(data: bytes, at: int, entry: Entry) -> str:
    """The stream of an intact message record, without decoding the rest."""
    return data[at + HEAD.size : at + HEAD.size + entry.stream_bytes].decode()
