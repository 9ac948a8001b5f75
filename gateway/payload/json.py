"""The `json` format: one object per message, easy to read for people and programs.

    {"stream": "edge-1.k3x9q2/line-1/factory/hall-1/line-1/press-1", "seq": 17,
     "values": [{"name": "Temperature", "value": 61.5, "time": "2026-11-21T10:00:00.1234567Z"}]}

`status` is present when it is not 0 (Good), `time_source` when the time is not the source's, `gaps` when values are
missing before these ones, with cause and time range.

A Unified Namespace has one topic per tag: put `{tag}` into the topic (`acme/{site}/{area}/{line}/{cell}/{tag}`).  The
messages have the same form, with the values of one tag each, and the broker is asked to retain the last one.  Gaps and
losses then go to the topic level above the tags; `gateway/payload/layout.py` defines `stream` and `seq` for that case.
"""

from functools import partial
from typing import Literal

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway.model import Batch, Loss, Message, Priority
from gateway.payload.format import Format, Narrowing
from gateway.payload.forms import json_texts
from gateway.payload.gaps import Row, loss_row
from gateway.payload.layout import Rows, Share
from gateway.payload.splitting import ANY_SIZE, FormatSettings, NextSeq, Numbering
from gateway.payload.timestamps import TIME_SOURCES, framed_bytes_of


class Described(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)


class JsonValue(Described):
    """One change of one variable."""

    name: str
    """Name of the tag, unique within the topic."""
    value: object
    """The value in the form of `gateway/payload/forms.py`; null where the server sent none."""
    time: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$")
    """When the value was so, RFC 3339 UTC with seven digits: the source timestamp, or what `time_source` says."""
    time_source: Literal["server", "receipt"] | None = None
    """Whose time it is where the source gave none: the server's, or that of receipt by the gateway; else left out."""
    status: int | None = Field(default=None, ge=1, le=0xFFFFFFFF)
    """OPC UA StatusCode; left out when it is 0 (Good)."""
    server_time: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$")
    """Server timestamp, when configured with `server_time`."""
    fields: dict[str, str] | None = None
    """Fields of the variable, when configured with `fields`."""


class JsonGap(Described):
    """Values that existed but will not be delivered."""

    cause: str
    """The kind of discontinuity: one of `model.GAP_CAUSES`."""
    detail: str
    """What happened, for people."""
    from_time: str | None = None
    """Not before this instant, where known."""
    to_time: str | None = None
    """Not after this instant, where known."""
    count: int | None = Field(default=None, ge=0)
    """How many values, where known."""
    names: list[str] | None = None
    """The affected tags; left out when any tag of the topic may be."""
    from_seq: int | None = None
    """The first lost message of this stream, where numbered messages were lost."""
    to_seq: int | None = None
    """The last lost message of this stream."""


class JsonMessage(Described):
    """One message of the `json` format."""

    stream: str
    """The stream that `seq` counts."""
    seq: int = Field(ge=1)
    """Rises by one with every message of the stream, also across restarts."""
    values: list[JsonValue]
    """The values, per tag in the order in which the server sent them."""
    gaps: list[JsonGap] | None = None
    """Discontinuities before these values."""
    historical: bool | None = None
    """True when the values were read from the server's history, to fill a gap; otherwise left out.  A value with the
    same time as an earlier one is the same change, delivered again."""


CONTENT_TYPE = "application/json"
_TIME_SOURCES = [b',"time_source":' + orjson.dumps(name) for name in TIME_SOURCES]
PIECES = 4
"""The number of text pieces per value."""


