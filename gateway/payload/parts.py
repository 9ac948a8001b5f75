"""How the rows of a batch become messages: by topic, in parts that fit, numbered.  Shared by all formats.

    Batch ─ Layout.shares ─► one share per topic ─ parts ─► rows and number of one message

Topics and streams.  Without `{tag}` in the template a topic has a stream of its own.  With it every tag has a topic,
and a counter per tag would have to be kept on disk for each: there the stream is the topic *without the levels that
hold `{tag}`* (`acme/hall-1/line-1` for `acme/hall-1/line-1/{tag}`), and its `seq` rises over the messages of all its
tags.  Who wants to see holes subscribes to `acme/hall-1/line-1/#`; what has no tag of its own (gaps, losses) is
published to the stream's topic itself.

Priorities.  A stream has one priority, because each has a lane of its own in the outbox.  Where it is not telemetry the
stream says so (`edge-1.k3x9q2.state/line-1/…`), so that state changes and telemetry may share a topic; events have a
topic of their own.

Size.  A message that would be longer than `max_bytes` is split by values, never by bytes, and its parts are numbered
like any others.  One value that is longer by itself goes alone: whether that fits is the broker's to say.  What a
broker announced as its largest packet counts from then on; what is longer and stored already becomes a dead letter.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import eq
from typing import TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.model import UNIX_EPOCH_TICKS, Batch, Gap, Message, Priority, Tag
from gateway.outbox.losses import Loss
from gateway.payload.instants import text_of
from gateway.topics import ANY_BROKER, Rules, expand, without_field

NextSeq = Callable[[str], int]
Row = dict[str, object]
Rows = NDArray[np.intp]
Scalar = TypeVar("Scalar", bound=np.generic)

MAX_VALUES = 1000
MAX_BYTES = 256 * 2**10
LEAST_BYTES = 64
"""No message is split to less than this because of a broker: a single value would not fit either."""
_HEADERS_BYTES = 400
"""More than the headers, the content type and the attributes of an event take, the stream's name in them aside."""
NO_ROWS: Rows = np.zeros(0, dtype=np.intp)


class Packets:
    """The largest packet that every broker takes, as far as the brokers have said by now."""

    def __init__(self) -> None:
        self._most_bytes: dict[str, int] = {}

    def learn(self, broker: str, most_bytes: int) -> bool:
        """What a broker announced, or what is configured for it; whether that is news."""
        is_news = self._most_bytes.get(broker) != most_bytes
        self._most_bytes[broker] = most_bytes
        return is_news

    def forget(self, broker: str) -> None:
        """It is not configured any more."""
        self._most_bytes.pop(broker, None)

    def room(self, place: "Place") -> int:
        """The longest payload that fits beside the topic, the headers and what a format says in properties."""
        most = min(self._most_bytes.values(), default=sys.maxsize)
        beside = len(place.topic.encode()) + 2 * len(place.stream.encode()) + _HEADERS_BYTES
        return max(LEAST_BYTES, most - beside)


@dataclass(frozen=True, slots=True)
class Limits:
    """How large one message may become."""

    max_values: int = MAX_VALUES
    max_bytes: int = MAX_BYTES
    packets: Packets = field(default_factory=Packets)

    def bytes_at(self, place: "Place") -> int:
        """The longest payload for a place."""
        return min(self.max_bytes, self.packets.room(place))


_IN_STREAM = {Priority.EVENT: ".event", Priority.STATE: ".state", Priority.TELEMETRY: ""}


def stream_of(prefix: str, source: str, topic: str, priority: Priority = Priority.TELEMETRY) -> str:
    """The name of the stream that counts the messages of a source on a topic."""
    return f"{prefix}{_IN_STREAM[priority]}/{source}/{topic}"


def priority_of(stream: str) -> Priority:
    """The priority of a stream with this name."""
    head = stream.partition("/")[0]
    return next((p for p, text in _IN_STREAM.items() if text and head.endswith(text)), Priority.TELEMETRY)


