"""Splits the rows of a share into numbered messages within the limits.  Shared by all formats.

A message longer than `max_bytes` is split by values, never by bytes, and its parts are numbered like all messages.  A
single value that is too long goes alone; the broker decides about it.  Each batch comes with the largest packet that
the brokers accept.  Longer messages that are already stored become dead letters.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import orjson
from msgspec import Struct

from gateway.model import Batch, Message, Priority, Tag
from gateway.payload.gaps import Row
from gateway.payload.layout import Destination, Layout, Rows, Share, Topics, earliest, taken
from gateway.topics import ANY_BROKER, Rules

UNIT = "unit"
"""The field that every variable with an engineering unit has."""
NextSeq = Callable[[str], int]

MAX_VALUES = 1000

MAX_BYTES = 256 * 2**10

LEAST_BYTES = 64
"""The smallest limit that a broker's announcement can set.  Below it a single value would not fit either."""

_HEADERS_BYTES = 400
"""More than the size of the headers, content type and event attributes, except for the stream's name in them."""


ANY_SIZE = sys.maxsize
"""No broker has announced a limit."""


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """The size limits of a message."""

    max_values: int = MAX_VALUES
    max_bytes: int = MAX_BYTES
    packet_bytes: int = ANY_SIZE
    """The largest packet that all brokers of the message accept."""

    def bytes_at(self, place: "Destination") -> int:
        """The longest payload that fits beside the topic, the headers and the format's properties."""
        room = self.packet_bytes - _bytes_beside(place.topic, place.stream)
        return self.max_bytes if room >= self.max_bytes else max(LEAST_BYTES, room)


@lru_cache(4096)
def _bytes_beside(topic: str, stream: str) -> int:
    """What a packet has beside the payload, at most."""
    return len(topic.encode()) + 2 * len(stream.encode()) + _HEADERS_BYTES


@dataclass(frozen=True, slots=True)
class FormatSettings:
    """Settings of an encoder: names of topics and streams, and the content of messages."""

    stream_prefix: str
    topic: str
    """The topic template."""
    gateway: str
    limits: SizeLimits = SizeLimits()
    server_time: bool = False
    """Whether to send server timestamps too."""
    retain: bool = False
    """Whether the broker should retain the last message with values of each topic."""
    events_topic: str = ""
    """The template for events; empty: `events` below the other one."""
    rules: Rules = ANY_BROKER
    """The broker's rules for topics."""
    fields: tuple[str, ...] = ()
    """The fields of tags that messages contain."""

    def within(self, packet_bytes: int) -> "FormatSettings":
        """The same settings for brokers with this packet limit."""
        if packet_bytes == self.limits.packet_bytes:
            return self
        return replace(self, limits=replace(self.limits, packet_bytes=packet_bytes))

    def told_of(self, tag: Tag) -> dict[str, str]:
        """The fields of a tag that messages contain."""
        told = {name: tag.fields[name] for name in self.fields if name in tag.fields}
        if UNIT in self.fields and UNIT not in told and tag.unit:
            told[UNIT] = tag.unit
        return told

    def layout(self, tags: Sequence[Tag] = (), source: str = "") -> "Layout":
        return Layout(tags, source, Topics(self.topic, self.events_topic, self.rules), self.gateway, self.stream_prefix)

    def messages(
        self, batch: Batch, share: "Share", numbering: "Numbering", encode: "Encode", content_type: str
    ) -> list[Message]:
        """The messages of a share, ready for the outbox."""
        return [
            self._message(batch, share, part, content_type) for part in parts(share, self.limits, numbering, encode)
        ]

    def _message(self, batch: Batch, share: "Share", part: "MessagePart", content_type: str) -> Message:
        return Message(
            topic=share.place.topic,
            payload=part.payload,
            stream=share.place.stream,
            seq=part.seq,
            values=len(part.rows),
            source=batch.source,
            oldest_ticks=oldest_ticks(batch, part.rows),
            priority=share.place.priority,
            content_type=content_type,
            retain=self.retain and is_state(batch, share, part),
        )


class Numbering:
    """Sequence numbers for the messages of one batch, continuing from the outbox's counters."""

    def __init__(self, next_seq: NextSeq) -> None:
        self._next_seq = next_seq
        self._taken: dict[str, int] = {}

    def next(self, stream: str) -> int:
        """The number that `take` would return."""
        return self._taken[stream] + 1 if stream in self._taken else self._next_seq(stream)

    def take(self, stream: str) -> int:
        seq = self._taken[stream] = self.next(stream)
        return seq

    def took(self, stream: str, seq: int) -> None:
        """Take the number that `next` returned just before."""
        self._taken[stream] = seq


class MessagePart(Struct, frozen=True):
    """One message of a share."""

    rows: Rows
    seq: int
    payload: bytes


Encode = Callable[[Rows, int, list[Row]], bytes]
"""From rows, sequence number and gaps of a message to its payload."""


def parts(share: Share, limits: SizeLimits, numbering: Numbering, encode: Encode) -> Iterator[MessagePart]:
    """The messages of a share: at most `max_values` each, and at most `max_bytes` unless it is a single value.

    The first one carries the gaps.
    """
    max_bytes = limits.bytes_at(share.place)
    gaps = _within(share.gaps, max_bytes // 2)
    pending = [share.rows]
    if len(share.rows) > limits.max_values:
        starts = range(0, len(share.rows), limits.max_values)
        pending = [share.rows[start : start + limits.max_values] for start in reversed(starts)]
    while pending:
        rows, seq = pending.pop(), numbering.next(share.place.stream)
        payload = encode(rows, seq, gaps)
        if len(payload) > max_bytes and len(rows) > 1:
            pieces = min(len(rows), len(payload) // max_bytes + 1)
            pending += reversed(np.array_split(rows, pieces))
            continue
        numbering.took(share.place.stream, seq)
        yield MessagePart(rows, seq, payload)
        gaps = []


def _within(gaps: list[Row], max_bytes: int) -> list[Row]:
    """Gaps without their tag names where these would fill the message.  Without names, any tag may be affected."""
    if not gaps or len(orjson.dumps(gaps)) <= max_bytes:
        return gaps
    return [{key: value for key, value in gap.items() if key != "names"} for gap in gaps]


def is_state(batch: Batch, share: Share, part: MessagePart) -> bool:
    """Whether a message belongs on a retained topic: not an event, not historical, not empty."""
    return len(part.rows) > 0 and not batch.historical and share.place.priority is not Priority.EVENT


def oldest_ticks(batch: Batch, rows: Rows) -> int:
    """The earliest source timestamp; 0: none."""
    return earliest(taken(batch.source_ticks, rows))
