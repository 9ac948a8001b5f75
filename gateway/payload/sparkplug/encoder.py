"""From batches to the records of an edge node in the outbox.

All records of a device have one stream, so they stay in order:

- *Rows*: the metrics of a DDATA as they are sent.  The user property `table` names the table that their aliases are of.
- *Gaps*: JSON, which the session makes the metric `Gateway/Gaps` of.
- *Tables*: before the first rows that need them, after the server was away, and every 256 records, so that one that a
  full outbox dropped is soon replaced.
- *Departures*: the server is away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import orjson
from msgspec import structs
from numpy.typing import NDArray

from gateway.model import UNIX_EPOCH_TICKS, Batch, Message, Priority, Tag
from gateway.payload.gaps import Row
from gateway.payload.layout import Layout, Rows, Share, stream_of, taken
from gateway.payload.sparkplug.births import properties, quality_of
from gateway.payload.sparkplug.metrics import TagMetrics
from gateway.payload.sparkplug.node import Device, Node
from gateway.payload.sparkplug.rows import metrics_of
from gateway.payload.sparkplug.table import Table, packed_table
from gateway.payload.sparkplug.wire import NULL, metric_of
from gateway.payload.splitting import ANY_SIZE, FormatSettings, NextSeq, Numbering, oldest_ticks, parts

REPEAT_AFTER = 256
"""Records of a device between two copies of its table."""
TABLE = "table"
"""The property of rows that names their table."""
GAPS_TYPE = "application/json"


class SparkplugEncoder:
    """Encodes the batches of one source."""

    def __init__(
        self, settings: FormatSettings, node: Node, source: str, source_time: bool, latest_ns: Callable[[], int]
    ) -> None:
        self._latest_ns = latest_ns
        self._settings = settings
        self._node = self.node = node
        self._source = source
        self._source_time = source_time
        self._layout = settings.layout()
        self._tags: Sequence[Tag] = ()
        self._devices: list[Device] = []
        self._metrics: TagMetrics | None = None
        self._told: dict[str, tuple[str, int, int]] = {}
        """By device: version and number of the table in the outbox, and the records since then."""
        for device in node.devices.values():
            if node.is_shared and device.is_alive and device.table is not None:  # who had it before is gone
                self._told[device.id] = device.table.version, device.last_seq, REPEAT_AFTER
        self._were_bad, self._has_bad = np.zeros(0, np.bool_), False

    def encode(self, batch: Batch, next_seq: NextSeq, packet_bytes: int = ANY_SIZE) -> list[Message]:
        """The records of a batch, each table before the rows that need it."""
        self._settings = self._settings.within(packet_bytes)
        if not batch.source_ticks.all():  # a metric needs a time: where nobody gave one, it is ours
            now_ticks = self._latest_ns() // 100 + UNIX_EPOCH_TICKS
            batch = replace(batch, source_ticks=np.where(batch.source_ticks == 0, now_ticks, batch.source_ticks))
        if batch.tags is not self._tags:
            self._derive(batch)
        assert self._metrics is not None
        kinds = self._metrics.learn(batch)
        is_usual = kinds is not None
        if kinds is None:
            kinds = self._metrics.wire_types(batch)
        numbering = Numbering(next_seq)
        messages: list[Message] = []
        columns = _Columns(batch, kinds, _ms(batch.source_ticks))
        self._see_odd(columns, is_usual)
        for share in self._layout.shares(batch):
            number = share.group
            device, table = self._devices[number], self._metrics.tables[number]
            device.is_alive = True
            made = self._table_if_due(device, table, numbering)
            if share.gaps:
                made.append(self._gaps(device, numbering, share.gaps, batch))
            if len(share.rows):
                made += self._rows(columns, share, table, numbering)
            self._count(device, made)
            messages += made
        self._node.latest.note(batch, self._metrics.aliases)
        return messages

    def keep_alives(self, next_seq: NextSeq) -> list[Message]:
        """None: silence means that nothing changed, as long as the edge node is born."""
        return []

    def link_changed(self, is_up: bool, next_seq: NextSeq) -> list[Message]:
        """The records that say that the server is away, or back: devices die, and are born again."""
        numbering, messages = Numbering(next_seq), list[Message]()
        for device in list(self._node.devices.values()):
            if device.source != self._source or (is_up and device.id not in self._told):
                continue  # what was never read is born with its first values
            if is_up and device.table is not None:
                device.is_alive = True
                made = [self._table(device, device.table, numbering)]
            else:
                device.is_alive = False
                made = [self._message(device, "DDEATH", b"", numbering)]
            self._count(device, made)
            messages += made
        return messages

    def _derive(self, batch: Batch) -> None:
        """What follows from a new table of tags."""
        same = [structs.replace(tag, priority=Priority.TELEMETRY) for tag in batch.tags]
        if self._metrics is None or not self._layout.covers(same):
            self._layout = layout = self._settings.layout(same, batch.source)
            self._devices = [
                self._node.device_for(place.topic.rsplit("/", 1)[-1], batch.source) for place in layout.places
            ]
            self._rename(layout)
            self._metrics = TagMetrics(self._node, batch.tags, self._devices, layout.group_of.tolist())
            self._were_bad, self._has_bad = np.zeros(len(batch.tags), np.bool_), False
        self._tags = batch.tags

    def _rename(self, layout: Layout) -> None:
        for number, device in enumerate(self._devices):
            topic = self._node.names.topic("DDATA", device.id)
            place = replace(layout.places[number], topic=topic, stream=self._stream(device))
            layout.places[number] = layout.streams[number] = place

    def _stream(self, device: Device) -> str:
        return stream_of(self._settings.stream_prefix, self._source, self._node.names.topic("DDATA", device.id))

    def _count(self, device: Device, made: list[Message]) -> None:
        if made:
            device.last_seq = max(device.last_seq, made[-1].seq)
            version, seq, since = self._told.get(device.id, ("", 0, 0))
            self._told[device.id] = version, seq, since + len(made)

    def _table_if_due(self, device: Device, table: Table, numbering: Numbering) -> list[Message]:
        """Its table, unless it is in the outbox and was not long ago."""
        version, seq, since = self._told.get(device.id, ("", 0, 0))
        if version == table.version and since < REPEAT_AFTER and numbering.next(self._stream(device)) > seq:
            return []
        return [self._table(device, table, numbering)]

    def _table(self, device: Device, table: Table, numbering: Numbering) -> Message:
        message = self._message(device, "DBIRTH", packed_table(table), numbering)
        self._told[device.id] = table.version, message.seq, 0
        return message

    def _gaps(self, device: Device, numbering: Numbering, gaps: list[Row], batch: Batch) -> Message:
        return self._message(device, "DDATA", orjson.dumps(gaps), numbering, GAPS_TYPE)

    def _message(
        self, device: Device, verb: str, payload: bytes, numbering: Numbering, content_type: str = ""
    ) -> Message:
        stream = self._stream(device)
        return Message(
            self._node.names.topic(verb, device.id), payload, stream=stream, seq=numbering.take(stream), values=0,
            source=self._source, content_type=content_type,
        )  # fmt: skip

    def _see_odd(self, columns: "_Columns", is_usual: bool) -> None:
        """Which rows have more than their value: nulls, all that is not good, and what is good again."""
        batch = columns.batch
        if self._source_time:
            columns.odd = np.ones(len(batch), np.bool_)
        elif not is_usual and not batch.types.all():
            columns.odd = batch.types == 0
        if not self._has_bad and not batch.statuses.any():
            return
        bad = batch.statuses != 0
        odd = np.zeros(len(batch), np.bool_) if columns.odd is None else columns.odd
        for row in np.flatnonzero(bad | self._were_bad[batch.handles] | np.isin(batch.handles, batch.handles[bad])):
            handle, is_bad = batch.handles[row], bool(bad[row])
            if is_bad or self._were_bad[handle]:
                odd[row] = True
                columns.with_quality.add(int(row))
            self._were_bad[handle] = is_bad
        columns.odd, self._has_bad = odd, bool(self._were_bad.any())

    def _rows(self, columns: "_Columns", share: Share, table: Table, numbering: Numbering) -> list[Message]:
        batch, place = columns.batch, share.place
        found: list[Message] = []
        encode = partial(self._payload, columns)
        for run in _in_order(batch, share.rows):
            columns.every = run if run is share.rows and len(run) == len(batch) else None
            for part in parts(Share(place, run, [], share.group), self._settings.limits, numbering, encode):
                oldest = oldest_ticks(batch, part.rows)
                found.append(
                    Message(
                        place.topic, part.payload, stream=place.stream, seq=part.seq, values=len(part.rows),
                        source=batch.source, oldest_ticks=oldest, content_type="", properties=((TABLE, table.version),),
                    )
                )  # fmt: skip
        return found

    def _payload(self, columns: "_Columns", rows: Rows, seq: int, gaps: list[Row]) -> bytes:
        batch, every = columns.batch, rows is columns.every
        at = slice(None) if every else rows
        handles, kinds, ms = batch.handles[at], columns.datatypes[at], columns.ms[at]
        if columns.odd is not None:
            kinds = np.where(columns.odd[at], np.uint8(0), kinds)
        assert self._metrics is not None
        chosen = None if every else rows
        flat, lengths = metrics_of(self._metrics.heads, handles, kinds, ms, batch.values, chosen, batch.historical)
        if lengths is None:
            return flat
        singly, last, ends = np.flatnonzero(lengths == 0), 0, np.cumsum(lengths)
        found: list[bytes] = []
        for place, end in zip(singly.tolist(), ends[singly].tolist(), strict=True):
            row = int(rows[place])
            found += flat[last:end], self._single(columns, row, int(columns.datatypes[row]), int(ms[place]))
            last = end
        return b"".join((*found, flat[last:]))

    def _single(self, columns: "_Columns", row: int, datatype: int, ms: int) -> bytes:
        batch = columns.batch
        kind, status, value = int(batch.types[row]), int(batch.statuses[row]), batch.values[row]
        plain = value.item() if isinstance(value, np.generic) else value
        quality = quality_of(status) if row in columns.with_quality else None
        told = properties(quality, status, ticks=int(batch.source_ticks[row]) if self._source_time else 0)
        assert self._metrics is not None
        handle, content = int(batch.handles[row]), NULL
        if kind and plain is not None:
            content = self._metrics.field_of(handle, datatype, kind, plain, ms)
        return metric_of(int(self._metrics.aliases[handle]), ms, content, historical=batch.historical, properties=told)


@dataclass(slots=True)
class _Columns:
    """A batch with what follows from it, row by row."""

    batch: Batch
    datatypes: NDArray[np.uint8]
    ms: NDArray[np.uint64]
    odd: NDArray[np.bool_] | None = None
    """Rows that have more than their value.  None: no row."""
    with_quality: set[int] = field(default_factory=set)
    every: Rows | None = None
    """The rows of the present run, if these are all, in order."""


def _ms(ticks: NDArray[np.int64]) -> NDArray[np.uint64]:
    return (np.maximum(ticks - UNIX_EPOCH_TICKS, 0) // 10_000).view(np.uint64)


def _in_order(batch: Batch, rows: Rows) -> list[Rows]:
    """The rows by time, in as few runs as keep the rows of each tag in the order in which they came."""
    ticks = taken(batch.source_ticks, rows)
    if batch.historical or len(rows) < 2 or bool((ticks[1:] >= ticks[:-1]).all()):
        return [rows]
    order = np.argsort(ticks, kind="stable")
    handles = taken(batch.handles, rows)
    by_tag = np.lexsort((np.arange(len(rows)), handles))
    falls = (handles[by_tag][1:] == handles[by_tag][:-1]) & (ticks[by_tag][1:] < ticks[by_tag][:-1])
    if not falls.any():
        return [rows[order]]
    cuts = np.unique(by_tag[1:][falls])  # the clock of a server was set back: what comes then is a run of its own
    return [piece[np.argsort(batch.source_ticks[piece], kind="stable")] for piece in np.split(rows, cuts) if len(piece)]
