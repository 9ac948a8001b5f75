"""The `json` format: one object per message, made to be read by people and by any program.

    {"stream": "edge-1.k3x9q2/line-1/factory/hall-1/line-1/press-1", "seq": 17,
     "values": [{"name": "Temperature", "value": 61.5, "time": "2026-11-21T10:00:00.1234567Z"}]}

`status` is there when it is not 0 (Good); `gaps` when values are missing before these, with cause and time range.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gateway.model import UNIX_EPOCH_TICKS, Batch, Gap, Message, Tag
from gateway.outbox.losses import Loss
from gateway.payload.forms import json_column
from gateway.payload.instants import text_of, texts_of
from gateway.topics import expand

NextSeq = Callable[[str], int]
Row = dict[str, object]


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class JsonValue(_Described):
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


class JsonGap(_Described):
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


class JsonMessage(_Described):
    """One message of the `json` format."""

    stream: str
    """Whose sequence this is."""
    seq: int = Field(ge=1)
    """Rises by one with every message of the stream, also across restarts."""
    values: list[JsonValue]
    """The values, per tag in the order in which the server sent them."""
    gaps: list[JsonGap] | None = None
    """Discontinuities before these values."""


class JsonFormat:
    """Encodes the batches of one source.  Keeps what it derived from the tag table until that table changes."""

    def __init__(self, stream_prefix: str, topic: str, gateway: str, max_values: int, server_time: bool) -> None:
        self._stream_prefix = stream_prefix
        self._topic = topic
        self._gateway = gateway
        self._max_values = max_values
        self._server_time = server_time
        self._tags: Sequence[Tag] = ()
        self._names: list[str] = []
        self._topics: list[str] = []
        self._group_of: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def encode(self, batch: Batch, next_seq: NextSeq) -> list[Message]:
        """The messages of a batch: grouped by topic, split at `max_values`, numbered in order."""
        if batch.tags is not self._tags:
            self._derive(batch)
        gaps = self._gaps_by_group(batch)
        numbering = _Numbering(next_seq)
        messages = []
        for group, rows in self._groups(batch, gaps):
            for start in range(0, max(1, len(rows)), self._max_values):
                part = rows[start : start + self._max_values]
                messages.append(self._message(batch, group, part, gaps.pop(group, []), numbering))
        return messages

    def _derive(self, batch: Batch) -> None:
        """What depends on the tag table only: names, topics, and which topic each tag belongs to."""
        places: dict[str, int] = {}
        own = {"gateway": self._gateway, "source": batch.source}
        groups = []
        for tag in batch.tags:
            topic = expand(self._topic, {**own, "tag": tag.name, **tag.fields})
            groups.append(places.setdefault(topic, len(places)))
        self._names = [tag.name for tag in batch.tags]
        self._topics = list(places)
        self._group_of = np.array(groups, dtype=np.int64)
        self._tags = batch.tags

    def _groups(self, batch: Batch, gaps: dict[int, list[Gap]]) -> Iterable[tuple[int, NDArray[np.intp]]]:
        """(group, rows) for every topic that has values or gaps; rows keep their order."""
        group_of_row = self._group_of[batch.handles]
        present = np.unique(group_of_row).tolist()
        if len(present) == 1:
            yield present[0], np.arange(len(batch))
        else:
            for group in present:
                yield group, np.flatnonzero(group_of_row == group)
        for group in sorted(gaps.keys() - set(present)):
            yield group, np.zeros(0, dtype=np.intp)

    def _gaps_by_group(self, batch: Batch) -> dict[int, list[Gap]]:
        found: dict[int, list[Gap]] = {}
        for gap in batch.gaps:
            groups = np.unique(self._group_of[list(gap.handles)]) if gap.handles else np.arange(len(self._topics))
            for group in groups.tolist():
                found.setdefault(group, []).append(gap)
        return found

    def _message(
        self, batch: Batch, group: int, rows: NDArray[np.intp], gaps: list[Gap], numbering: "_Numbering"
    ) -> Message:
        topic = self._topics[group]
        stream = f"{self._stream_prefix}/{batch.source}/{topic}"
        seq = numbering.take(stream)
        body: Row = {"stream": stream, "seq": seq, "values": self._rows(batch, rows)}
        if gaps:
            body["gaps"] = [self._gap(gap, group) for gap in gaps]
        ticks = batch.source_ticks[rows]
        known = ticks[ticks > 0]
        return Message(
            topic=topic,
            payload=orjson.dumps(body),
            stream=stream,
            seq=seq,
            values=len(rows),
            source=batch.source,
            oldest_ticks=int(known.min()) if len(known) else 0,
        )

    def _rows(self, batch: Batch, rows: NDArray[np.intp]) -> list[Row]:
        handles = batch.handles[rows].tolist()
        values = (
            batch.values[rows] if isinstance(batch.values, np.ndarray) else [batch.values[i] for i in rows.tolist()]
        )
        forms = json_column(batch.types[rows], values)
        ticks = batch.source_ticks[rows]
        names = self._names
        found: list[Row] = [
            {"name": names[h], "value": v, "time": t} for h, v, t in zip(handles, forms, texts_of(ticks), strict=True)
        ]
        for i in np.flatnonzero(ticks == 0).tolist():
            del found[i]["time"]
        statuses = batch.statuses[rows]
        for i in np.flatnonzero(statuses).tolist():
            found[i]["status"] = int(statuses[i])
        if self._server_time:
            server_ticks = batch.server_ticks[rows]
            texts = texts_of(server_ticks)
            for i in np.flatnonzero(server_ticks).tolist():
                found[i]["server_time"] = texts[i]
        return found

    def _gap(self, gap: Gap, group: int) -> Row:
        names = [self._names[h] for h in gap.handles if self._group_of[h] == group]
        parts: Row = {
            "cause": gap.cause,
            "detail": gap.detail,
            "from_time": text_of(gap.from_ticks) if gap.from_ticks else None,
            "to_time": text_of(gap.to_ticks) if gap.to_ticks else None,
            "count": gap.count,
            "names": names or None,
        }
        return {key: value for key, value in parts.items() if value is not None}


class _Numbering:
    """Sequence numbers for the messages of one batch, on from what the outbox would give next."""

    def __init__(self, next_seq: NextSeq) -> None:
        self._next_seq = next_seq
        self._taken: dict[str, int] = {}

    def take(self, stream: str) -> int:
        seq = self._taken[stream] + 1 if stream in self._taken else self._next_seq(stream)
        self._taken[stream] = seq
        return seq


def announcement(loss: Loss, stream: str, topic: str, seq: int) -> Message:
    """A message without values that tells of messages lost after they were stored."""
    gap: Row = {
        "cause": _LOSS_CAUSES[loss.cause],
        "detail": _LOSS_DETAILS[loss.cause],
        "from_time": text_of(loss.from_ns // 100 + UNIX_EPOCH_TICKS) if loss.from_ns else None,
        "to_time": text_of(loss.to_ns // 100 + UNIX_EPOCH_TICKS) if loss.to_ns else None,
        "count": loss.values,
        "from_seq": loss.from_seq or None,
        "to_seq": loss.to_seq or None,
    }
    told = {key: value for key, value in gap.items() if value is not None}
    body: Row = {"stream": stream, "seq": seq, "values": [], "gaps": [told]}
    return Message(topic=topic, payload=orjson.dumps(body), stream=stream, seq=seq, values=0)


_LOSS_CAUSES = {"outbox_full": "policy_drop", "expired": "policy_drop", "corrupt": "corrupt"}
_LOSS_DETAILS = {
    "outbox_full": "the outbox was full: its oldest messages were dropped, as configured",
    "expired": "these messages had waited longer than configured",
    "corrupt": "the disk gave back something else than was written",
}


def json_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of a message."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **JsonMessage.model_json_schema()}
