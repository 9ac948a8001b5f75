"""The `cloudevents` format: CloudEvents 1.0 with its OPC UA extension, MQTT binding.

An event is one DataSetMessage without its headers, as the extension requires.  The data is the payload of a key or
delta frame (`gateway/payload/frames.py`), each field a DataValue without type information; the headers become
attributes.

    Content Type  application/json
    specversion   1.0
    id            edge-1.k3x9q2/line-1/factory/press-1#17      <stream>#<seq>: the same when it is delivered again
    source        urn:connected-factory:edge-1:line-1
    type          ua-deltaframe                                 ua-keyframe, ua-keepalive, ua-metadata
    subject       factory.press-1                               the DataSetWriter
    time          2026-11-21T10:00:00.1234567Z                  of the newest value inside
    recordedtime  2026-11-21T10:00:00.2234567Z                  when the event was made
    sequence      17
    traceparent   00-…-…-00
    opcuametadatamajorversion, opcuametadataminorversion
    gaps          [{"cause": …}]                                JSON, as in `json`; only where there are any
    data          {"Temperature": {"Value": 61.5, "SourceTimestamp": "…"}}

`binary` puts the attributes into MQTT 5 user properties.  MQTT 3.1.1 has none and would lose them, so `structured` puts
attributes and data into one JSON object.  (The extension asks for binary mode; the MQTT binding allows only structured
mode for 3.1.1.)  Events go to the topic of the template, metadata to `{topic}/metadata`, retained.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

import orjson
from pydantic import Field, JsonValue

from gateway.config import PayloadConfig
from gateway.model import Loss, Message
from gateway.payload.format import Announcement, EncoderContext, Format
from gateway.payload.frames import Frame, FramesEncoder, Wrapped, Writer, frames_encoder
from gateway.payload.gaps import Row, loss_row
from gateway.payload.json import Described
from gateway.payload.layout import Destination
from gateway.payload.part6 import Encoding
from gateway.payload.timestamps import text_of

Mode = Literal["binary", "structured"]
STRUCTURED = "application/cloudevents+json"
DATA = "application/json"
_MOST_PROPERTY_BYTES = 60_000
"""Less than MQTT 5 allows for a string (1.5.4)."""


class Event(Described):
    """An event in structured mode.  In binary mode `data` is the payload and the rest user properties."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: Literal["ua-keyframe", "ua-deltaframe", "ua-keepalive", "ua-metadata"]
    subject: str
    time: str
    datacontenttype: Literal["application/json"]
    recordedtime: str
    sequence: str = Field(pattern=r"^[0-9]+$")
    traceparent: str = Field(pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-00$")
    opcuametadatamajorversion: int | None = None
    opcuametadataminorversion: int | None = None
    gaps: str | None = None
    """JSON text: an array of gaps as in the `json` format."""
    data: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class EventEnvelope:
    """Events of one source."""

    source: str
    """Attribute `source`: a URI reference."""
    mode: Mode

    @property
    def encoding(self) -> Encoding:
        return "plain"

    def places(self, topic: str, group: str, name: str) -> tuple[str, str]:
        return topic, f"{topic}/metadata"

    def wrap(self, frame: Frame) -> Wrapped:
        event = self._event(frame.kind, frame.writer.name, frame.place.stream, frame.seq, frame.now_ticks)
        event["sequence"] = str(frame.number)
        if frame.newest_ticks:
            event["time"] = text_of(frame.newest_ticks)
        event |= _version(frame.writer)
        if frame.gaps:
            event["gaps"] = _told(frame.gaps)
        return self._wrapped(event, dict(frame.payload or {}))

    def describe(
        self, writer: Writer, place: Destination, seq: int, metadata: dict[str, object], now_ticks: int
    ) -> Wrapped:
        event = self._event("ua-metadata", writer.name, place.stream, seq, now_ticks) | _version(writer)
        return self._wrapped(event, metadata)

    def announcement(self, loss: Loss, stream: str, topic: str, seq: int) -> Message:
        """An event without data that announces a loss of stored messages."""
        event = self._event("ua-deltaframe", topic.replace("/", "."), stream, seq, 0)
        event["time"] = event["recordedtime"] = loss_row(loss).get("to_time", text_of(0))
        event["gaps"] = _told([loss_row(loss)])
        made = self._wrapped(event, {})
        return Message(
            topic, made.payload, stream=stream, seq=seq, values=0, content_type=made.content_type,
            properties=made.properties,
        )  # fmt: skip

    def _event(self, kind: str, subject: str, stream: str, seq: int, now_ticks: int) -> Row:
        name, now = f"{stream}#{seq}", text_of(now_ticks)
        return {
            "specversion": "1.0",
            "id": name,
            "source": self.source,
            "type": kind,
            "subject": subject,
            "time": now,
            "recordedtime": now,
            "sequence": str(seq),
            "traceparent": _trace(name),
        }

    def _wrapped(self, event: Row, data: dict[str, object]) -> Wrapped:
        if self.mode == "structured":
            return Wrapped(orjson.dumps(event | {"datacontenttype": DATA, "data": data}), STRUCTURED)
        return Wrapped(orjson.dumps(data), DATA, tuple((name, str(value)) for name, value in event.items()))


def _told(gaps: list[Row]) -> str:
    """Gaps as ASCII JSON text for a user property (brokers cut the connection over control characters).

    If the text is too long, the names of tags are left out; if it still is, all gaps but the first.
    """
    nameless = [{key: value for key, value in gap.items() if key != "names"} for gap in gaps]
    others = {"detail": f"{nameless[0].get('detail', '')}; and {len(gaps) - 1} more gaps"}
    texts = (json.dumps(each, separators=(",", ":")) for each in (gaps, nameless, [nameless[0] | others]))
    return next((text for text in texts if len(text) <= _MOST_PROPERTY_BYTES), "[]")


def _trace(name: str) -> str:
    """A new W3C trace context, not sampled.  It is the same when the event is encoded again."""
    digest = hashlib.blake2b(name.encode(), digest_size=24).hexdigest()
    return f"00-{digest[:32]}-{digest[32:]}-00"


def _version(writer: Writer) -> Row:
    return {"opcuametadatamajorversion": writer.version, "opcuametadataminorversion": writer.version}


def events_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of an event in structured mode."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Event.model_json_schema()}


def _envelope(payload: PayloadConfig, gateway: str, source: str) -> EventEnvelope:
    events = payload.cloudevents
    return EventEnvelope(events.source or f"urn:connected-factory:{gateway}:{source}", events.mode)


def _encoder(context: EncoderContext) -> FramesEncoder:
    envelope = _envelope(context.payload, context.gateway, context.source)
    return frames_encoder(context, context.settings_with(_below(has_states=True)), envelope)


def _announcement(payload: PayloadConfig, gateway: str) -> Announcement:
    def told(loss: Loss, stream: str, topic: str, seq: int) -> Message:
        return _envelope(payload, gateway, stream.split("/", 2)[1]).announcement(loss, stream, topic, seq)

    return told


def _below(has_states: bool) -> str:
    """The longest suffix that metadata adds to the topic of values."""
    return "/metadata/telemetry" if has_states else "/metadata"


def _longest_topic(template: str, payload: PayloadConfig, has_states: bool) -> str:
    return template + _below(has_states)


def _body(payload: PayloadConfig) -> dict[str, object]:
    """In binary mode the payload is `data` alone."""
    schema = events_schema()
    if payload.cloudevents.mode == "structured":
        return schema
    return {"$defs": schema["$defs"], "type": "object", "description": "The fields by name."}


def _why_mqtt_5(payload: PayloadConfig) -> str:
    """Why the mode needs MQTT 5: the attributes of binary events are user properties."""
    is_binary = payload.cloudevents.mode == "binary"
    return "binary cloudevents need MQTT 5: set cloudevents.mode to structured" if is_binary else ""


CLOUD_EVENTS = Format(
    encoder=_encoder,
    announcement=_announcement,
    schema=events_schema,
    longest_topic=_longest_topic,
    takes_compression=False,
    describes_types=True,
    retains_lists=True,
    body=_body,
    variant=lambda payload: payload.cloudevents.mode,
    places=lambda payload, gateway, source, topic: (topic, f"{topic}/metadata"),
    numbers_writers=True,
    why_mqtt_5=_why_mqtt_5,
    keep_alive_s=lambda payload: payload.pubsub.keep_alive,
)
