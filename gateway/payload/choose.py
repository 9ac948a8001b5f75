"""The list of all formats: the only place that knows them all."""

import time
from collections.abc import Callable, Mapping

from gateway.config import BrokerConfig, Config, PayloadConfig
from gateway.config.payload import FormatName
from gateway.model import Batch, Loss, Message
from gateway.payload.aio import AIO
from gateway.payload.cloudevents import CLOUD_EVENTS
from gateway.payload.columns import COLUMNS
from gateway.payload.compressed import compressor
from gateway.payload.flat import FLAT
from gateway.payload.format import Announcement, Encoder, EncoderContext, Format
from gateway.payload.iotda import IOTDA
from gateway.payload.json import JSON
from gateway.payload.msgpack import MSGPACK
from gateway.payload.omp import OMP
from gateway.payload.pubsub import PUBSUB
from gateway.payload.sitewise import SITEWISE
from gateway.payload.sparkplug.form import SPARKPLUG
from gateway.payload.splitting import ANY_SIZE, NextSeq
from gateway.payload.thing_model import THING_MODEL

FORMATS: Mapping[str, Format] = {
    "json": JSON,
    "json-columns": COLUMNS,
    "msgpack": MSGPACK,
    "flat": FLAT,
    "opcua-pubsub": PUBSUB,
    "cloudevents": CLOUD_EVENTS,
    "omp": OMP,
    "sitewise": SITEWISE,
    "iotda": IOTDA,
    "thing-model": THING_MODEL,
    "aio": AIO,
    "sparkplug": SPARKPLUG,
}


DATA_SETS: FormatName = "opcua-pubsub"
"""The one with data sets as OPC UA PubSub has them."""
COMPACT: FormatName = "json-columns"
"""The one that takes the fewest bytes and messages."""


def format_of(payload: PayloadConfig) -> Format:
    """The configured format."""
    return FORMATS[payload.format]


def describes_types(config: Config) -> bool:
    """Whether any route's format describes the types of the servers."""
    return any(format_of(route.payload).describes_types for route in config.distinct_routes)


def retains(config: Config) -> bool:
    """Whether any route has retained messages: values, or what describes them."""
    return any(route.payload.retains or format_of(route.payload).retains_lists for route in config.distinct_routes)


def with_needs_of_format(broker: BrokerConfig, payload: PayloadConfig) -> BrokerConfig:
    """The broker as the format needs it: with a version that loses no information, and with the topic that the cloud
    has for messages of its thing model."""
    form, profile = format_of(payload), broker.table
    update: dict[str, object] = {"version": "5"} if form.why_mqtt_5(payload) else {}
    if form.is_things and broker.wire_topic is None and profile is not None and profile.topics.things:
        update["wire_topic"] = profile.topics.things
    if form.most_age_s is not None and broker.max_value_age is None:
        update["max_value_age"] = form.most_age_s
    return broker.model_copy(update=update) if update else broker


def encoder_for(
    config: Config,
    source: str,
    stream_prefix: str,
    latest_ns: Callable[[], int] = time.time_ns,
    payload: PayloadConfig | None = None,
    shared: object = None,
) -> Encoder:
    """The encoder of one source for a payload (default: the gateway's).

    `latest_ns` is a wall clock that never goes back.  `shared` is what the format's `shares` made for the route.
    """
    payload, sources = payload or config.payload, tuple(each.name for each in config.sources)
    context = EncoderContext(
        payload, config.name, source, sources, stream_prefix, latest_ns, _endpoint(config, source), shared
    )
    encoder = format_of(payload).encoder(context)
    return encoder if payload.compress == "none" else _Compressed(encoder, compressor(payload.compress))


def _endpoint(config: Config, source: str) -> str:
    return next((each.url for each in config.sources if each.name == source), "")


def announcement_for(payload: PayloadConfig, gateway: str) -> Announcement:
    """How the format of a payload announces losses."""
    plain = format_of(payload).announcement(payload, gateway)
    if payload.compress == "none":
        return plain
    compressed = compressor(payload.compress)

    def told(loss: Loss, stream: str, topic: str, seq: int) -> Message:
        return compressed(plain(loss, stream, topic, seq))

    return told


class _Compressed:
    def __init__(self, encoder: Encoder, compressed: Callable[[Message], Message]) -> None:
        self._encoder = encoder
        self._compressed = compressed

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        return [self._compressed(message) for message in self._encoder.encode(batch, next_seq, packet_bytes)]

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        return [self._compressed(message) for message in self._encoder.keep_alives(next_seq)]
