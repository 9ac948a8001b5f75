"""The `flat` format: an object with tags as keys, for consumers that want no more than that.

    {"timestamp": "2026-11-21T10:00:00.1234567Z", "Temperature": 61.5, "Pressure": 2.1}

A message is a row: the values of one topic that have one time, each tag once.  So a tag that changed twice makes two
messages, and nothing is lost or reordered.  Without `payload.flat.timestamp` values of different times share a message.

`status` holds the StatusCodes that are not 0 (Good), by name.  Without `payload.flat.status` a Bad value is null.
`gaps` is there when values are missing before these ones.  `stream`, `seq`, `historical` and `time_source` are as in
`json`, and MQTT 5 user properties; with `payload.flat.numbers: payload` they are members.  A variable with the name of
a member would hide it: `gateway validate` and `gateway plan` refuse that, and at run time its key gets a `_`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from zlib import crc32

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.config import PayloadConfig
from gateway.model import Batch, Loss, Message, Priority
from gateway.payload.format import Announcement, EncoderContext, Format, Narrowing
from gateway.payload.forms import json_texts
from gateway.payload.gaps import Row, loss_row
from gateway.payload.json import CONTENT_TYPE, JsonGap
from gateway.payload.layout import NO_ROWS, Rows, Share
from gateway.payload.splitting import ANY_SIZE, NextSeq, Numbering, is_state, oldest_ticks, parts
from gateway.payload.timestamps import TIME_SOURCES, framed_bytes_of

NUMBERS = ("stream", "seq", "historical", "time_source")
_BAD = 0x8000_0000
Members = list[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class _Texts:
    """Of each row of a batch: its time and its value, with their keys, each with a comma in front."""

    times: list[bytes]
    values: list[bytes]


def members_of(payload: PayloadConfig) -> set[str]:
    """The keys that are no variables."""
    flat = payload.flat
    named = {flat.timestamp, flat.status, "gaps"} - {None}
    numbers = NUMBERS if flat.numbers == "payload" else ()
    return {str(name) for name in named} | set(numbers) | ({"fields"} if payload.fields else set())


def problem_with_name(payload: PayloadConfig, name: str) -> str:
    """Why a variable cannot have this name.  Empty: it can."""
    if name not in members_of(payload):
        return ""
    return f"{name!r} is a member of the format itself: rename the variable, or set payload.flat"


class FlatEncoder:
    """Encodes the batches of one source.  Caches what follows from the tag table until the table changes."""

    def __init__(self, context: EncoderContext) -> None:
        self._settings = context.settings
        self._flat = context.payload.flat
        self._members = members_of(context.payload)
        self._layout = self._settings.layout()
        self._names: list[str] = []
        """By handle: the key of a value."""
        self._heads: list[bytes] = []
        self._keys: NDArray[np.int64] = np.zeros(0, np.int64)
        """By handle: equal for tags with one key."""
        self._fields: list[dict[str, str]] = []

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        """The messages of a batch: grouped by topic and time, split to the limits, numbered in order."""
        self._settings = self._settings.within(packet_bytes)
        if not self._layout.covers(batch.tags):
            self._derive(batch)
        numbering, messages = Numbering(next_seq), list[Message]()
        texts = _Texts(self._times(batch), self._texts(batch))
        for share in self._layout.shares(batch):
            gaps = share.gaps
            for rows in self._pieces(batch, share.rows) if len(share.rows) else [NO_ROWS]:
                piece = Share(share.place, rows, gaps, share.group)
                messages += self._messages(batch, piece, texts, numbering)
                gaps = []
        return messages

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        """None: silence means that nothing changed, as long as the gateway is online."""
        return []

    def _derive(self, batch: Batch) -> None:
        layout = self._layout = self._settings.layout(batch.tags, batch.source)
        self._names = [self._key_for(name) for name in layout.names]
        self._heads = [b"," + orjson.dumps(name) + b":" for name in self._names]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(self._names))}
        self._keys = np.array([numbers[name] for name in self._names], np.int64)
        self._fields = [self._settings.told_of(tag) for tag in batch.tags]

    def _key_for(self, name: str) -> str:
        while name in self._members:
            name += "_"
        return name

    def _times(self, batch: Batch) -> list[bytes]:
        """A comma, the key and the time of each row; empty where there is none."""
        if self._flat.timestamp is None:
            return [b""] * len(batch)
        times = framed_bytes_of(batch.source_ticks, b"," + orjson.dumps(self._flat.timestamp) + b':"', b'"')
        for row in np.flatnonzero(batch.source_ticks == 0).tolist():
            times[row] = b""
        return times

    def _texts(self, batch: Batch) -> list[bytes]:
        """A comma, the key and the value of each row."""
        texts = json_texts(batch.types, batch.values)
        if self._flat.status is None:
            for row in np.flatnonzero(batch.statuses >= _BAD).tolist():
                texts[row] = b"null"
        heads = map(self._heads.__getitem__, batch.handles.tolist())
        return [head + text for head, text in zip(heads, texts, strict=True)]

    def _pieces(self, batch: Batch, rows: Rows) -> Iterator[Rows]:
        """The rows of each message: one time, each key once.  The values of a tag keep their order."""
        keys, marks = self._keys[batch.handles[rows]], self._marks(batch, rows)
        if (marks == marks[0]).all() and len(np.unique(keys)) == len(keys):
            yield rows
            return
        order = np.argsort(marks, kind="stable") if _rises_by_key(keys, marks) else np.arange(len(rows))
        begin, before, seen = 0, -1, set[int]()
        for end, (mark, key) in enumerate(zip(marks[order].tolist(), keys[order].tolist(), strict=True)):
            if seen and (mark != before or key in seen):
                yield rows[order[begin:end]] if end - begin == 1 else np.sort(rows[order[begin:end]])
                begin = end
                seen.clear()
            seen.add(key)
            before = mark
        yield np.sort(rows[order[begin:]])

    def _marks(self, batch: Batch, rows: Rows) -> NDArray[np.int64]:
        """Equal for rows whose times are told by one member.  Rises with the time."""
        if self._flat.timestamp is None:
            return np.zeros(len(rows), np.int64)
        ticks = batch.source_ticks[rows]
        if batch.time_sources is None:
            return ticks
        return np.unique(ticks, return_inverse=True)[1] * len(TIME_SOURCES) + batch.time_sources[rows]

    def _messages(self, batch: Batch, share: Share, texts: _Texts, numbering: Numbering) -> Iterator[Message]:
        place, settings = share.place, self._settings
        told = self._told(batch, share.rows)
        if len(share.rows) == 1 and not share.gaps:
            yield self._of_one(batch, share, int(share.rows[0]), told, texts, numbering.take(place.stream))
            return
        for part in parts(share, settings.limits, numbering, partial(self._payload, batch, place.stream, told, texts)):
            numbers = [("stream", place.stream), ("seq", part.seq), *told]
            yield Message(
                topic=place.topic,
                payload=part.payload,
                stream=place.stream,
                seq=part.seq,
                values=len(part.rows),
                source=batch.source,
                oldest_ticks=oldest_ticks(batch, part.rows),
                priority=place.priority,
                content_type=CONTENT_TYPE,
                properties=properties_of(numbers) if self._flat.numbers == "properties" else (),
                retain=settings.retain and is_state(batch, share, part),
            )

    def _of_one(self, batch: Batch, share: Share, row: int, told: Members, texts: _Texts, seq: int) -> Message:
        """The message of one value, which is never split."""
        place, settings, is_inside = share.place, self._settings, self._flat.numbers == "payload"
        numbers = [("stream", place.stream), ("seq", seq), *told]
        last = self._last([row], batch, [])
        text = texts.times[row] + texts.values[row] + (_text(last) if last else b"")
        retain = settings.retain and not batch.historical and place.priority is not Priority.EVENT
        return Message(
            topic=place.topic,
            payload=b"{%b%b}" % (text[1:], _text(numbers) if is_inside else b""),
            stream=place.stream,
            seq=seq,
            values=1,
            source=batch.source,
            oldest_ticks=max(0, int(batch.source_ticks[row])),
            priority=place.priority,
            content_type=CONTENT_TYPE,
            properties=() if is_inside else properties_of(numbers),
            retain=retain,
        )

    def _told(self, batch: Batch, rows: Rows) -> Members:
        """What is told of a whole message, beside its number."""
        told: Members = [("historical", True)] if batch.historical else []
        if batch.time_sources is not None and len(rows) and self._flat.timestamp is not None:
            whose = int(batch.time_sources[rows[0]])
            told += [("time_source", TIME_SOURCES[whose])] if whose else []
        return told

    def _payload(
        self, batch: Batch, stream: str, told: Members, texts: _Texts, rows: Rows, seq: int, gaps: list[Row]
    ) -> bytes:
        chosen = rows.tolist()
        last = self._last(chosen, batch, gaps)
        if self._flat.numbers == "payload":
            last += [("stream", stream), ("seq", seq), *told]
        values = texts.values if len(chosen) == len(texts.values) else [texts.values[row] for row in chosen]
        first = texts.times[chosen[0]] if chosen else b""
        return b"{" + b"".join((first, *values, _text(last)))[1:] + b"}"

    def _last(self, rows: list[int], batch: Batch, gaps: list[Row]) -> Members:
        """The members behind the values, but for the numbers."""
        last = Members()
        statuses = {self._name(batch, row): int(batch.statuses[row]) for row in rows if batch.statuses[row]}
        if statuses and self._flat.status is not None:
            last.append((self._flat.status, statuses))
        if fields := self._fields_of(batch, rows):
            last.append(("fields", fields))
        if gaps:
            last.append(("gaps", gaps))
        return last

    def _name(self, batch: Batch, row: int) -> str:
        return self._names[int(batch.handles[row])]

    def _fields_of(self, batch: Batch, rows: list[int]) -> Mapping[str, Mapping[str, str]]:
        if not self._settings.fields:
            return {}
        handles = [int(batch.handles[row]) for row in rows]
        return {self._names[handle]: self._fields[handle] for handle in handles if self._fields[handle]}


def _rises_by_key(keys: NDArray[np.int64], marks: NDArray[np.int64]) -> bool:
    """Whether the times of each key rise, so that sorting by time keeps the order of its values."""
    order = np.argsort(keys, kind="stable")
    falls = marks[order][1:] < marks[order][:-1]
    return not bool((falls & (keys[order][1:] == keys[order][:-1])).any())


def _text(members: Members) -> bytes:
    """Members as JSON, each with a comma in front."""
    return b"".join(b"," + orjson.dumps(name) + b":" + orjson.dumps(value) for name, value in members)


def properties_of(members: Members) -> tuple[tuple[str, str], ...]:
    """Members as MQTT 5 user properties."""
    return tuple((name, "true" if value is True else str(value)) for name, value in members)


def _announcement(payload: PayloadConfig, gateway: str) -> Announcement:
    def announced(loss: Loss, stream: str, topic: str, seq: int) -> Message:
        numbers: Members = [("stream", stream), ("seq", seq)]
        is_inside = payload.flat.numbers == "payload"
        body = dict([("gaps", [loss_row(loss)]), *(numbers if is_inside else [])])
        properties = () if is_inside else properties_of(numbers)
        return Message(topic, orjson.dumps(body), stream, seq, 0, content_type=CONTENT_TYPE, properties=properties)

    return announced


def _schema(payload: PayloadConfig | None = None) -> dict[str, object]:
    """The JSON Schema of a message: of these settings, or of the usual ones."""
    payload = payload or PayloadConfig()
    time = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$"}
    known: dict[str, object] = {
        "status": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 0xFFFF_FFFF}},
        "fields": {"type": "object", "additionalProperties": {"type": "object"}},
        "gaps": {"type": "array", "items": JsonGap.model_json_schema()},
        "stream": {"type": "string"},
        "seq": {"type": "integer", "minimum": 1},
        "historical": {"const": True},
        "time_source": {"enum": [name for name in TIME_SOURCES if name]},
    }
    flat = payload.flat
    named = {flat.timestamp: time, flat.status: known["status"]}
    members = {name: named.get(name) or known[name] for name in sorted(members_of(payload))}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "description": "The values by name, at one time.",
        "properties": members,
        "required": ["stream", "seq"] if flat.numbers == "payload" else [],
    }


def _why_mqtt_5(payload: PayloadConfig) -> str:
    if payload.flat.numbers == "payload":
        return ""
    return "the numbers of flat messages need MQTT 5: set flat.numbers to payload"


FLAT = Format(
    encoder=FlatEncoder,
    announcement=_announcement,
    schema=_schema,
    takes_topic_per_tag=True,
    takes_server_time=False,
    why_mqtt_5=_why_mqtt_5,
    body=_schema,
    variant=lambda payload: f"{crc32(repr(payload.flat).encode()):08x}",
    narrowing=Narrowing((), by_name=True, is_open=True),
    problem_with_name=problem_with_name,
)
