"""The `opcua-pubsub` format: OPC UA Part 14 (1.05), JSON over MQTT.

    <prefix>/json/data/<PublisherId>/<WriterGroup>/<DataSetWriter>        ua-data, one DataSetMessage each
    <prefix>/json/metadata/<PublisherId>/<WriterGroup>/<DataSetWriter>    ua-metadata, retained
    <prefix>/json/status/<PublisherId>                                    ua-status, retained, and the last will

PublisherId is the gateway's name, WriterGroup the source's, DataSetWriter the topic of the template with dots for
slashes.  Frames, versions and keep-alives are those of `gateway/payload/frames.py`, fields those of
`gateway/payload/part6.py`.

    {"MessageId": "edge-1.k3x9q2/line-1/opcua/json/data/edge-1/line-1/factory.press-1#17", "MessageType": "ua-data",
     "PublisherId": "edge-1", "WriterGroupName": "line-1", "Messages": [{"DataSetWriterId": 1,
     "DataSetWriterName": "factory.press-1", "SequenceNumber": 17, "MetaDataVersion": {…}, "Timestamp": "…",
     "MessageType": "ua-deltaframe",
     "Payload": {"Temperature": {"UaType": 11, "Value": 61.5, "SourceTimestamp": "…"}}}]}

MessageId is `<stream>#<seq>`: it is unique, stays the same in a repeated delivery, and differs when a gateway lost its
disk and counts from 1 again.  SequenceNumber is `seq` modulo 2^32.  `Gaps` beside the payload is our addition (readers
ignore unknown members): discontinuities as in `json`.  A gap without values comes in a delta frame without fields.

The status is the gateway's presence in this format: Operational during a session, Disabled after a goodbye, Error as
the last will.  It is not cyclic: the broker reports a lost gateway (7.2.5.5.5).

Not supported: ua-connection, ua-application, ua-endpoints, actions, and events as `ua-event`.  Metadata is one message,
however many fields it has.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Literal

import orjson
from pydantic import ConfigDict, Field, JsonValue

from gateway.config import PayloadConfig
from gateway.model import Loss, Message, Priority
from gateway.payload.format import EncoderContext, Format, Narrowing
from gateway.payload.frames import Frame, FramesEncoder, Wrapped, Writer, frames_encoder
from gateway.payload.gaps import Row, loss_row
from gateway.payload.json import Described, JsonGap
from gateway.payload.layout import Destination
from gateway.payload.part6 import Encoding
from gateway.payload.timestamps import text_of
from gateway.topics import ANY_BROKER, Rules, escape, shortened

CONTENT_TYPE = "application/json"


class ConfigurationVersion(Described):
    """ConfigurationVersionDataType: seconds since 2000-01-01 at which the metadata changed."""

    MajorVersion: int = Field(ge=0, le=0xFFFFFFFF)
    MinorVersion: int = Field(ge=0, le=0xFFFFFFFF)


class DataSetMessage(Described):
    """Table 185 of Part 14."""

    DataSetWriterId: int | None = Field(default=None, ge=1, le=0xFFFF)
    DataSetWriterName: str
    SequenceNumber: int = Field(ge=0, le=0xFFFFFFFF)
    """`seq` of the stream modulo 2^32; in a keep-alive the next one."""
    MetaDataVersion: ConfigurationVersion | None = None
    Timestamp: str
    MessageType: Literal["ua-keyframe", "ua-deltaframe", "ua-keepalive"]
    Payload: dict[str, JsonValue] | None = None
    """Field values by name, in the configured encoding; left out in a keep-alive."""
    Gaps: list[JsonGap] | None = None
    """Discontinuities before these values; our addition."""


class DataMessage(Described):
    """A NetworkMessage with data."""

    MessageId: str
    MessageType: Literal["ua-data"]
    PublisherId: str
    WriterGroupName: str
    Messages: list[DataSetMessage] = Field(min_length=1, max_length=1)


class FieldMetaData(Described):
    """FieldMetaData of Part 14, 6.2.3.2.4; default values are left out."""

    Name: str
    BuiltInType: int = Field(ge=1, le=25)
    DataType: str
    ValueRank: int
    DataSetFieldId: str
    Properties: list[dict[str, JsonValue]] | None = None
    """`EngineeringUnits`, where the server gives it, and the fields of `payload.fields`."""


class MetaData(Described):
    """DataSetMetaDataType of Part 14, 6.2.3.2.3; default values are left out."""

    Name: str
    Fields: list[FieldMetaData]
    ConfigurationVersion: ConfigurationVersion
    StructureDataTypes: list[dict[str, JsonValue]] | None = None
    EnumDataTypes: list[dict[str, JsonValue]] | None = None


class MetaDataMessage(Described):
    """A NetworkMessage with metadata.  Retained."""

    MessageId: str
    MessageType: Literal["ua-metadata"]
    PublisherId: str
    DataSetWriterId: int = Field(ge=1, le=0xFFFF)
    WriterGroupName: str
    DataSetWriterName: str
    Timestamp: str
    MetaData: MetaData


class StatusMessage(Described):
    """A NetworkMessage with the state of the gateway.  Retained."""

    model_config = ConfigDict(extra="forbid", defer_build=True)
    MessageId: str
    MessageType: Literal["ua-status"]
    PublisherId: str
    IsCyclic: Literal[False]
    Status: int = Field(ge=0, le=4)
    """PubSubState: 0 disabled, 1 paused, 2 operational, 3 error, 4 pre-operational."""


class State(IntEnum):
    """PubSubState (Part 14, 6.2.1)."""

    DISABLED = 0
    PAUSED = 1
    OPERATIONAL = 2
    ERROR = 3
    PRE_OPERATIONAL = 4


@dataclass(frozen=True, slots=True)
class NetworkEnvelope:
    """NetworkMessages of one publisher."""

    publisher: str
    prefix: str
    encoding: Encoding
    rules: Rules = ANY_BROKER
    """The broker's rules for topics."""

    def places(self, topic: str, group: str, name: str) -> tuple[str, str]:
        tail = "/".join(escape(each, self.rules.forbidden) for each in (self.publisher, group, name))
        data, metadata = (f"{self.prefix}/json/{kind}/{tail}" for kind in ("data", "metadata"))
        return shortened(data, self.rules.max_bytes), shortened(metadata, self.rules.max_bytes)

    def wrap(self, frame: Frame) -> Wrapped:
        writer = frame.writer
        message: Row = {
            "DataSetWriterId": writer.number,
            "DataSetWriterName": writer.name,
            "SequenceNumber": frame.number & 0xFFFFFFFF,
            "MetaDataVersion": _version(writer),
            "Timestamp": text_of(frame.now_ticks),
            "MessageType": frame.kind,
        }
        if frame.payload is not None:
            message["Payload"] = frame.payload
        if frame.gaps:
            message["Gaps"] = frame.gaps
        body = self._head("ua-data", frame.place, frame.seq)
        return _wrapped(body | {"WriterGroupName": writer.group, "Messages": [message]})

    def describe(
        self, writer: Writer, place: Destination, seq: int, metadata: dict[str, object], now_ticks: int
    ) -> Wrapped:
        body = self._head("ua-metadata", place, seq)
        body |= {
            "DataSetWriterId": writer.number,
            "WriterGroupName": writer.group,
            "DataSetWriterName": writer.name,
            "Timestamp": text_of(now_ticks),
            "MetaData": metadata,
        }
        return _wrapped(body)

    def announcement(self, loss: Loss, stream: str, topic: str, seq: int) -> Message:
        """A delta frame without fields that announces a loss of stored messages."""
        _, source, _ = stream.split("/", 2)
        message: Row = {
            "DataSetWriterName": topic.rsplit("/", 1)[-1],
            "SequenceNumber": seq & 0xFFFFFFFF,
            "Timestamp": loss_row(loss).get("to_time", text_of(0)),
            "MessageType": "ua-deltaframe",
            "Payload": {},
            "Gaps": [loss_row(loss)],
        }
        body = self._head("ua-data", Destination(topic, stream), seq) | {
            "WriterGroupName": source,
            "Messages": [message],
        }
        return Message(topic, orjson.dumps(body), stream=stream, seq=seq, values=0)

    def status(self, state: State, since: datetime) -> Message:
        """The retained state of the publisher.  Not cyclic and without Timestamp: the broker reports a lost gateway."""
        topic = shortened(
            f"{self.prefix}/json/status/{escape(self.publisher, self.rules.forbidden)}", self.rules.max_bytes
        )
        body: Row = {
            "MessageId": f"{self.publisher}/status/{int(state)}#{since.isoformat()}",
            "MessageType": "ua-status",
            "PublisherId": self.publisher,
            "IsCyclic": False,
            "Status": int(state),
        }
        return Message(topic, orjson.dumps(body), stream="", seq=0, values=0, retain=True, priority=Priority.STATE)

    def _head(self, kind: str, place: Destination, seq: int) -> Row:
        return {"MessageId": f"{place.stream}#{seq}", "MessageType": kind, "PublisherId": self.publisher}


