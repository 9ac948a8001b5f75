"""What watchers see: every format read back, with whatever cannot be read said in words."""

import dataclasses
import gzip
from collections.abc import Iterator

import numpy as np
import pytest
from msgspec.structs import replace

from gateway.delivery import Packet
from gateway.model import Batch, Gap, Message
from gateway.payload.choose import encoder_for
from gateway.payload.read import PayloadReader, Reading, UnreadableError
from tests.support.payloads import TICKS, Counting, batch_of, config_of

GAP = Gap("server_overflow", "the server's queue ran over", count=3, handles=(0,))
VARIANTS: dict[str, dict[str, object]] = {
    "json": {"format": "json"},
    "json gzip": {"format": "json", "compress": "gzip"},
    "json zstd": {"format": "json", "compress": "zstd"},
    "msgpack": {"format": "msgpack"},
    "msgpack zstd": {"format": "msgpack", "compress": "zstd"},
    "json-columns": {"format": "json-columns"},
    "pubsub verbose": {"format": "opcua-pubsub", "pubsub": {"encoding": "verbose"}},
    "pubsub compact": {"format": "opcua-pubsub", "pubsub": {"encoding": "compact"}},
    "pubsub raw": {"format": "opcua-pubsub", "pubsub": {"encoding": "raw"}},
    "pubsub gzip": {"format": "opcua-pubsub", "compress": "gzip"},
    "cloudevents binary": {"format": "cloudevents"},
    "omp": {"format": "omp"},
    "flat": {"format": "flat"},
    "flat inside": {"format": "flat", "flat": {"numbers": "payload"}},
    "cloudevents structured": {"format": "cloudevents", "cloudevents": {"mode": "structured"}},
}
NEED_MQTT_5 = ("cloudevents binary", "flat")


def packet_of(message: Message, version_5: bool = True) -> Packet:
    if not version_5:
        return Packet(message.topic, message.payload)
    return Packet(message.topic, message.payload, message.content_type, dict(message.properties))


def encoded(payload: dict[str, object], *batches: Batch) -> Iterator[Message]:
    form, counting = encoder_for(config_of(payload), "line-1", "edge.k3x9q2"), Counting()
    for batch in batches:
        yield from counting.append(form.encode(batch, counting.next_seq))


def readings(payload: dict[str, object], version_5: bool, *batches: Batch) -> list[tuple[Message, Reading]]:
    reader = PayloadReader()
    return [(made, reader.read(packet_of(made, version_5))) for made in encoded(payload, *batches)]


@pytest.mark.parametrize(
    ("variant", "version_5"),
    [
        (v, v5) for v in VARIANTS for v5 in (True, False) if v5 or v not in ("cloudevents binary", "flat")
    ],  # these need MQTT 5
)
def test_every_format_is_read_back(variant: str, version_5: bool) -> None:
    batch = batch_of([(11, 61.5), (12, "on")], gaps=(GAP,))
    got = readings(VARIANTS[variant], version_5, batch)
    assert [(r.stream, r.seq) for _, r in got] == [(made.stream, made.seq) for made, _ in got]
    data = [reading for made, reading in got if made.values]
    assert [value for reading in data for value in reading.values] == [("tag0", 61.5), ("tag1", "on")]
    assert any("server_overflow: the server's queue ran over" in reading.gaps for _, reading in got)
    newest = max(reading.newest for reading in data if reading.newest is not None)
    if variant != "pubsub raw":  # there values have no times; that of the message is told
        assert newest.isoformat() == "2025-08-18T14:13:20.123456+00:00"


def test_columns_without_their_tag_list_are_shown_by_number_and_marked() -> None:
    data = [made for made in encoded(VARIANTS["json-columns"], batch_of([(11, 61.5)])) if made.values]
    reading = PayloadReader().read(packet_of(data[0]))
    assert reading.values == [("tag 0", 61.5)]
    assert "is missing" in reading.note


def test_a_field_that_looks_like_a_data_value_only_in_part_is_a_value() -> None:
    body = b'{"MessageId": "s#1", "MessageType": "ua-data", "Messages": [{"Payload": {"a": {"x": 1}, "b": 2}}]}'
    assert PayloadReader().read(Packet("t", body)).values == [("a", {"x": 1}), ("b", 2)]


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (b'{"gateway": "edge-1", "state": "online"}', "gateway edge-1 is online"),
        (b'{"MessageType": "ua-status", "PublisherId": "edge-1", "Status": 3}', "publisher edge-1 is error"),
    ],
)
def test_presence_is_shown_as_text_and_has_no_stream(body: bytes, note: str) -> None:
    reading = PayloadReader().read(Packet("t", body))
    assert (reading.note, reading.stream) == (note, "")


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (Packet("t", b"21.5 degrees"), "neither JSON nor MessagePack"),
        (Packet("t", b"[1]"), "expected an object"),
        (Packet("t", b'{"a": 1}'), "not of this gateway"),
        (Packet("t", b'{"values": [], "seq": 1}'), "no 'stream'"),
        (Packet("t", b'{"values": 3, "stream": "s", "seq": 1}'), "expected an array"),
        (Packet("t", b'{"values": [], "stream": "s", "seq": "1"}'), "expected an integer"),
        (Packet("t", b"\x1f\x8b\x08garbage"), "gzip"),
        (Packet("t", b"\x28\xb5\x2f\xfdgarbage"), "zstd"),
        (Packet("t", b"{}", properties={"content-encoding": "br"}), "unknown content encoding 'br'"),
        (Packet("t", b"\xc1", "application/msgpack"), "MessagePack"),
        (Packet("t", b'{"MessageType": "ua-action", "MessageId": "s#1"}'), "ua-action are not shown"),
        (Packet("t", b""), "neither JSON nor MessagePack"),
    ],
)
def test_an_unreadable_message_says_why(packet: Packet, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        PayloadReader().read(packet)


def test_a_small_payload_that_unpacks_to_too_much_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(100 * 2**20))
    with pytest.raises(UnreadableError, match="too long"):
        PayloadReader().read(Packet("t", bomb))


def test_unknown_members_are_accepted() -> None:
    made = next(encoded(VARIANTS["json"], batch_of([(11, 1.0)], ticks=[TICKS])))
    packet = packet_of(replace(made, payload=made.payload[:-1] + b',"more":1}'))
    assert PayloadReader().read(packet).seq == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_format_marks_the_origin_of_the_times(variant: str) -> None:
    """Two of three values have no time of their source."""
    batch = batch_of([(11, 61.5), (12, "on"), (6, 7)])
    for sources in ([0, 1, 2], [1, 1, 1], None):
        timed = None if sources is None else np.array(sources, np.uint8)
        got = readings(VARIANTS[variant], True, dataclasses.replace(batch, time_sources=timed))
        expected = {0: set(), 1: {"server"}, 2: {"receipt"}}
        whose = set().union(*(expected[source] for source in sources or ())) if variant != "pubsub raw" else set()
        assert set().union(*(reading.time_sources for _, reading in got)) == whose
        oldest = [made.oldest_ticks for made, _ in got if made.values]
        assert min(oldest) == TICKS
        assert variant in ("omp", "flat", "flat inside") or set(oldest) == {TICKS}  # these have a message for each time
