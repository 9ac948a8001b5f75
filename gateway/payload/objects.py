"""An encoder of formats whose messages are one JSON object each, made row by row: those that clouds prescribe.

A format says how a share is cut (`pieces`) and what an object holds (`body`); topics, numbers, sizes and gaps are as
in all formats.  What a cloud has no place for stands at the top of the object, where clouds look at nothing else:
`stream` and `seq`, `gaps`, `historical`, and `fields` of the tags.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Protocol

import orjson

from gateway.config import PayloadConfig
from gateway.model import UNIX_EPOCH_TICKS, Batch, Loss, Message
from gateway.payload.format import Announcement
from gateway.payload.forms import Json, json_of
from gateway.payload.gaps import Row, loss_row
from gateway.payload.layout import Layout, Rows, Share
from gateway.payload.splitting import ANY_SIZE, FormatSettings, NextSeq, Numbering

CONTENT_TYPE = "application/json"
Body = dict[str, object]


class Objects(Protocol):
    """What a format of this kind has of its own."""

    def derive(self, batch: Batch, layout: Layout) -> None:
        """Look at a new table of tags."""

    def pieces(self, batch: Batch, rows: Rows) -> Iterator[Rows]:
        """The rows of each message."""

    def body(self, batch: Batch, topic: str, rows: Rows) -> Body:
        """What a message says of its values."""


class ObjectsEncoder:
    """Makes the messages of one source."""

    def __init__(self, settings: FormatSettings, objects: Objects) -> None:
        self._settings = settings
        self._objects = objects
        self._layout = settings.layout()
        self._fields: list[Mapping[str, str]] = []

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        """The messages of a batch, by topic, numbered in order."""
        self._settings = self._settings.within(packet_bytes)
        if not self._layout.covers(batch.tags):
            self._layout = self._settings.layout(batch.tags, batch.source)
            self._fields = [self._settings.told_of(tag) for tag in batch.tags]
            self._objects.derive(batch, self._layout)
        numbering, messages = Numbering(next_seq), list[Message]()
        for share in self._layout.shares(batch):
            gaps = share.gaps
            for rows in self._objects.pieces(batch, share.rows) if len(share.rows) else [share.rows]:
                piece = Share(share.place, rows, gaps, share.group)
                encode = partial(self._payload, batch, piece)
                messages += self._settings.messages(batch, piece, numbering, encode, CONTENT_TYPE)
                gaps = []
        return messages

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        """None: silence means that nothing changed, as long as the gateway is online."""
        return []

    def _payload(self, batch: Batch, piece: Share, rows: Rows, seq: int, gaps: list[Row]) -> bytes:
        handles = batch.handles[rows].tolist()
        fields = {self._layout.names[each]: self._fields[each] for each in handles if self._fields[each]}
        more: Body = {"fields": fields} if fields else {}
        if gaps:
            more["gaps"] = gaps
        if batch.historical:
            more["historical"] = True
        body = self._objects.body(batch, piece.place.topic, rows)
        return orjson.dumps({"stream": piece.place.stream, "seq": seq, **body, **more})


def announcement_of(empty: Callable[[str], Body]) -> Callable[[PayloadConfig, str], Announcement]:
    """How losses are announced: an object without values, which `empty` makes for a topic, with a gap."""

    def told(loss: Loss, stream: str, topic: str, seq: int) -> Message:
        body = {"stream": stream, "seq": seq, **empty(topic), "gaps": [loss_row(loss)]}
        return Message(topic, orjson.dumps(body), stream=stream, seq=seq, values=0)

    return lambda payload, gateway: told


def value_at(batch: Batch, row: int) -> Json:
    """The JSON form of a value."""
    value = batch.values[row]
    return json_of(int(batch.types[row]), value.item() if hasattr(value, "item") else value)


def unix_time_of(batch: Batch, row: int, now_ns: int) -> tuple[int, int]:
    """Unix time of a value in seconds and nanoseconds; without any time of its own, now."""
    ticks = int(batch.source_ticks[row]) or int(batch.server_ticks[row])
    if not ticks:
        return divmod(now_ns, 1_000_000_000)
    seconds, rest = divmod(ticks - UNIX_EPOCH_TICKS, 10_000_000)
    return seconds, rest * 100


def quality_of(status: int) -> str:
    """The severity of a StatusCode (Part 4, 7.39): its two highest bits."""
    return ("GOOD", "UNCERTAIN", "BAD", "BAD")[status >> 30 & 3]