@dataclass(frozen=True, slots=True)
class StatusPresence:
    """The state of the publisher as the presence of a session: see `gateway/delivery`."""

    envelope: NetworkEnvelope
    heartbeat_s: None = None
    is_will_alone: bool = False
    news: None = None

    def birth(self, since: datetime) -> Message:
        return self.envelope.status(State.OPERATIONAL, since)

    def goodbye(self, since: datetime) -> Message:
        return self.envelope.status(State.DISABLED, since)

    def will(self, since: datetime) -> Message:
        """Error: the last will, for the broker to publish when it loses the gateway (Part 14, 7.2.5.5.5)."""
        return self.envelope.status(State.ERROR, since)


def _version(writer: Writer) -> Row:
    return {"MajorVersion": writer.version, "MinorVersion": writer.version}


def _wrapped(body: Row) -> Wrapped:
    return Wrapped(orjson.dumps(body), CONTENT_TYPE)


def pubsub_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of the three kinds of message."""
    kinds = [kind.model_json_schema() for kind in (DataMessage, MetaDataMessage, StatusMessage)]
    definitions: dict[str, object] = {}
    for kind in kinds:
        definitions |= kind.pop("$defs", {})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "oneOf": kinds, "$defs": definitions}


def _envelope(payload: PayloadConfig, gateway: str) -> NetworkEnvelope:
    """The gateway as an OPC UA PubSub publisher."""
    return NetworkEnvelope(gateway, payload.pubsub.prefix, payload.pubsub.encoding, payload.rules)


def _encoder(context: EncoderContext) -> FramesEncoder:
    return frames_encoder(context, context.settings, _envelope(context.payload, context.gateway))


def _places(payload: PayloadConfig, gateway: str, source: str, topic: str) -> tuple[str, str]:
    return _envelope(payload, gateway).places(topic, source, topic.replace("/", "."))


def _longest_topic(template: str, payload: PayloadConfig, has_states: bool) -> str:
    """The longest topic: the whole template becomes one level of it."""
    return f"{payload.pubsub.prefix}/json/metadata/{{gateway}}/{{source}}/{{tag}}"


PUBSUB = Format(
    codec="opcua-actions",
    encoder=_encoder,
    announcement=lambda payload, gateway: _envelope(payload, gateway).announcement,
    schema=pubsub_schema,
    longest_topic=_longest_topic,
    describes_types=True,
    retains_lists=True,
    places=_places,
    narrowing=Narrowing(
        ("properties", "Messages", "items", "properties", "Payload"), by_name=True, has_plain_values=False
    ),
    numbers_writers=True,
    keep_alive_s=lambda payload: payload.pubsub.keep_alive,
    presence=lambda payload, gateway: StatusPresence(_envelope(payload, gateway)),
)
