"""The `aio` format: as the connector for OPC UA of Azure IoT Operations publishes.

The payload is one dataset object, `{"Temperature": {"Value": 61.5, "SourceTimestamp": "…"}}`, and the attributes of the
CloudEvent are MQTT 5 user properties: those of `cloudevents` in binary mode, and those that the connector adds:

    subject               the asset: the last level of the topic
    uuid                  of asset and dataset, the same for the same names
    externalAssetId       the topic, with dots
    datasetname           the whole name of the DataSetWriter

The topic is that of the template, as `azure-iot-operations/data/{machine}`.  Metadata goes to `{topic}/metadata`,
retained, for a schema registry.  User properties that begin with `__` are reserved there; the gateway has none.
"""

import uuid
from dataclasses import dataclass

import orjson

from gateway.config import PayloadConfig
from gateway.model import Loss, Message
from gateway.payload.cloudevents import DATA, EventEnvelope, events_schema
from gateway.payload.format import Announcement, EncoderContext, Format
from gateway.payload.frames import FramesEncoder, Wrapped, frames_encoder
from gateway.payload.gaps import Row

_TEXTS = (
    "uuid", "externalAssetId", "datasetname", "opcuametadatamajorversion", "opcuametadataminorversion",
)  # fmt: skip
_NAMES = uuid.UUID("1b0f2f0e-7f0c-5c7e-9d65-93f1f0d7c6a2")


@dataclass(frozen=True, slots=True)
class AioEnvelope(EventEnvelope):
    """Events of one source, with what the connector adds."""

    def _wrapped(self, event: Row, data: dict[str, object]) -> Wrapped:
        writer = str(event["subject"])
        asset = writer.rpartition(".")[2]
        told = {
            **event,
            "subject": asset,
            "datacontenttype": DATA,
            "uuid": str(uuid.uuid5(_NAMES, f"{self.source}\0{writer}")),
            "externalAssetId": writer,
            "datasetname": writer,
        }
        return Wrapped(orjson.dumps(data), DATA, tuple((name, str(value)) for name, value in told.items()))


def _envelope(payload: PayloadConfig, gateway: str, source: str) -> AioEnvelope:
    return AioEnvelope(payload.cloudevents.source or f"urn:connected-factory:{gateway}:{source}", "binary")


def _encoder(context: EncoderContext) -> FramesEncoder:
    envelope = _envelope(context.payload, context.gateway, context.source)
    return frames_encoder(context, context.settings_with("/metadata/telemetry"), envelope)


def _announcement(payload: PayloadConfig, gateway: str) -> Announcement:
    def told(loss: Loss, stream: str, topic: str, seq: int) -> Message:
        return _envelope(payload, gateway, stream.split("/", 2)[1]).announcement(loss, stream, topic, seq)

    return told


def _schema() -> dict[str, object]:
    """The JSON Schema of an event: its user properties, which are texts, beside `data`."""
    schema = events_schema()
    added = {name: {"type": "string"} for name in _TEXTS}
    properties = schema["properties"]
    assert isinstance(properties, dict)
    return {**schema, "properties": {**properties, **added}}


def _longest_topic(template: str, payload: PayloadConfig, has_states: bool) -> str:
    return template + ("/metadata/telemetry" if has_states else "/metadata")


AIO = Format(
    encoder=_encoder,
    announcement=_announcement,
    schema=_schema,
    longest_topic=_longest_topic,
    takes_compression=False,
    describes_types=True,
    retains_lists=True,
    numbers_writers=True,
    variant=lambda payload: payload.cloudevents.mode,
    body=lambda payload: {"type": "object", "description": "The fields by name; attributes are user properties."},
    places=lambda payload, gateway, source, topic: (topic, f"{topic}/metadata"),
    why_mqtt_5=lambda payload: "the attributes of aio are MQTT 5 user properties: set format to another one",
    keep_alive_s=lambda payload: payload.pubsub.keep_alive,
)
