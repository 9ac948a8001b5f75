"""Which format: the one place that knows them all."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from gateway.config import Config
from gateway.config.payload import below_topic
from gateway.model import Batch, Loss, Message
from gateway.payload.cloudevents import EventEnvelope, events_schema
from gateway.payload.columns import ColumnsFormat, columns_announcement, columns_schema
from gateway.payload.compressed import compressor
from gateway.payload.frames import FramesFormat, WriterNumbers
from gateway.payload.json import JsonFormat, announcement, json_schema
from gateway.payload.msgpack import MsgpackFormat, msgpack_announcement
from gateway.payload.pubsub import NetworkEnvelope, pubsub_schema
from gateway.payload.splitting import FormatSettings, NextSeq, Packets, SizeLimits

Announcement = Callable[[Loss, str, str, int], Message]
"""Loss, stream, topic and sequence number to the message that tells of it."""
KeepAlives = Callable[[NextSeq], list[Message]]
"""Makes a keep-alive for each writer that was silent since the last call."""

SCHEMAS: Mapping[str, Callable[[], dict[str, object]]] = {
    "json": json_schema,
    "json-columns": columns_schema,
    "msgpack": json_schema,
    "opcua-pubsub": pubsub_schema,
    "cloudevents": events_schema,
}
"""The JSON Schema of the messages of each format; of `msgpack`, after unpacking."""


class Format(Protocol):
    """How a batch becomes messages."""

    def encode(self, batch: Batch, next_seq: NextSeq) -> list[Message]:
        """The messages of a batch, numbered on from what `next_seq` says of each stream."""


def format_for(
    config: Config,
    source: str,
    stream_prefix: str,
    packets: Packets | None = None,
    latest_ns: Callable[[], int] = time.time_ns,
) -> Format:
    """The configured format for one source.  `packets` is what the brokers say meanwhile of their largest packet,
    `latest_ns` a wall clock that never goes back."""
    form = _plain(config, source, stream_prefix, packets or Packets(), latest_ns)
    if config.payload.compress == "none":
        return form
    return _Compressed(form, compressor(config.payload.compress))


def keep_alives_for(form: Format) -> KeepAlives | None:
    """What makes the keep-alives of a format; None when it has none."""
    if isinstance(form, _Compressed):
        return form.keep_alives
    return form.keep_alives if isinstance(form, FramesFormat) else None


def describes_types(name: str) -> bool:
    """Whether a format tells its readers what the types of the server are."""
    return name in ("opcua-pubsub", "cloudevents")


def announcement_for(config: Config) -> Announcement:
    """How losses are told in the configured format."""
    plain = _announcement(config)
    if config.payload.compress == "none":
        return plain
    compressed = compressor(config.payload.compress)
    return lambda loss, stream, topic, seq: compressed(plain(loss, stream, topic, seq))


def _announcement(config: Config) -> Announcement:
    match config.payload.format:
        case "json":
            return announcement
        case "json-columns":
            return columns_announcement
        case "msgpack":
            return msgpack_announcement
        case "opcua-pubsub":
            return network_envelope(config).announcement
        case "cloudevents":
            return lambda loss, stream, topic, seq: _events(config, stream.split("/", 2)[1]).announcement(
                loss, stream, topic, seq
            )


def network_envelope(config: Config) -> NetworkEnvelope:
    """The publisher that this gateway is to OPC UA PubSub: also makes its status and its last will."""
    pubsub = config.payload.pubsub
    return NetworkEnvelope(config.name, pubsub.prefix, pubsub.encoding, config.payload.rules)


def _events(config: Config, source: str) -> EventEnvelope:
    events = config.payload.cloudevents
    return EventEnvelope(events.source or f"urn:connected-factory:{config.name}:{source}", events.mode)


def _frames(config: Config, source: str, settings: FormatSettings, latest_ns: Callable[[], int]) -> FramesFormat:
    payload = config.payload
    names = [each.name for each in config.sources]
    return FramesFormat(
        settings,
        network_envelope(config) if payload.format == "opcua-pubsub" else _events(config, source),
        key_frame_every=payload.pubsub.key_frame_every,
        numbers=WriterNumbers(1 + names.index(source), len(names)),
        latest_ns=latest_ns,
    )


def _plain(config: Config, source: str, stream_prefix: str, packets: Packets, latest_ns: Callable[[], int]) -> Format:
    payload = config.payload
    limits, rules = SizeLimits(payload.max_values, payload.max_bytes, packets), payload.rules
    settings = FormatSettings(
        stream_prefix,
        payload.topic,
        config.name,
        limits,
        payload.server_time,
        payload.retains,
        payload.events_topic or "",
        replace(rules, max_bytes=max(1, rules.max_bytes - len(below_topic(payload.format, has_states=True)))),
        payload.fields,
    )
    match payload.format:
        case "json":
            return JsonFormat(settings)
        case "msgpack":
            return MsgpackFormat(settings)
        case "json-columns":
            return ColumnsFormat(settings)
        case "opcua-pubsub" | "cloudevents":
            return _frames(config, source, settings, latest_ns)


class _Compressed:
    def __init__(self, form: Format, compressed: Callable[[Message], Message]) -> None:
        self._form = form
        self._compressed = compressed

    def encode(self, batch: Batch, next_seq: NextSeq) -> list[Message]:
        return [self._compressed(message) for message in self._form.encode(batch, next_seq)]

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        plain = keep_alives_for(self._form)
        return [self._compressed(message) for message in plain(next_seq)] if plain else []
