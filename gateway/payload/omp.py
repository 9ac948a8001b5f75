"""The `omp` format: telemetry and alarms as the connector of the Open Manufacturing Platform sent them.

    {"id": "…", "namespace": "iot.models.messages.telemetry",
     "metadata": {"timestamp": "2026-11-30T08:00:00.0000000Z", "senderIdentifier": {…, "type": "gateway"},
                  "sequence": {"id": 17}, "stream": "edge-1.k3x9q2/line-1/factory/press-1"},
     "payload": {"dataSource": {"id": "…", "name": "line-1", "route": "…", "endpointUrl": "…"},
                 "data": {"key": "nsu=urn:plant;s=T", "name": "Temperature", "value": 61.5, "status": 0,
                          "lastChangeTimestamp": "…", "measurementTimestamp": "…", "dataType": "Double"}}}

One message for each value.  Structures are lists of `{key, dataType, value}`.  An event is an alarm message: its fields
are `data.eventProperties`.  What is different from that connector, on purpose:

- Bad, uncertain and null values are sent; `status` is the StatusCode, a number.
- `metadata.stream` and the number in `metadata.sequence` show a gap or a repeat; the ids of messages follow from them,
  so a repeat has the same id.
- `data.timeSource` says whose `lastChangeTimestamp` is, where it is not the source's.
- A gap is told in `payload.gaps` of the next message, or in a message without `data`.
- Values have the form of every other format: exact numbers of 64 bits are texts, times have seven digits.
- `ipAddress` is left out; ids of gateway and source follow from their names.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway.config import PayloadConfig
from gateway.model import IS_ARRAY, IS_MATRIX, Batch, Loss, Message, Priority
from gateway.payload.format import Announcement, EncoderContext, Format, Narrowing
from gateway.payload.forms import Json, json_of
from gateway.payload.gaps import Row, loss_row
from gateway.payload.json import JsonGap
from gateway.payload.layout import Rows
from gateway.payload.splitting import ANY_SIZE, FormatSettings, NextSeq, Numbering
from gateway.payload.timestamps import TIME_SOURCES, text_of
from gateway.values import NAMES_OF_TYPES, Structure

CONTENT_TYPE = "application/json"
_NAMESPACES = {False: "iot.models.messages.telemetry", True: "iot.models.messages.alarm"}
_NAMES = uuid.UUID("6f1d0a52-4a0d-5a6e-9c3d-1f0e6b1c7a90")
_MORE_THAN_VALUES = 700
"""Bytes of the envelope, beside what it says of one value."""


class OmpMetadata(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)
    timestamp: str
    """When the message was made of the value: the server's time of it, else the source's."""
    senderIdentifier: dict[str, str]  # noqa: N815 - a name of theirs
    sequence: dict[str, int]
    """`id` is the number in the stream."""
    stream: str


class OmpPayload(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)
    dataSource: dict[str, str]  # noqa: N815
    data: dict[str, object] | None = None
    """A value, or the `eventProperties` of an event."""
    gaps: list[JsonGap] = Field(default_factory=list)
    """What is missing before this message."""
    historical: bool = False


class OmpMessage(BaseModel):
    """Telemetry, or an alarm."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)
    id: str
    """A GUID that follows from stream and number."""
    namespace: str = Field(pattern=r"^(iot\.models\.messages).*")
    metadata: OmpMetadata
    payload: OmpPayload


def guid_of(*names: str) -> str:
    """The same names, the same GUID."""
    return str(uuid.uuid5(_NAMES, "\0".join(names)))


