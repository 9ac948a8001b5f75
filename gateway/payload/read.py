"""Reads messages of the gateway in every format: stream, number and content.

For display (`gateway watch`).  Unknown members are accepted.  If a message cannot be read, the reader says so instead
of guessing.  It keeps the tag lists of `json-columns` and the births of `sparkplug`, so one reader must see
all messages of a topic.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import orjson
import zstandard

from gateway.delivery import Packet
from gateway.payload.cloudevents import STRUCTURED
from gateway.payload.compressed import PROPERTY
from gateway.payload.flat import NUMBERS
from gateway.payload.msgpack import CONTENT_TYPE as PACKED
from gateway.payload.sparkplug.watched import Nodes

MOST_BYTES = 64 * 2**20
"""The largest payload after unpacking."""
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_STATUS = ("disabled", "paused", "operational", "error", "pre-operational")
"""PubSubState (Part 14, 6.2.1)."""

Row = Mapping[str, object]


class UnreadableError(Exception):
    """The message cannot be read.  The text says why, for people."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The content of a message."""

    stream: str = ""
    """Empty for messages without a stream, such as the gateway's presence."""
    seq: int = 0
    values: Sequence[tuple[str, object]] = ()
    """Name and value, in order."""
    newest: datetime | None = None
    """The latest source timestamp inside."""
    gaps: Sequence[str] = ()
    """The reported gaps, as text."""
    note: str = ""
    """The kind of message, when it has no values."""
    time_sources: frozenset[str] = frozenset()
    """Whose times the values have, where any is not the source's: `server`, `receipt`."""


class PayloadReader:
    """Reads messages of any format, from one broker."""

    def __init__(self) -> None:
        self._lists: dict[str, dict[int, str]] = {}
        """Names of tags by list version and index."""
        self._nodes = Nodes()

    def read(self, packet: Packet) -> Reading:
        """Read one message.  Raises `UnreadableError`."""
        try:
            if self._nodes.is_one(packet.topic):
                seen = self._nodes.read(packet.topic, packet.payload)
                return Reading(seen.stream, seen.seq, seen.values, seen.newest, note=seen.note)
            payload = _unpacked(packet)
            if "specversion" in packet.properties:
                return _event({**packet.properties, "data": _json(payload)})
            if packet.content_type == PACKED or (not packet.content_type and _is_map(payload)):
                return _plain(_row(msgspec.msgpack.decode(payload)))
            return self._of(_row(_json(payload)), packet)
        except KeyError as error:
            raise UnreadableError(f"it has no {error}") from error
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            raise UnreadableError(str(error)) from error

    def _of(self, body: Row, packet: Packet) -> Reading:
        if packet.content_type == STRUCTURED or "specversion" in body:
            return _event(body)
        if "stream" in packet.properties:
            return _flat(body, packet.properties)
        kind = body.get("MessageType")
        if kind is not None:
            return _network(body, str(kind))
        if "first" in body and "version" in body:
            return self._list(body)
        if "tag" in body:
            return self._columns(body)
        if "values" in body:
            return _plain(body)
        if "entries" in body or "devices" in body or "params" in body:
            return _of_cloud(body)
        if str(body.get("namespace", "")).startswith("iot.models.messages"):
            return _omp(_row(body["metadata"]), _row(body["payload"]))
        if "state" in body and "gateway" in body:
            return Reading(note=f"gateway {body['gateway']} is {body['state']}")
        if "seq" in body:
            return _flat(body, packet.properties)
        raise UnreadableError("JSON, but not of this gateway")

    def _list(self, body: Row) -> Reading:
        first, version = _number(body["first"]), str(body["version"])
        names = {first + n: str(_row(tag)["name"]) for n, tag in enumerate(_rows(body["tags"]))}
        self._lists.setdefault(version, {}).update(names)
        return Reading(str(body["stream"]), _number(body["seq"]), note=f"list {version} of {body['count']} tags")

    def _columns(self, body: Row) -> Reading:
        names = self._lists.get(str(body.get("tags")), {})
        numbers, values = [_number(each) for each in _rows(body["tag"])], _rows(body["value"])
        lacks = any(number not in names for number in numbers)
        return Reading(
            str(body["stream"]),
            _number(body["seq"]),
            [(names.get(number, f"tag {number}"), value) for number, value in zip(numbers, values, strict=True)],
            _latest(_column_times(body)),
            _gaps(body.get("gaps")),
            f"the list {body.get('tags')} is missing: the broker retains it below the topic at tags/#" if lacks else "",
            _whose(told if isinstance(told := body.get("time_source"), list) else [told]),
        )