class JsonEncoder:
    """Encodes the batches of one source.  Caches what follows from the tag table until the table changes.

    The text of a value is joined from columns of texts, not encoded from an object: names are encoded once per table,
    numbers a column at a time.
    """

    def __init__(self, settings: FormatSettings) -> None:
        self._settings = settings
        self._layout = settings.layout()
        self._heads: list[bytes] = []
        """By handle: the first piece of a value's text."""
        self._ends: list[bytes] = []
        """By handle: the last piece."""
        self._streams: dict[str, bytes] = {}
        """By stream: the first piece of a message."""

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        """The messages of a batch: grouped by topic, split to the limits, numbered in order."""
        self._settings = self._settings.within(packet_bytes)
        if not self._layout.covers(batch.tags):
            self._derive(batch)
        settings, numbering = self._settings, Numbering(next_seq)
        texts = self._texts(batch)
        if self._layout.is_per_tag and not batch.gaps:
            return self._per_tag(batch, texts, numbering)
        messages: list[Message] = []
        for share in self._layout.shares(batch):
            encode = partial(self._payload, batch.historical, self._streams[share.place.stream], texts)
            messages += settings.messages(batch, share, numbering, encode, CONTENT_TYPE)
        return messages

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        """None: silence means that nothing changed, as long as the gateway is online."""
        return []

    def _derive(self, batch: Batch) -> None:
        layout = self._layout = self._settings.layout(batch.tags, batch.source)
        self._heads = [b',{"name":' + orjson.dumps(name) + b',"value":' for name in layout.names]
        told = [self._settings.told_of(tag) for tag in batch.tags]
        self._ends = [b',"fields":' + orjson.dumps(fields) + b"}" if fields else b"}" for fields in told]
        places = (*layout.places, *layout.streams)
        self._streams = {each.stream: b'{"stream":' + orjson.dumps(each.stream) + b',"seq":' for each in places}

    def _texts(self, batch: Batch) -> list[bytes]:
        """`PIECES` texts for each value of a batch: a comma and the name, the value, times and status, the end."""
        handles = batch.handles.tolist()
        times = framed_bytes_of(batch.source_ticks, b',"time":"', b'"')
        if np.count_nonzero(batch.source_ticks) < len(times):
            for i in np.flatnonzero(batch.source_ticks == 0).tolist():
                times[i] = b""
        if batch.time_sources is not None:
            for i in np.flatnonzero(batch.time_sources).tolist():
                times[i] += _TIME_SOURCES[batch.time_sources[i]]
        if np.count_nonzero(batch.statuses):
            for i in np.flatnonzero(batch.statuses).tolist():
                times[i] += b',"status":%d' % batch.statuses[i]
        if self._settings.server_time:
            texts = framed_bytes_of(batch.server_ticks, b',"server_time":"', b'"')
            for i in np.flatnonzero(batch.server_ticks).tolist():
                times[i] += texts[i]
        pieces = [b""] * (PIECES * len(handles))
        pieces[0::PIECES] = map(self._heads.__getitem__, handles)
        pieces[1::PIECES] = json_texts(batch.types, batch.values)
        pieces[2::PIECES] = times
        pieces[3::PIECES] = map(self._ends.__getitem__, handles)
        return pieces

    def _payload(
        self, historical: bool, stream: bytes, texts: list[bytes], rows: Rows, seq: int, gaps: list[Row]
    ) -> bytes:
        told = b',"gaps":' + orjson.dumps(gaps) if gaps else b""
        end = told + (b',"historical":true}' if historical else b"}")
        return b"".join((stream, b"%d" % seq, b',"values":[', _text_of(texts, rows)[1:], b"]", end))

    def _per_tag(self, batch: Batch, texts: list[bytes], numbering: Numbering) -> list[Message]:
        """A message per tag, in one pass over the columns.  Messages that are too long are split as usual."""
        layout, settings, streams = self._layout, self._settings, self._streams
        by_group: dict[int, list[int]] = {}
        for row, group in enumerate(layout.group_of[batch.handles].tolist()):
            by_group.setdefault(group, []).append(row)
        ticks, limits, places, source = batch.source_ticks.tolist(), settings.limits, layout.places, batch.source
        end = b'],"historical":true}' if batch.historical else b"]}"
        may_retain = settings.retain and not batch.historical
        messages: list[Message] = []
        for group, rows in by_group.items():
            place = places[group]
            stream = place.stream
            if len(rows) == 1:
                row = rows[0]
                text, oldest = b"".join(texts[PIECES * row : PIECES * (row + 1)]), max(0, ticks[row])
            else:
                text = b"".join([piece for row in rows for piece in texts[PIECES * row : PIECES * (row + 1)]])
                oldest = min((ticks[row] for row in rows if ticks[row] > 0), default=0)
            seq = numbering.next(stream)
            payload = b'%b%d,"values":[%b%b' % (streams[stream], seq, text[1:], end)
            if len(rows) > 1 and (len(payload) > limits.bytes_at(place) or len(rows) > limits.max_values):
                share = Share(place, np.array(rows), [], group)
                encode = partial(self._payload, batch.historical, streams[stream], texts)
                messages += settings.messages(batch, share, numbering, encode, CONTENT_TYPE)
                continue
            numbering.took(stream, seq)
            retain = may_retain and place.priority is not Priority.EVENT
            messages.append(
                Message(
                    place.topic, payload, stream, seq, len(rows), source, oldest, place.priority, CONTENT_TYPE, retain
                )
            )
        return messages


def _text_of(texts: list[bytes], rows: Rows) -> bytes:
    """The text of some rows, each with a comma in front."""
    count = len(rows)
    if count and int(rows[-1]) - int(rows[0]) == count - 1:  # rows rise, so these are consecutive
        return b"".join(texts[PIECES * int(rows[0]) : PIECES * (int(rows[-1]) + 1)])
    return b"".join([piece for row in rows.tolist() for piece in texts[PIECES * row : PIECES * (row + 1)]])


def announcement(loss: Loss, stream: str, topic: str, seq: int) -> Message:
    """A message without values that announces a loss of stored messages."""
    return Message(topic, orjson.dumps(announced(loss, stream, seq)), stream=stream, seq=seq, values=0)


def announced(loss: Loss, stream: str, seq: int) -> Row:
    """The body of an announcement."""
    return {"stream": stream, "seq": seq, "values": [], "gaps": [loss_row(loss)]}


def json_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of a message."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **JsonMessage.model_json_schema()}


NARROWING = Narrowing(("properties", "values", "items"))
JSON = Format(
    encoder=lambda context: JsonEncoder(context.settings),
    announcement=lambda payload, gateway: announcement,
    schema=json_schema,
    takes_topic_per_tag=True,
    narrowing=NARROWING,
)
