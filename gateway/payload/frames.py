"""DataSets of a change-driven gateway: key frames, delta frames, keep-alives, metadata.

Every topic of the template is a DataSetWriter, and every tag is a field.  A message is one DataSetMessage, so `seq` and
SequenceNumber are the same count.  A payload holds a field once, so a tag that changes twice in a batch makes a second
message.

- A delta frame has the fields that changed.
- A key frame has all fields, the unchanged ones with their last value.  One is sent as soon as every field is known,
  and again after every `key_frame_every` messages (0: never).  If it would exceed `max_bytes`, a delta frame is sent
  instead.  Repeated values do not count as values.
- A keep-alive has no payload and a stream of its own (`…/keepalive`).  It names the next sequence number (Part 14,
  7.2.3).
- Metadata precedes the first frame that needs it.  It comes again with a new version when more is known of a field's
  type, and with the same version after every 256 messages and when the outbox refused it.  Versions are seconds since
  2000 (VersionTime, Part 4, 7.43) by a clock that never goes back, so they also rise across restarts.

Everything is a function of the batches and of the clock, which is an argument.  The form of frames on the wire is an
`Envelope`: `opcua-pubsub` or `cloudevents`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from msgspec import structs

from gateway.model import UNIX_EPOCH_TICKS, Batch, Message, Priority
from gateway.payload.format import EncoderContext
from gateway.payload.forms import Json
from gateway.payload.gaps import Row
from gateway.payload.layout import Destination, Rows, Share, stream_of
from gateway.payload.metadata import FieldTypes
from gateway.payload.part6 import Encoding, fields_of
from gateway.payload.splitting import ANY_SIZE, FormatSettings, NextSeq, Numbering, oldest_ticks, parts

Kind = Literal["ua-keyframe", "ua-deltaframe", "ua-keepalive"]
Payload = dict[str, Json]
REPEAT_AFTER = 256
"""Messages of one writer between two copies of its metadata."""
NS_PER_SECOND = 10**9
YEAR_2000_S = 946_684_800
"""2000-01-01 in seconds since 1970."""


@dataclass(slots=True)
class Writer:
    """One DataSetWriter: a topic of the template."""

    number: int
    """DataSetWriterId: unique within the gateway."""
    name: str
    group: str
    """WriterGroup: the source."""
    data: Destination
    metadata: Destination
    handles: Sequence[int]
    last: dict[int, Json] = field(default_factory=dict)
    """The last JSON form of each field."""
    since_key: int = -1
    """Messages since the last key frame; -1 before the first."""
    version: int = 0
    """The version of the last metadata; 0: none sent."""
    described: int = 0
    """The sequence number of the last metadata; 0: none sent."""
    since_described: int = 0
    """Messages since the last metadata."""
    must_describe: bool = True
    """Whether its metadata has changed."""
    was_active: bool = False
    """Whether it has sent since the last call of `keep_alives`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A DataSetMessage before encoding."""

    writer: Writer
    place: Destination
    seq: int
    kind: Kind
    number: int
    """SequenceNumber."""
    payload: Payload | None
    gaps: list[Row]
    now_ticks: int
    newest_ticks: int
    """Latest source timestamp in it; 0: none."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A frame in its envelope."""

    payload: bytes
    content_type: str
    properties: tuple[tuple[str, str], ...] = ()


class Envelope(Protocol):
    """The form of frames and metadata on the wire."""

    @property
    def encoding(self) -> Encoding: ...

    def places(self, topic: str, group: str, name: str) -> tuple[str, str]:
        """The topics of a writer's data and metadata, given the topic of the template."""

    def wrap(self, frame: Frame) -> Wrapped: ...

    def describe(
        self, writer: Writer, place: Destination, seq: int, metadata: dict[str, object], now_ticks: int
    ) -> Wrapped:
        """A metadata message."""


@dataclass(frozen=True, slots=True)
class WriterNumbers:
    """The DataSetWriterIds of one source: `first`, `first` + `step` …  No two sources share one."""

    first: int = 1
    step: int = 1

    def of(self, place: int) -> int:
        return (self.first + self.step * place - 1) % 65_535 + 1


def now_ticks() -> int:
    """The wall clock in OPC UA ticks."""
    return time.time_ns() // 100 + UNIX_EPOCH_TICKS