def _flat(body: Row, properties: Row) -> Reading:
    """`flat`, with its usual keys."""
    told = {**properties, **body}
    members = ("timestamp", "status", "fields", "gaps", *(() if "seq" in properties else NUMBERS))
    whose = told.get("time_source")
    return Reading(
        str(told["stream"]), int(str(told["seq"])), [(name, body[name]) for name in body if name not in members],
        _instant(body.get("timestamp")), _gaps(body.get("gaps")),
        "from the server's history" if told.get("historical") else "", _whose([whose]),
    )  # fmt: skip


def _of_cloud(body: Row) -> Reading:
    """`sitewise`, `iotda` or `thing-model`."""
    values, times = list[tuple[str, object]](), list[datetime | None]()
    for entry in map(_row, _rows(body.get("entries", []))):
        for each in map(_row, _rows(entry["propertyValues"])):
            values.append((str(entry["propertyAlias"]), next(iter(_row(each["value"]).values()))))
            times.append(datetime.fromtimestamp(_number(_row(each["timestamp"])["timeInSeconds"]), UTC))
    for device in map(_row, _rows(body.get("devices", []))):
        for service in map(_row, _rows(device["services"])):
            values += [(f"{device['device_id']}/{name}", value) for name, value in _row(service["properties"]).items()]
            times.append(_instant(service["event_time"]))
    for name, value in _row(body.get("params", {})).items():
        at_ms = body.get("timestamp")
        if isinstance(value, dict) and value.keys() == {"value", "time"}:
            value, at_ms = value["value"], value["time"]
        values.append((name, value))
        times.append(datetime.fromtimestamp(_number(at_ms) / 1000, UTC) if at_ms is not None else None)
    return Reading(str(body["stream"]), _number(body["seq"]), values, _latest(iter(times)), _gaps(body.get("gaps")))


def _omp(metadata: Row, payload: Row) -> Reading:
    data = payload.get("data")
    values, times, whose = list[tuple[str, object]](), list[datetime | None](), frozenset[str]()
    if data is not None:
        row = _row(data)
        values = [(str(row["name"]), row["value"] if "value" in row else row.get("eventProperties"))]
        times, whose = [_instant(row.get("lastChangeTimestamp"))], _whose([row.get("timeSource")])
    stream, seq = str(metadata["stream"]), _number(_row(metadata["sequence"])["id"])
    return Reading(stream, seq, values, _latest(iter(times)), _gaps(payload.get("gaps")), time_sources=whose)


def _unpacked(packet: Packet) -> bytes:
    payload = packet.payload
    coding = packet.properties.get(PROPERTY) or next((c for m, c in _MAGIC.items() if payload.startswith(m)), "")
    try:
        if coding == "gzip":
            unpacking = zlib.decompressobj(wbits=31)
            payload = unpacking.decompress(payload, MOST_BYTES)
            if not unpacking.eof:
                raise UnreadableError("the gzip data is cut off or too long")
        elif coding == "zstd":
            payload = zstandard.ZstdDecompressor().decompress(payload, max_output_size=MOST_BYTES)
        elif coding:
            raise UnreadableError(f"unknown content encoding {coding!r}")
    except (zlib.error, zstandard.ZstdError) as error:
        raise UnreadableError(f"{coding}: {error}") from error
    return payload


def _is_map(payload: bytes) -> bool:
    """Whether it begins like a MessagePack map, as JSON never does."""
    return payload[:1] > b"\x7f" and (payload[0] & 0xF0 == 0x80 or payload[0] in (0xDE, 0xDF))


def _json(payload: bytes) -> object:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise UnreadableError(f"neither JSON nor MessagePack: {error}") from error


