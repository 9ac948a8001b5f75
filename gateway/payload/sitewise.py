"""The `sitewise` format: entries as AWS IoT SiteWise takes them (BatchPutAssetPropertyValue).

    {"stream": "edge-1.k3x9q2/line-1/factory/press-1", "seq": 17,
     "entries": [{"entryId": "0", "propertyAlias": "/factory/press-1/Temperature", "propertyValues": [
        {"value": {"doubleValue": 61.5}, "timestamp": {"timeInSeconds": 1796032800, "offsetInNanos": 123456700},
         "quality": "GOOD"}]}]}

At most 10 entries with 10 values each.  The alias is the topic with the tag's name.  Integers of more than 32 bits are
doubles where these are exact, else strings; NaN and infinities are null doubles, as JSON has none; arrays and
structures are their JSON text.  The quality is the severity of the StatusCode; the code itself is in `status`, by
entry and value, where it is not Good.  SiteWise takes values of the last seven days: what is older when it would be
sent becomes a dead letter (`broker.max_value_age`).  Such values have messages of their own where they are old already
when they come.
"""

import math
from collections.abc import Iterator

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway.model import TICKS_PER_SECOND, UNIX_EPOCH_TICKS, Batch
from gateway.payload.format import EncoderContext, Format
from gateway.payload.json import JsonGap
from gateway.payload.layout import Layout, Rows
from gateway.payload.objects import Body, ObjectsEncoder, announcement_of, quality_of, unix_time_of, value_at

MOST_ENTRIES = MOST_VALUES = 10
MOST_AGE_S = 7 * 86_400.0
_INT32 = 2**31
_EXACT = 2**53
_NULL_TYPES = {1: "B", 10: "D", 11: "D", 12: "S", **dict.fromkeys((2, 3, 4, 5, 6, 7), "I")}


class Open(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)


class Timestamp(Open):
    timeInSeconds: int  # noqa: N815 - names of theirs
    offsetInNanos: int = Field(ge=0, le=999_999_999)  # noqa: N815


class PropertyValue(Open):
    value: dict[str, object]
    """One of `doubleValue`, `integerValue`, `booleanValue`, `stringValue`, `nullValue`."""
    timestamp: Timestamp
    quality: str = Field(pattern="^(GOOD|BAD|UNCERTAIN)$")


class Entry(Open):
    entryId: str  # noqa: N815
    propertyAlias: str  # noqa: N815
    propertyValues: list[PropertyValue] = Field(max_length=MOST_VALUES)  # noqa: N815


class SiteWiseMessage(Open):
    stream: str
    seq: int
    entries: list[Entry] = Field(max_length=MOST_ENTRIES)
    status: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Status codes that are not 0, by entry and place in its values."""
    fields: dict[str, dict[str, str]] = Field(default_factory=dict)
    gaps: list[JsonGap] = Field(default_factory=list)
    historical: bool = False


class SiteWise:
    """Objects with entries."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self._names: list[str] = []
        self._is_per_tag = False

    def derive(self, batch: Batch, layout: Layout) -> None:
        self._names, self._is_per_tag = layout.names, layout.is_per_tag

    def pieces(self, batch: Batch, rows: Rows) -> Iterator[Rows]:
        """Ten tags with ten values each, in the order of their first value.

        What is too old by now has messages of its own, so that it costs nothing else: a constant has the time at which
        it was set.
        """
        since_s = self._context.latest_ns() / 1e9 - MOST_AGE_S
        is_old = (batch.source_ticks[rows] - UNIX_EPOCH_TICKS) / TICKS_PER_SECOND < since_s
        is_old &= batch.source_ticks[rows] > 0
        for part in (rows[~is_old], rows[is_old]) if is_old.any() else (rows,):
            yield from self._cut(batch, part)

    def _cut(self, batch: Batch, rows: Rows) -> Iterator[Rows]:
        by_tag: dict[int, list[int]] = {}
        for row in rows.tolist():
            by_tag.setdefault(int(batch.handles[row]), []).append(row)
        parts = [all_[n : n + MOST_VALUES] for all_ in by_tag.values() for n in range(0, len(all_), MOST_VALUES)]
        for start in range(0, len(parts), MOST_ENTRIES):
            yield np.array(sorted(row for part in parts[start : start + MOST_ENTRIES] for row in part), dtype=np.intp)

    def body(self, batch: Batch, topic: str, rows: Rows) -> Body:
        entries: list[dict[str, object]] = []
        status: dict[str, dict[str, int]] = {}
        open_: dict[int, list[object]] = {}
        for row in rows.tolist():
            handle = int(batch.handles[row])
            values = open_.get(handle)
            if values is None or len(values) >= MOST_VALUES:
                alias = f"/{topic}" if self._is_per_tag else f"/{topic}/{self._names[handle]}"
                values = open_[handle] = []
                entries.append({"entryId": str(len(entries)), "propertyAlias": alias, "propertyValues": values})
            code = int(batch.statuses[row])
            if code:
                number = next(each["entryId"] for each in entries if each["propertyValues"] is values)
                status.setdefault(str(number), {})[str(len(values))] = code
            values.append(self._value(batch, row, code))
        return {"entries": entries, **({"status": status} if status else {})}

    def _value(self, batch: Batch, row: int, code: int) -> dict[str, object]:
        seconds, nanos = unix_time_of(batch, row, self._context.latest_ns())
        return {
            "value": variant_of(int(batch.types[row]), value_at(batch, row)),
            "timestamp": {"timeInSeconds": max(1, seconds), "offsetInNanos": nanos},
            "quality": quality_of(code),
        }


def variant_of(kind: int, value: object) -> dict[str, object]:
    """The value as one of SiteWise's kinds."""
    if value is None or value in ("NaN", "Infinity", "-Infinity", ""):
        return {"nullValue": {"valueType": _NULL_TYPES.get(kind, "U")}}
    if isinstance(value, bool):
        return {"booleanValue": value}
    if kind in (8, 9) and isinstance(value, str):
        value = int(value)
    if isinstance(value, int):
        if -_INT32 <= value < _INT32:
            return {"integerValue": value}
        return {"doubleValue": float(value)} if abs(value) <= _EXACT else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value} if math.isfinite(value) else {"nullValue": {"valueType": "D"}}
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if not text.isprintable():
        text = orjson.dumps(text).decode()[1:-1].replace("\x7f", "\\u007f")
    return {"stringValue": text}


def _schema() -> dict[str, object]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SiteWiseMessage.model_json_schema()}


SITEWISE = Format(
    encoder=lambda context: ObjectsEncoder(context.settings, SiteWise(context)),
    announcement=announcement_of(lambda topic: {"entries": []}),
    schema=_schema,
    takes_topic_per_tag=True,
    most_age_s=MOST_AGE_S,
)
