"""The `thing-model` format: properties as the thing models of Tencent and Alibaba take them.

    tencent   {"method": "report", "clientToken": "<stream>#17", "timestamp": 1796032800123,
               "params": {"press_1_Temperature": 61.5}}
    alibaba   {"id": "17", "version": "1.0", "method": "thing.event.property.post",
               "params": {"press_1_Temperature": {"value": 61.5, "time": 1796032800123}}}

`payload.things.dialect` chooses.  A property is called after topic and tag, with `_` for everything that is neither a
letter nor a digit, at most 50 characters; a longer name is cut and gets a hash.  A message of Tencent has one time, so
values of different milliseconds are different messages.  A property occurs once in a message.  `quality` has the
StatusCode of what is not Good.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gateway.config import PayloadConfig
from gateway.model import Batch
from gateway.payload.format import Announcement, EncoderContext, Format
from gateway.payload.json import JsonGap
from gateway.payload.layout import Layout, Rows
from gateway.payload.objects import Body, ObjectsEncoder, announcement_of, unix_time_of, value_at

MOST_NAME = 50


class ThingMessage(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)
    stream: str
    seq: int
    method: Literal["report", "thing.event.property.post"]
    params: dict[str, object]
    """By property: the value (Tencent), or value and time (Alibaba)."""
    id: str | None = None
    version: str | None = None
    clientToken: str | None = None  # noqa: N815 - a name of theirs
    timestamp: int | None = None
    quality: dict[str, int] = Field(default_factory=dict)
    """Status codes that are not 0, by property."""
    fields: dict[str, dict[str, str]] = Field(default_factory=dict)
    gaps: list[JsonGap] = Field(default_factory=list)
    historical: bool = False


class ThingModel:
    """Objects with properties."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self._is_tencent = context.payload.things.dialect == "tencent"
        self._names: list[str] = []
        self._is_per_tag = False

    def derive(self, batch: Batch, layout: Layout) -> None:
        self._names, self._is_per_tag = layout.names, layout.is_per_tag

    def pieces(self, batch: Batch, rows: Rows) -> Iterator[Rows]:
        """Each property once, and where a message has one time, values of that time."""
        part, seen, time = list[int](), set[int](), -1
        for row in rows.tolist():
            handle, at = int(batch.handles[row]), self._millis(batch, row)
            if part and (handle in seen or (self._is_tencent and at != time)):
                yield np.array(part, dtype=np.intp)
                part, seen = [], set()
            part.append(row)
            seen.add(handle)
            time = at
        yield np.array(part, dtype=np.intp)

    def body(self, batch: Batch, topic: str, rows: Rows) -> Body:
        params: dict[str, object] = {}
        quality: dict[str, int] = {}
        for row in rows.tolist():
            name = self._names[int(batch.handles[row])]
            name = property_of(topic if self._is_per_tag else f"{topic}_{name}")
            value = value_at(batch, row)
            params[name] = value if self._is_tencent else {"value": value, "time": self._millis(batch, row)}
            if batch.statuses[row]:
                quality[name] = int(batch.statuses[row])
        more: Body = {"quality": quality} if quality else {}
        if not self._is_tencent:
            return {**_of_alibaba(), "params": params, **more}
        time = {"timestamp": self._millis(batch, int(rows[0]))} if len(rows) else {}
        return {"method": "report", **time, "params": params, **more}

    def _millis(self, batch: Batch, row: int) -> int:
        seconds, nanos = unix_time_of(batch, row, self._context.latest_ns())
        return seconds * 1000 + nanos // 1_000_000


def property_of(path: str) -> str:
    """An identifier that both thing models take."""
    name = re.sub(r"[^A-Za-z0-9]", "_", path)
    if len(name) <= MOST_NAME:
        return name
    return f"{name[: MOST_NAME - 9]}_{hashlib.blake2b(path.encode(), digest_size=4).hexdigest()}"


def _of_alibaba() -> Body:
    return {"version": "1.0", "method": "thing.event.property.post"}


def _announcement(payload: PayloadConfig, gateway: str) -> Announcement:
    if payload.things.dialect == "tencent":
        return announcement_of(lambda topic: {"method": "report", "params": {}})(payload, gateway)
    return announcement_of(lambda topic: {**_of_alibaba(), "params": {}})(payload, gateway)


def _schema() -> dict[str, object]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ThingMessage.model_json_schema()}


THING_MODEL = Format(
    encoder=lambda context: ObjectsEncoder(context.settings, ThingModel(context)),
    announcement=_announcement,
    schema=_schema,
    takes_topic_per_tag=True,
    is_things=True,
)