def _plain(body: Row) -> Reading:
    """`json`, or unpacked `msgpack`."""
    rows = [_row(each) for each in _rows(body["values"])]
    return Reading(
        str(body["stream"]),
        _number(body["seq"]),
        [(str(row["name"]), row["value"]) for row in rows],
        _latest(_instant(row.get("time")) for row in rows),
        _gaps(body.get("gaps")),
        "from the server's history" if body.get("historical") else "",
        _whose(row.get("time_source") for row in rows),
    )


def _column_times(body: Row) -> Iterator[datetime | None]:
    start = _instant(body.get("start"))
    for time in _rows(body["time"]):
        if isinstance(time, int):
            yield start + timedelta(microseconds=time / 10) if start is not None and time >= 0 else None
        else:
            yield _instant(time)


def _network(body: Row, kind: str) -> Reading:
    """`opcua-pubsub`."""
    if kind == "ua-status":
        status = _number(body["Status"])
        name = _STATUS[status] if 0 <= status < len(_STATUS) else str(status)
        return Reading(note=f"publisher {body['PublisherId']} is {name}")
    stream, seq = _identity(body["MessageId"])
    if kind == "ua-metadata":
        fields = _rows(_row(body["MetaData"])["Fields"])
        return Reading(stream, seq, note=f"metadata of {body['DataSetWriterName']}: {len(fields)} fields")
    if kind != "ua-data":
        raise UnreadableError(f"messages of type {kind} are not shown")
    message = _row(_rows(body["Messages"])[0])
    fields_ = _row(message.get("Payload") or {})
    frame = "keep-alive" if message.get("MessageType") == "ua-keepalive" else ""
    newest = _latest(_source_times(fields_)) or (_instant(message.get("Timestamp")) if fields_ else None)
    return Reading(stream, seq, _fields(fields_), newest, _gaps(message.get("Gaps")), frame, _whose_of(fields_))


def _event(event: Row) -> Reading:
    """`cloudevents`."""
    kind = str(event["type"])
    stream, seq = _identity(event["id"])
    data = _row(event.get("data") or {})
    if kind == "ua-metadata":
        return Reading(stream, seq, note=f"metadata of {event.get('subject')}: {len(_rows(data['Fields']))} fields")
    told = event.get("gaps")
    return Reading(
        stream, seq, _fields(data), _instant(event.get("time")) if data else None,
        _gaps(orjson.loads(told) if isinstance(told, str) else told), "keep-alive" if kind == "ua-keepalive" else "",
        _whose_of(data),
    )  # fmt: skip


def _fields(data: Row) -> list[tuple[str, object]]:
    """A field is a DataValue with its value in `Value`, or the value alone."""
    return [(name, _value(each)) for name, each in data.items()]


def _value(each: object) -> object:
    is_data_value = isinstance(each, dict) and ("Value" in each or "SourceTimestamp" in each or "StatusCode" in each)
    return each.get("Value") if is_data_value and isinstance(each, dict) else each


def _source_times(data: Row) -> Iterator[datetime | None]:
    for each in data.values():
        if isinstance(each, dict):
            yield _instant(each.get("SourceTimestamp"))


def _whose_of(data: Row) -> frozenset[str]:
    return _whose(each.get("TimeSource") for each in data.values() if isinstance(each, dict))


def _whose(told: Iterable[object]) -> frozenset[str]:
    return frozenset(str(each) for each in told if each and each != "source")


def _identity(text: object) -> tuple[str, int]:
    """Stream and number from `<stream>#<seq>`."""
    stream, _, seq = str(text).rpartition("#")
    return stream, int(seq)


def _gaps(told: object) -> list[str]:
    return [f"{_row(gap)['cause']}: {_row(gap).get('detail', '')}" for gap in _rows(told or [])]


def _latest(times: Iterator[datetime | None]) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else None


def _row(value: object) -> Row:
    if not isinstance(value, dict):
        raise UnreadableError("expected an object")
    return value


def _rows(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise UnreadableError("expected an array")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise UnreadableError("expected an integer")
    return value
