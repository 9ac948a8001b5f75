"""The `json` format: one object per message, made to be read by people and by any program.

    {"stream": "edge-1.k3x9q2/line-1/factory/hall-1/line-1/press-1", "seq": 17,
     "values": [{"name": "Temperature", "value": 61.5, "time": "2026-11-21T10:00:00.1234567Z"}]}

`status` is there when it is not 0 (Good); `gaps` when values are missing before these, with cause and time range.

A Unified Namespace has one topic per tag: write `{tag}` into the topic (`acme/{site}/{area}/{line}/{cell}/{tag}`).  The
messages stay the same, with the values of one tag each, and the broker is asked to retain the last one.  Gaps and
losses then go to the topic above the tags; see `gateway/payload/layout.py` for what `stream` and `seq` mean there.
"""

from functools import partial

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway.model import Batch, Loss, Message
from gateway.payload.format import Format
from gateway.payload.forms import json_column
from gateway.payload.gaps import Row, loss_row
from gateway.payload.layout import Rows
from gateway.payload.splitting import FormatSettings, NextSeq, Numbering
from gateway.payload.timestamps import texts_of


class Described(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class JsonValue(Described):
    """One change of one variable."""

    name: str
    """Name of the tag, unique within the topic."""
    value: object
    """The value, by the table in `gateway/payload/forms.py`; null where the server sent none."""
    time: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$")
    """Source timestamp, RFC 3339 UTC with seven digits; left out where the server gave none."""
    status: int | None = Field(default=None, ge=1, le=0xFFFFFFFF)
    """OPC UA StatusCode; left out when it is 0 (Good)."""
    server_time: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z$")
    """Server timestamp, when asked for with `server_time`."""
    fields: dict[str, str] | None = None
    """Fields of the variable, when asked for with `fields`."""


class JsonGap(Described):
    """Values that existed and will not come."""

    cause: str
    """What kind of discontinuity: one of `model.GAP_CAUSES`."""
    detail: str
    """What happened, for people."""
    from_time: str | None = None
    """Not before this instant, where known."""
    to_time: str | None = None
    """Not after this instant, where known."""
    count: int | None = Field(default=None, ge=0)
    """How many values, where known."""
    names: list[str] | None = None
    """Which tags; left out when it may be any tag of the topic."""
    from_seq: int | None = None
    """First message of this stream that will not come, where messages were lost after they were numbered."""
    to_seq: int | None = None
    """Last message of this stream that will not come."""


class JsonMessage(Described):
    """One message of the `json` format."""

    stream: str
    """Whose sequence this is."""
    seq: int = Field(ge=1)
    """Rises by one with every message of the stream, also across restarts."""
    values: list[JsonValue]
    """The values, per tag in the order in which the server sent them."""
    gaps: list[JsonGap] | None = None
    """Discontinuities before these values."""
    historical: bool | None = None
    """True when the values were read from the server's history, to fill in what was missed; else left out.  Some may
    have come before: the same value with the same time is the same change."""


class JsonEncoder:
    """Encodes the batches of one source.  Keeps what it derived from the tag table until that table changes."""

    content_type = "application/json"

    def __init__(self, settings: FormatSettings) -> None:
        self._settings = settings
        self._layout = settings.layout()
        self._fields: list[dict[str, str]] = []

    def encode(self, batch: Batch, next_seq: NextSeq) -> list[Message]:
        """The messages of a batch: grouped by topic, split to the limits, numbered in order."""
        if not self._layout.covers(batch.tags):
            self._layout = self._settings.layout(batch.tags, batch.source)
            self._fields = [self._settings.told_of(tag) for tag in batch.tags] if self._settings.fields else []
        settings, numbering = self._settings, Numbering(next_seq)
        found = rows_of(batch, self._layout.names, settings.server_time)
        for row, handle in zip(found, batch.handles.tolist(), strict=True) if self._fields else ():
            if self._fields[handle]:
                row["fields"] = self._fields[handle]
        messages: list[Message] = []
        for share in self._layout.shares(batch):
            encode = partial(self._payload, batch, share.place.stream, found)
            messages += settings.messages(batch, share, numbering, encode, self.content_type)
        return messages

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        """None: silence means that nothing changed, as long as the gateway is there."""
        return []

    def _payload(self, batch: Batch, stream: str, found: list[Row], rows: Rows, seq: int, gaps: list[Row]) -> bytes:
        values = found if len(rows) == len(found) else [found[i] for i in rows.tolist()]
        body: Row = {"stream": stream, "seq": seq, "values": values}
        if gaps:
            body["gaps"] = gaps
        if batch.historical:
            body["historical"] = True
        return self._packed(body)

    def _packed(self, body: Row) -> bytes:
        return orjson.dumps(body)


def rows_of(batch: Batch, names: list[str], server_time: bool) -> list[Row]:
    """One object per value of a batch."""
    ticks = batch.source_ticks
    columns = zip(batch.handles.tolist(), json_column(batch.types, batch.values), texts_of(ticks), strict=True)
    found: list[Row] = [{"name": names[h], "value": v, "time": t} for h, v, t in columns]
    for i in np.flatnonzero(ticks == 0).tolist():
        del found[i]["time"]
    for i in np.flatnonzero(batch.statuses).tolist():
        found[i]["status"] = int(batch.statuses[i])
    if server_time:
        texts = texts_of(batch.server_ticks)
        for i in np.flatnonzero(batch.server_ticks).tolist():
            found[i]["server_time"] = texts[i]
    return found


def announcement(loss: Loss, stream: str, topic: str, seq: int) -> Message:
    """A message without values that tells of messages lost after they were stored."""
    return Message(topic, orjson.dumps(announced(loss, stream, seq)), stream=stream, seq=seq, values=0)


def announced(loss: Loss, stream: str, seq: int) -> Row:
    """The body of an announcement."""
    return {"stream": stream, "seq": seq, "values": [], "gaps": [loss_row(loss)]}


def json_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of a message."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **JsonMessage.model_json_schema()}


JSON = Format(
    encoder=lambda context: JsonEncoder(context.settings),
    announcement=lambda payload, gateway: announcement,
    schema=json_schema,
    takes_topic_per_tag=True,
)
