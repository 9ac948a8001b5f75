"""The `iotda` format: properties of sub-devices as Huawei's IoTDA takes them from a gateway.

    {"stream": "edge-1.k3x9q2/line-1/line-1/press-1", "seq": 17,
     "devices": [{"device_id": "line-1_press-1", "services": [
        {"service_id": "opcua", "properties": {"Temperature": 61.5}, "event_time": "2026-11-30T08:00:00.123Z"}]}],
     "quality": {"Pressure": 2150694912}}

A topic is a sub-device: its levels, joined with `_`.  Values with the same millisecond share a service entry; digits
beyond it are lost.  `quality` has the StatusCode of what is not Good; a Bad value is there and sent as null.
`payload.things.service` names the service of the product's model.
"""

import re
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from gateway.model import Batch
from gateway.payload.format import EncoderContext, Format
from gateway.payload.json import JsonGap
from gateway.payload.layout import Layout, Rows
from gateway.payload.objects import Body, ObjectsEncoder, announcement_of, unix_time_of, value_at
from gateway.payload.timestamps import text_of


class Service(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)
    service_id: str
    properties: dict[str, object]
    event_time: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


class SubDevice(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)
    device_id: str
    services: list[Service]


class IotdaMessage(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)
    stream: str
    seq: int
    devices: list[SubDevice]
    quality: dict[str, int] = Field(default_factory=dict)
    """Status codes that are not 0, by name."""
    fields: dict[str, dict[str, str]] = Field(default_factory=dict)
    gaps: list[JsonGap] = Field(default_factory=list)
    historical: bool = False


class Iotda:
    """Objects with sub-devices."""

    def __init__(self, context: EncoderContext) -> None:
        self._context = context
        self._service = context.payload.things.service
        self._names: list[str] = []

    def derive(self, batch: Batch, layout: Layout) -> None:
        self._names = layout.names

    def pieces(self, batch: Batch, rows: Rows) -> Iterator[Rows]:
        yield rows

    def body(self, batch: Batch, topic: str, rows: Rows) -> Body:
        services: list[dict[str, object]] = []
        latest: dict[str, dict[str, object]] = {}
        quality: dict[str, int] = {}
        for row in rows.tolist():
            name = self._names[int(batch.handles[row])]
            time = millisecond_of(batch, row, self._context.latest_ns())
            properties = latest.get(time)
            if properties is None or name in properties:
                properties = latest[time] = {}
                services.append({"service_id": self._service, "properties": properties, "event_time": time})
            properties[name] = value_at(batch, row)
            if batch.statuses[row]:
                quality[name] = int(batch.statuses[row])
        return {
            "devices": [{"device_id": device_of(topic), "services": services}],
            **({"quality": quality} if quality else {}),
        }


def device_of(topic: str) -> str:
    """A name that IoTDA takes for a sub-device."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", topic)


def millisecond_of(batch: Batch, row: int, now_ns: int) -> str:
    """`2026-11-30T08:00:00.123Z`."""
    seconds, nanos = unix_time_of(batch, row, now_ns)
    text = text_of((seconds * 10_000_000 + nanos // 100) + 116_444_736_000_000_000)
    return f"{text[:-5]}Z"


def _schema() -> dict[str, object]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **IotdaMessage.model_json_schema()}


IOTDA = Format(
    encoder=lambda context: ObjectsEncoder(context.settings, Iotda(context)),
    announcement=announcement_of(lambda topic: {"devices": []}),
    schema=_schema,
    is_things=True,
)