class OmpEncoder:
    """Makes one message of each value of one source."""

    def __init__(self, settings: FormatSettings, source: str, endpoint: str) -> None:
        self._settings = replace(settings, limits=replace(settings.limits, max_values=1))
        self._layout = self._settings.layout()
        self._sender = _sender(settings.gateway)
        self._source = {"id": guid_of("source", source), "name": source, "endpointUrl": endpoint}
        self._data: list[dict[str, Json]] = []
        """By handle: what is told of every value of a tag."""

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        """The messages of a batch, by topic, numbered in order."""
        self._settings = self._settings.within(packet_bytes)
        if not self._layout.covers(batch.tags):
            self._layout = self._settings.layout(batch.tags, batch.source)
            self._data = [self._told_of(batch, handle) for handle in range(len(batch.tags))]
        numbering, messages = Numbering(next_seq), list[Message]()
        for share in self._layout.shares(batch):
            is_event = share.place.priority is Priority.EVENT
            encode = partial(self._payload, batch, share.place.stream, is_event)
            messages += self._settings.messages(batch, share, numbering, encode, CONTENT_TYPE)
        return messages

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        """None: silence means that nothing changed, as long as the gateway is online."""
        return []

    def _told_of(self, batch: Batch, handle: int) -> dict[str, Json]:
        tag, fields = batch.tags[handle], self._settings.told_of(batch.tags[handle])
        known: dict[str, Json] = {"key": tag.node_id, "name": self._layout.names[handle]}
        return {**known, "fields": dict(fields)} if fields else known

    def _payload(self, batch: Batch, stream: str, is_event: bool, rows: Rows, seq: int, gaps: list[Row]) -> bytes:
        times = [int(ticks[row]) for row in rows for ticks in (batch.server_ticks, batch.source_ticks) if ticks[row]]
        data = {"data": self._row(batch, int(rows[0]), is_event)} if len(rows) else {}
        return _message(
            stream, seq, self._sender, self._source, text_of(times[0]) if times else "", is_event,
            {**data, **({"gaps": gaps} if gaps else {}), **({"historical": True} if batch.historical else {})},
        )  # fmt: skip

    def _row(self, batch: Batch, row: int, is_event: bool) -> dict[str, object]:
        value, kind = batch.values[row], int(batch.types[row])
        told: dict[str, object] = {**self._data[int(batch.handles[row])]}
        if is_event and isinstance(value, Structure):
            return {**told, "eventProperties": pairs_of(value)}
        plain = value.item() if hasattr(value, "item") else value
        told |= {"value": form_of(kind, plain), "status": int(batch.statuses[row]), "dataType": name_of(kind)}
        for name, ticks in (("lastChangeTimestamp", batch.source_ticks), ("measurementTimestamp", batch.server_ticks)):
            if ticks[row]:
                told[name] = text_of(int(ticks[row]))
        if batch.time_sources is not None and batch.time_sources[row]:
            told["timeSource"] = TIME_SOURCES[int(batch.time_sources[row])]
        return told


def form_of(kind: int, value: object) -> object:
    """As in every format, but structures are lists of keys and values."""
    if isinstance(value, Structure):
        return pairs_of(value)
    if isinstance(value, list) and any(isinstance(each, Structure) for each in value):
        return [form_of(kind & ~(IS_ARRAY | IS_MATRIX), each) for each in value]
    return json_of(kind, value)


def pairs_of(value: Structure) -> list[dict[str, object]]:
    return [
        {"key": name, "dataType": name_of(field.type), "value": form_of(field.type, field.value)}
        for name, field in value.fields.items()
    ]


def name_of(kind: int) -> str:
    """The name of a built-in type."""
    plain = kind & ~(IS_ARRAY | IS_MATRIX)
    return NAMES_OF_TYPES[plain] if plain < len(NAMES_OF_TYPES) else str(plain)


def _sender(gateway: str) -> dict[str, str]:
    return {"id": guid_of("gateway", gateway), "name": gateway, "type": "gateway"}


def _message(
    stream: str, seq: int, sender: Mapping[str, str], source: Mapping[str, str], time: str, is_event: bool,
    more: Mapping[str, object],
) -> bytes:  # fmt: skip
    return orjson.dumps(
        {
            "id": guid_of(stream, str(seq)),
            "namespace": _NAMESPACES[is_event],
            "metadata": {
                "timestamp": time, "senderIdentifier": sender, "sequence": {"id": seq}, "stream": stream,
            },
            "payload": {"dataSource": source, **more},
        }
    )  # fmt: skip


def _announcement(payload: PayloadConfig, gateway: str) -> Announcement:
    def announced(loss: Loss, stream: str, topic: str, seq: int) -> Message:
        row = loss_row(loss)
        body = _message(stream, seq, _sender(gateway), {}, str(row.get("to_time", "")), False, {"gaps": [row]})
        return Message(topic, body, stream=stream, seq=seq, values=0)

    return announced


def _schema() -> dict[str, object]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **OmpMessage.model_json_schema()}


def _encoder(context: EncoderContext) -> OmpEncoder:
    return OmpEncoder(context.settings, context.source, context.endpoint)


OMP = Format(
    encoder=_encoder,
    announcement=_announcement,
    schema=_schema,
    takes_topic_per_tag=True,
    narrowing=Narrowing(("properties", "payload", "properties", "data"), has_plain_values=False),
)
