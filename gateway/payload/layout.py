"""The topic and stream of each tag, and the division of a batch among them.  Shared by all formats.

    Batch ─ Layout.shares ─► one share per topic ─ splitting.parts ─► rows and number of one message

Topics and streams.  Without `{tag}` in the template each topic has a stream of its own.  With it every tag has a topic,
and the disk would have to hold a counter per tag.  So there the stream is the topic *without the levels that contain
`{tag}`* (`acme/hall-1/line-1` for `acme/hall-1/line-1/{tag}`), and its `seq` counts the messages of all its tags.  To
see gaps, subscribe to `acme/hall-1/line-1/#`.  Messages without a tag (gaps, losses) go to the stream's topic itself.

Priorities.  A stream has one priority, because each priority has its own lane in the outbox.  Unless that is telemetry,
the stream's name says so (`edge-1.k3x9q2.state/line-1/…`), so state changes and telemetry may share a topic.  Events
have a topic of their own.

Routes.  A stream belongs to one route.  Where a broker has its own payload, the stream names the route
(`edge-1.k3x9q2@cloud/line-1/…`, `edge-1.k3x9q2.state@cloud/…`), since two routes may use the same topic.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import eq
from typing import TypeVar

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from gateway.model import Batch, Priority, Tag
from gateway.payload.gaps import Row, gap_row
from gateway.topics import ANY_BROKER, Rules, expand, without_field

Rows = NDArray[np.intp]

Scalar = TypeVar("Scalar", bound=np.generic)

NO_ROWS: Rows = np.zeros(0, dtype=np.intp)

_IN_STREAM = {Priority.EVENT: ".event", Priority.STATE: ".state", Priority.TELEMETRY: ""}


def prefix_of(gateway: str, route: str) -> str:
    """The prefix of a route's stream names, given the prefix of the gateway."""
    return f"{gateway}@{route}" if route else gateway


def stream_of(prefix: str, source: str, topic: str, priority: Priority = Priority.TELEMETRY) -> str:
    """The name of the stream that counts the messages of a source on a topic."""
    gateway, at, route = prefix.partition("@")
    return f"{gateway}{_IN_STREAM[priority]}{at}{route}/{source}/{topic}"


def route_of(stream: str) -> str:
    """The route of a stream with this name."""
    return stream.partition("/")[0].partition("@")[2]


def topic_of(stream: str) -> str:
    """The topic of a stream with this name."""
    return stream.split("/", 2)[-1]


def priority_of(stream: str) -> Priority:
    """The priority of a stream with this name."""
    head = stream.partition("/")[0].partition("@")[0]
    return next((p for p, text in _IN_STREAM.items() if text and head.endswith(text)), Priority.TELEMETRY)


@dataclass(frozen=True, slots=True)
class Topics:
    """The two topic templates.  Without a template of their own, events go to `events` below the topic of values."""

    values: str
    events: str = ""
    rules: Rules = ANY_BROKER

    @property
    def of_events(self) -> str:
        return self.events or f"{self.values}/events"


@dataclass(frozen=True, slots=True)
class Destination:
    """A topic, and the stream that counts its messages."""

    topic: str
    stream: str
    priority: Priority = Priority.TELEMETRY


class Share(Struct, frozen=True):
    """The part of a batch for one topic."""

    place: Destination
    rows: Rows
    gaps: list[Row] = field(default_factory=list)
    group: int = -1
    """The topic's group; -1 for gaps on the topic of a stream with one topic per tag."""


class Layout:
    """What follows from a tag table: names, topics, streams, and the tags of each."""

    def __init__(self, tags: Sequence[Tag], source: str, topics: Topics, gateway: str, stream_prefix: str) -> None:
        self.tags = tags
        self.names = [tag.name for tag in tags]
        self.places: list[Destination] = []
        """By group.  A group is a topic and a priority."""
        self.streams: list[Destination] = []
        """By stream: its own topic."""
        self.is_per_tag = "{tag}" in topics.values or "{tag}" in topics.events
        above_tag = {template: without_field(template, "tag") for template in (topics.values, topics.of_events)}
        groups: dict[Destination, int] = {}
        streams: dict[Destination, int] = {}
        group_of, stream_numbers = [], []
        shared: dict[tuple[int, Priority], tuple[str, Destination, int, int | None]] = {}
        for tag in tags:
            alike = (id(tag.fields), tag.priority)  # tags of a machine share their fields
            if alike not in shared:
                template = topics.of_events if tag.priority is Priority.EVENT else topics.values
                fields = {"gateway": gateway, "source": source, "tag": tag.name, **tag.fields}
                above = expand(above_tag[template], fields, topics.rules)
                stream = Destination(above, stream_of(stream_prefix, source, above, tag.priority), tag.priority)
                number = streams.setdefault(stream, len(streams))
                group = groups.setdefault(stream, len(groups)) if template == above_tag[template] else None
                shared[alike] = template, stream, number, group
            template, stream, number, group = shared[alike]
            if group is None:  # each tag has a topic of its own
                fields = {"gateway": gateway, "source": source, "tag": tag.name, **tag.fields}
                place = Destination(expand(template, fields, topics.rules), stream.stream, stream.priority)
                group = groups.setdefault(place, len(groups))
            group_of.append(group)
            stream_numbers.append(number)
        self.places, self.streams = list(groups), list(streams)
        self.group_of = np.array(group_of, dtype=np.int64)
        self._stream_of = np.array(stream_numbers, dtype=np.int64)
        self._stream_of_group = dict(zip(group_of, stream_numbers, strict=True))

    def covers(self, tags: Sequence[Tag]) -> bool:
        """Whether this is the layout of a tag table.  An equal table, as after a reconnection, will do."""
        if tags is not self.tags and len(tags) == len(self.tags) and all(map(eq, tags, self.tags)):
            self.tags = tags
        return tags is self.tags

    def handles_of(self, group: int) -> NDArray[np.intp]:
        """The tags of one topic, in the order of the table."""
        return np.flatnonzero(self.group_of == group)

    def shares(self, batch: Batch) -> Iterator[Share]:
        """One share per topic with values, then those with gaps only.  Rows keep their order."""
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


def taken(column: NDArray[Scalar], rows: Rows) -> NDArray[Scalar]:
    """Some rows of a column.  The column itself if these are all, since rows keep their order."""
    return column if len(rows) == len(column) else column[rows]


def earliest(ticks: NDArray[np.int64]) -> int:
    """The earliest timestamp given; 0: none."""
    if not len(ticks):
        return 0
    first = int(ticks[ticks.argmin()])  # takes a third of the time of `min`
    if first > 0:
        return first
    known = ticks[ticks > 0]
    return int(known.min()) if len(known) else 0