@dataclass(frozen=True, slots=True)
class Topics:
    """The two topic templates.  Without one of their own, events go to `events` below the topic of values."""

    values: str
    events: str = ""
    rules: Rules = ANY_BROKER

    @property
    def of_events(self) -> str:
        return self.events or f"{self.values}/events"


@dataclass(frozen=True, slots=True)
class Terms:
    """What every format is told of its source: how topics and streams are named, and what a message may hold."""

    stream_prefix: str
    topic: str
    """The template."""
    gateway: str
    limits: Limits = Limits()
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

    def _message(self, batch: Batch, share: "Share", part: "Part", content_type: str) -> Message:
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where messages go: one topic, and the stream that counts them."""

    topic: str
    stream: str
    priority: Priority = Priority.TELEMETRY


@dataclass(frozen=True, slots=True)
class Share:
    """What of a batch goes to one topic."""

    place: Place
    rows: Rows
    gaps: list[Row] = field(default_factory=list)
    group: int = -1
    """Which topic of the layout; -1 where gaps go to the topic of a stream that has one topic per tag."""


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


class Layout:
    """What follows from one tag table: names, topics, streams, and which tag belongs to which."""

    def __init__(self, tags: Sequence[Tag], source: str, topics: Topics, gateway: str, stream_prefix: str) -> None:
        self.tags = tags
        self.names = [tag.name for tag in tags]
        self.places: list[Place] = []
        """By group: a group is a topic, and on it one priority."""
        self.streams: list[Place] = []
        """By stream: its own topic."""
        self.is_per_tag = "{tag}" in topics.values or "{tag}" in topics.events
        above_tag = {template: without_field(template, "tag") for template in (topics.values, topics.of_events)}
        groups: dict[Place, int] = {}
        streams: dict[Place, int] = {}
        group_of, stream_numbers = [], []
        for tag in tags:
            template = topics.of_events if tag.priority is Priority.EVENT else topics.values
            fields = {"gateway": gateway, "source": source, "tag": tag.name, **tag.fields}
            above = expand(above_tag[template], fields, topics.rules)
            stream = Place(above, stream_of(stream_prefix, source, above, tag.priority), tag.priority)
            place = replace(stream, topic=expand(template, fields, topics.rules))
            for known, found in ((streams, stream), (groups, place)):
                known.setdefault(found, len(known))
            group_of.append(groups[place])
            stream_numbers.append(streams[stream])
        self.places, self.streams = list(groups), list(streams)
        self.group_of = np.array(group_of, dtype=np.int64)
        self._stream_of = np.array(stream_numbers, dtype=np.int64)
        self._stream_of_group = dict(zip(group_of, stream_numbers, strict=True))

    def covers(self, tags: Sequence[Tag]) -> bool:
        """Whether this is the layout of a tag table.  An equal one, as after a reconnection, is as good."""
        if tags is not self.tags and len(tags) == len(self.tags) and all(map(eq, tags, self.tags)):
            self.tags = tags
        return tags is self.tags

    def handles_of(self, group: int) -> NDArray[np.intp]:
        """The tags of one topic, in the order of the table."""
        return np.flatnonzero(self.group_of == group)

    def shares(self, batch: Batch) -> Iterator[Share]:
        """One share per topic that has values, then those with nothing but gaps; rows keep their order."""
        gaps = self._gaps_by_stream(batch)
        for group, rows in self._grouped(batch.handles):
            place, stream = self.places[group], self._stream_of_group[group]
            if self.is_per_tag and stream in gaps:
                yield Share(self.streams[stream], NO_ROWS, gaps.pop(stream))
            yield Share(place, rows, gaps.pop(stream, []), group)
        for stream in sorted(gaps):
            yield Share(self.streams[stream], NO_ROWS, gaps[stream], -1 if self.is_per_tag else stream)

    def _grouped(self, handles: NDArray[np.uint32]) -> Iterator[tuple[int, Rows]]:
        if not len(handles):
            return
        if len(self.places) == 1:
            yield 0, np.arange(len(handles))
            return
        group_of_row = self.group_of[handles]
        if (group_of_row == group_of_row[0]).all():
            yield int(group_of_row[0]), np.arange(len(handles))
            return
        order = np.argsort(group_of_row, kind="stable")
        bounds = np.flatnonzero(np.diff(group_of_row[order])) + 1
        for rows in np.split(order, bounds):
            yield int(group_of_row[rows[0]]), rows

    def _gaps_by_stream(self, batch: Batch) -> dict[int, list[Row]]:
        found: dict[int, list[Row]] = {}
        for gap in batch.gaps:
            concerned = np.unique(self._stream_of[list(gap.handles)]) if gap.handles else np.arange(len(self.streams))
            for stream in concerned.tolist():
                names = [self.names[h] for h in gap.handles if self._stream_of[h] == stream]
                found.setdefault(stream, []).append(gap_row(gap, names))
        return found


@dataclass(frozen=True, slots=True)
class Part:
    """One message of a share."""

    rows: Rows
    seq: int
    payload: bytes


Encode = Callable[[Rows, int, list[Row]], bytes]
"""Rows, sequence number and gaps of one message to its payload."""


def parts(share: Share, limits: Limits, numbering: Numbering, encode: Encode) -> Iterator[Part]:
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
        yield Part(rows, numbering.take(share.place.stream), payload)
        gaps = []


def _within(gaps: list[Row], max_bytes: int) -> list[Row]:
    """Gaps whose lists of names are left out where they would fill the message: then it may be any tag."""
    if not gaps or len(orjson.dumps(gaps)) <= max_bytes:
        return gaps
    return [{key: value for key, value in gap.items() if key != "names"} for gap in gaps]


def is_state(batch: Batch, share: Share, part: Part) -> bool:
    """Whether a message is what consumers should find on a retained topic: not an event, not the past, not empty."""
    return len(part.rows) > 0 and not batch.historical and share.place.priority is not Priority.EVENT


def oldest_ticks(batch: Batch, rows: Rows) -> int:
    """The earliest source timestamp that is given; 0 when none is."""
    return earliest(taken(batch.source_ticks, rows))


def taken(column: NDArray[Scalar], rows: Rows) -> NDArray[Scalar]:
    """Some rows of a column; the column itself where those are all: rows keep their order."""
    return column if len(rows) == len(column) else column[rows]


def earliest(ticks: NDArray[np.int64]) -> int:
    """The earliest of some timestamps that the server gave; 0 when it gave none."""
    if not len(ticks):
        return 0
    first = int(ticks[ticks.argmin()])  # a third of what `min` takes
    if first > 0:
        return first
    known = ticks[ticks > 0]
    return int(known.min()) if len(known) else 0


def gap_row(gap: Gap, names: Sequence[str]) -> Row:
    """What a message says of a gap; what is not known is left out."""
    return _known(
        {
            "cause": gap.cause,
            "detail": gap.detail,
            "from_time": text_of(gap.from_ticks) if gap.from_ticks else None,
            "to_time": text_of(gap.to_ticks) if gap.to_ticks else None,
            "count": gap.count,
            "names": list(names) or None,
        }
    )


def loss_row(loss: Loss) -> Row:
    """What a message says of messages that were lost after they were numbered."""
    return _known(
        {
            "cause": _LOSS_CAUSES[loss.cause],
            "detail": _LOSS_DETAILS[loss.cause],
            "from_time": text_of(loss.from_ns // 100 + UNIX_EPOCH_TICKS) if loss.from_ns else None,
            "to_time": text_of(loss.to_ns // 100 + UNIX_EPOCH_TICKS) if loss.to_ns else None,
            "count": loss.values,
            "from_seq": loss.from_seq or None,
            "to_seq": loss.to_seq or None,
        }
    )


def _known(row: Row) -> Row:
    return {key: value for key, value in row.items() if value is not None}


_LOSS_CAUSES = {"outbox_full": "policy_drop", "expired": "policy_drop", "corrupt": "corrupt"}
_LOSS_DETAILS = {
    "outbox_full": "the outbox was full: its oldest messages were dropped, as configured",
    "expired": "these messages had waited longer than configured",
    "corrupt": "the disk gave back something else than was written",
}