class FramesEncoder:
    """Encodes the batches of one source into DataSetMessages."""

    def __init__(
        self,
        settings: FormatSettings,
        envelope: Envelope,
        *,
        key_frame_every: int = 100,
        numbers: WriterNumbers | None = None,
        now: Callable[[], int] = now_ticks,
        latest_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._settings = settings
        self._envelope = envelope
        self._key_frame_every = key_frame_every
        self._numbers = numbers or WriterNumbers()
        self._now = now
        self._latest_ns = latest_ns
        self._layout = settings.layout()
        self._types = FieldTypes(())
        self._writers: list[Writer] = []
        self._versions: dict[Destination, int] = {}
        """The last metadata version of each destination.  It outlives a change of the tag table."""

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        """The messages of a batch, metadata before the data that needs it."""
        self._settings = self._settings.within(packet_bytes)
        if not self._layout.covers(batch.tags):
            self._derive(batch)
        for handle in self._types.learn(batch):
            self._writers[int(self._layout.group_of[handle])].must_describe = True
        numbering = Numbering(next_seq)
        found = fields_of(batch, self._envelope.encoding, self._settings.server_time)
        messages: list[Message] = []
        for share in self._layout.shares(batch):
            writer = self._writers[share.group]
            messages += self._metadata_if_due(writer, batch, numbering)
            for distinct in _distinct(structs.replace(share, place=writer.data), batch):
                messages += self._frames(writer, distinct, batch, found, numbering)
        return messages

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        """A keep-alive for each writer that has sent nothing since the last call."""
        messages = []
        for writer in self._writers:
            if not writer.was_active:
                place = replace(writer.data, stream=f"{writer.data.stream}/keepalive")
                seq, number = next_seq(place.stream), next_seq(writer.data.stream)
                frame = Frame(writer, place, seq, "ua-keepalive", number, None, [], self._now(), 0)
                messages.append(_message(place, seq, self._envelope.wrap(frame), writer.group))
            writer.was_active = False
        return messages

    def _derive(self, batch: Batch) -> None:
        layout = self._layout = self._settings.layout(batch.tags, batch.source)
        self._types = FieldTypes(batch.tags)
        self._writers = []
        names: set[str] = set()
        described: set[str] = set()
        for group, place in enumerate(layout.places):
            name = _unique(place.topic.replace("/", "."), names)
            data, metadata = self._envelope.places(place.topic, batch.source, name)
            metadata = metadata if metadata not in described else f"{metadata}/{place.priority.name.lower()}"
            described.add(metadata)
            handles = layout.handles_of(group).tolist()
            self._writers.append(
                Writer(
                    self._numbers.of(group),
                    name,
                    batch.source,
                    self._place(data, batch.source, place.priority),
                    self._place(metadata, batch.source, place.priority),
                    handles,
                )
            )

    def _place(self, topic: str, source: str, priority: Priority) -> Destination:
        return Destination(topic, stream_of(self._settings.stream_prefix, source, topic, priority), priority)

    def _metadata_if_due(self, writer: Writer, batch: Batch, numbering: Numbering) -> list[Message]:
        place, now = writer.metadata, self._now()
        if writer.must_describe:
            version = self._latest_ns() // NS_PER_SECOND - YEAR_2000_S
            writer.version = self._versions[place] = max(self._versions.get(place, 0) + 1, version)
        elif writer.since_described < REPEAT_AFTER and numbering.next(place.stream) > writer.described:
            return []
        writer.must_describe, writer.since_described = False, 0
        writer.described = numbering.take(place.stream)
        tags = [(h, batch.tags[h]) for h in writer.handles]
        body: dict[str, object] = {
            "Name": writer.name,
            "Fields": [self._types.field(h, tag, self._settings.told_of(tag)) for h, tag in tags],
            "ConfigurationVersion": {"MajorVersion": writer.version, "MinorVersion": writer.version},
        }
        structures = self._types.structures(tags)
        if structures:
            body["StructureDataTypes"] = structures
        enumerations = self._types.enumerations(tags)
        if enumerations:
            body["EnumDataTypes"] = enumerations
        wrapped = self._envelope.describe(writer, place, writer.described, body, now)
        return [_message(place, writer.described, wrapped, batch.source, retain=True)]

    def _frames(
        self, writer: Writer, share: Share, batch: Batch, found: list[Json], numbering: Numbering
    ) -> Iterator[Message]:
        draft = _Draft(self._envelope, writer, batch, found, self._layout.names, self._now(),
                       self._settings.limits.bytes_at(share.place), self._key_frame_every)  # fmt: skip
        for part in parts(share, self._settings.limits, numbering, draft.encode):
            oldest = oldest_ticks(batch, part.rows)
            yield _message(share.place, part.seq, draft.wrapped, batch.source, values=len(part.rows), oldest=oldest)
            draft.settle(part.rows)


def frames_encoder(context: EncoderContext, settings: FormatSettings, envelope: Envelope) -> FramesEncoder:
    """The encoder of one source with this envelope.  No two sources of the gateway share a writer's number."""
    return FramesEncoder(
        settings,
        envelope,
        key_frame_every=context.payload.pubsub.key_frame_every,
        numbers=WriterNumbers(1 + context.sources.index(context.source), len(context.sources)),
        latest_ns=context.latest_ns,
    )


class _Draft:
    """A frame in the making: encoded until it fits, then settled."""

    def __init__(
        self, envelope: Envelope, writer: Writer, batch: Batch, found: list[Json], names: list[str], now: int,
        max_bytes: int, key_frame_every: int,
    ) -> None:  # fmt: skip
        self._envelope = envelope
        self._writer = writer
        self._batch = batch
        self._found = found
        self._names = names
        self._now = now
        self._max_bytes = max_bytes
        self._key_frame_every = key_frame_every
        self._is_key = False
        self.wrapped = Wrapped(b"", "")

    def encode(self, rows: Rows, seq: int, gaps: list[Row]) -> bytes:
        fields = self._fields(rows)
        known = {**self._writer.last, **fields} if self._is_key_due and len(rows) else {}
        self._is_key = len(known) == len(self._writer.handles) > 0
        self.wrapped = self._wrap(known if self._is_key else fields, rows, seq, gaps)
        if self._is_key and len(self.wrapped.payload) > self._max_bytes:
            self._is_key = False
            self.wrapped = self._wrap(fields, rows, seq, gaps)
        return self.wrapped.payload

    @property
    def _is_key_due(self) -> bool:
        every, writer = self._key_frame_every, self._writer
        if self._batch.historical or writer.data.priority is Priority.EVENT:
            return False  # historical values are not the present state, and an event has none
        return every > 0 and not 0 <= writer.since_key < every

    def settle(self, rows: Rows) -> None:
        """Take over the last encoded frame as sent."""
        writer = self._writer
        if not self._batch.historical:
            writer.last.update(self._fields(rows))
        writer.was_active = True
        writer.since_described += 1
        if self._is_key:
            writer.since_key = 0
        elif writer.since_key >= 0:
            writer.since_key += 1

    def _fields(self, rows: Rows) -> dict[int, Json]:
        handles = self._batch.handles[rows].tolist()
        return {h: self._found[i] for h, i in zip(handles, rows.tolist(), strict=True)}

    def _wrap(self, fields: dict[int, Json], rows: Rows, seq: int, gaps: list[Row]) -> Wrapped:
        kind: Kind = "ua-keyframe" if self._is_key else "ua-deltaframe"
        newest = int(self._batch.source_ticks[rows].max()) if len(rows) else 0
        payload = {self._names[h]: form for h, form in fields.items()}
        place = self._writer.data
        return self._envelope.wrap(Frame(self._writer, place, seq, kind, seq, payload, gaps, self._now, newest))


def _message(
    place: Destination,
    seq: int,
    wrapped: Wrapped,
    source: str,
    *,
    values: int = 0,
    oldest: int = 0,
    retain: bool = False,
) -> Message:
    return Message(
        place.topic,
        wrapped.payload,
        stream=place.stream,
        seq=seq,
        values=values,
        source=source,
        oldest_ticks=oldest,
        priority=place.priority,
        content_type=wrapped.content_type,
        retain=retain,
        properties=wrapped.properties,
    )


def _distinct(share: Share, batch: Batch) -> Iterator[Share]:
    """Split the share so that no piece has a tag twice: all first changes, then all second ones, and so on."""
    handles = batch.handles[share.rows]
    if len(np.unique(handles)) == len(handles):
        yield share
        return
    order = np.argsort(handles, kind="stable")
    changes = np.diff(handles[order], prepend=handles[order[0]]) != 0
    begins = np.maximum.accumulate(np.where(changes, np.arange(len(order)), 0))
    turn = np.empty(len(order), np.intp)
    turn[order] = np.arange(len(order)) - begins
    gaps = share.gaps
    for n in range(int(turn.max()) + 1):
        yield structs.replace(share, rows=share.rows[turn == n], gaps=gaps)
        gaps = []


def _unique(name: str, taken: set[str]) -> str:
    """The name, with a number appended if it is taken."""
    candidate, n = name, 1
    while candidate in taken:
        n += 1
        candidate = f"{name}~{n}"
    taken.add(candidate)
    return candidate
