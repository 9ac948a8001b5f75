"""Which format: the one place that knows them all."""

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.config import Config, PayloadConfig
from gateway.model import Batch, Message
from gateway.outbox.losses import Loss
from gateway.payload.columns import ColumnsFormat, columns_announcement, columns_schema
from gateway.payload.compressed import compressor
from gateway.payload.json import JsonFormat, announcement, json_schema
from gateway.payload.packed import PackedFormat, packed_announcement
from gateway.payload.parts import Limits, NextSeq

Announcement = Callable[[Loss, str, str, int], Message]
"""Loss, stream, topic and sequence number to the message that tells of it."""

SCHEMAS: Mapping[str, Callable[[], dict[str, object]]] = {
    "json": json_schema,
    "json-columns": columns_schema,
    "msgpack": json_schema,
}
"""The JSON Schema of the messages of each format; of `msgpack`, after unpacking."""


class Format(Protocol):
    """How a batch becomes messages."""

    def encode(self, batch: Batch, next_seq: NextSeq) -> list[Message]:
        """The messages of a batch, numbered on from what `next_seq` says of each stream."""


def format_for(config: Config, source: str, stream_prefix: str) -> Format:
    """The configured format for one source."""
    form = _plain(config, source, stream_prefix)
    if config.payload.compress == "none":
        return form
    return _Compressed(form, compressor(config.payload.compress))


def announcement_for(config: PayloadConfig) -> Announcement:
    """How losses are told in the configured format."""
    plain = _ANNOUNCEMENTS[config.format]
    if config.compress == "none":
        return plain
    compressed = compressor(config.compress)
    return lambda loss, stream, topic, seq: compressed(plain(loss, stream, topic, seq))


_ANNOUNCEMENTS: Mapping[str, Announcement] = {
    "json": announcement,
    "json-columns": columns_announcement,
    "msgpack": packed_announcement,
}


def _plain(config: Config, source: str, stream_prefix: str) -> Format:
    payload = config.payload
    if payload.format == "json-columns":
        return ColumnsFormat(
            stream_prefix,
            payload.topic,
            config.name,
            Limits(payload.max_values, payload.max_bytes),
            server_time=payload.server_time,
            retain=payload.retains,
        )
    form = PackedFormat if payload.format == "msgpack" else JsonFormat
    return form(
        stream_prefix,
        payload.topic,
        config.name,
        payload.max_values,
        payload.server_time,
        max_bytes=payload.max_bytes,
        retain=payload.retains,
    )


class _Compressed:
    def __init__(self, form: Format, compressed: Callable[[Message], Message]) -> None:
        self._form = form
        self._compressed = compressed

    def encode(self, batch: Batch, next_seq: NextSeq) -> list[Message]:
        return [self._compressed(message) for message in self._form.encode(batch, next_seq)]
