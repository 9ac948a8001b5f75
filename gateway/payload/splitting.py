"""Messages that fit: the rows of a share in parts within the limits, numbered.  Shared by all formats.

A message that would be longer than `max_bytes` is split by values, never by bytes, and its parts are numbered like any
others.  One value that is longer by itself goes alone: whether that fits is the broker's to say.  The largest packet
that the brokers take comes with each batch; what is longer and stored already becomes a dead letter.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson

from gateway.model import Batch, Message, Priority, Tag
from gateway.payload.gaps import Row
from gateway.payload.layout import Destination, Layout, Rows, Share, Topics, earliest, taken
from gateway.topics import ANY_BROKER, Rules

NextSeq = Callable[[str], int]

MAX_VALUES = 1000

MAX_BYTES = 256 * 2**10

LEAST_BYTES = 64
"""No message is split to less than this because of a broker: a single value would not fit either."""

_HEADERS_BYTES = 400
"""More than the headers, the content type and the attributes of an event take, the stream's name in them aside."""


ANY_SIZE = sys.maxsize
"""No broker has said how large a packet it takes."""


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """How large one message may become."""

    max_values: int = MAX_VALUES
    max_bytes: int = MAX_BYTES
    packet_bytes: int = ANY_SIZE
    """The largest packet that all brokers take who get the message."""

    def bytes_at(self, place: "Destination") -> int:
        """The longest payload for a place, beside the topic, the headers and what a format says in properties."""
        beside = len(place.topic.encode()) + 2 * len(place.stream.encode()) + _HEADERS_BYTES
        return min(self.max_bytes, max(LEAST_BYTES, self.packet_bytes - beside))


@dataclass(frozen=True, slots=True)
class FormatSettings:
    """What every format is told of its source: how topics and streams are named, and what a message may hold."""

    stream_prefix: str
    topic: str
    """The template."""
    gateway: str
    limits: SizeLimits = SizeLimits()
    server_time: bool = False
    """Also send the server timestamps."""
    retain: bool = False
    """Ask the broker to keep the last message with values of each topic."""
    events_topic: str = ""
    """The template for events; empty for `events` below the other."""
    rules: Rules = ANY_BROKER
    """What the broker wants of topics."""
    fields: tuple[str, ...] = ()
    """Fields of the tags that are told beside the topic."""

    def within(self, packet_bytes: int) -> "FormatSettings":
        """The same for brokers that take packets of this size."""
        if packet_bytes == self.limits.packet_bytes:
            return self
        return replace(self, limits=replace(self.limits, packet_bytes=packet_bytes))

    def told_of(self, tag: Tag) -> dict[str, str]:
        """The fields of a tag that are told."""
        return {name: tag.fields[name] for name in self.fields if name in tag.fields}

    def layout(self, tags: Sequence[Tag] = (), source: str = "") -> "Layout":
        return Layout(tags, source, Topics(self.topic, self.events_topic, self.rules), self.gateway, self.stream_prefix)

    def messages(
        self, batch: Batch, share: "Share", numbering: "Numbering", encode: "Encode", content_type: str
    ) -> list[Message]:
        """A share in messages that fit, ready for the outbox."""
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
    """Sequence numbers for the messages of one batch, on from what the outbox would give next."""

    def __init__(self, next_seq: NextSeq) -> None:
        self._next_seq = next_seq
        self._taken: dict[str, int] = {}

    def next(self, stream: str) -> int:
        """What `take` would give."""
        return self._taken[stream] + 1 if stream in self._taken else self._next_seq(stream)

    def take(self, stream: str) -> int:
        seq = self._taken[stream] = self.next(stream)
        return seq


@dataclass(frozen=True, slots=True)
class MessagePart:
    """One message of a share."""

    rows: Rows
    seq: int
    payload: bytes


Encode = Callable[[Rows, int, list[Row]], bytes]
"""Rows, sequence number and gaps of one message to its payload."""


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
        rows = pending.pop()
        payload = encode(rows, numbering.next(share.place.stream), gaps)
        if len(payload) > max_bytes and len(rows) > 1:
            pieces = min(len(rows), len(payload) // max_bytes + 1)
            pending += reversed(np.array_split(rows, pieces))
            continue
        yield MessagePart(rows, numbering.take(share.place.stream), payload)
        gaps = []


def _within(gaps: list[Row], max_bytes: int) -> list[Row]:
    """Gaps whose lists of names are left out where they would fill the message: then it may be any tag."""
    if not gaps or len(orjson.dumps(gaps)) <= max_bytes:
        return gaps
    return [{key: value for key, value in gap.items() if key != "names"} for gap in gaps]


def is_state(batch: Batch, share: Share, part: MessagePart) -> bool:
    """Whether a message is what consumers should find on a retained topic: not an event, not the past, not empty."""
    return len(part.rows) > 0 and not batch.historical and share.place.priority is not Priority.EVENT


def oldest_ticks(batch: Batch, rows: Rows) -> int:
    """The earliest source timestamp that is given; 0 when none is."""
    return earliest(taken(batch.source_ticks, rows))
