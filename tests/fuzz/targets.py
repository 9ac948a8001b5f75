"""What is fuzzed: each target takes any bytes, and only the declared errors may come out of the code behind it.

    publish      a PublishResponse → columns, events, gaps → a JSON message
    structures   data type definitions of a hostile server, and values of these types
    answers      responses the library decodes: Read, Browse, CreateMonitoredItems
    mqtt         what a broker sends to the lean session, cut anywhere
    requests     what a stranger sends as a command
    segment      a segment of the outbox: whole records, damaged, repeated, moved, cut

Pure functions of the input, without the fuzzer: a unit test runs the same with inputs that once found something.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mqtt5
import numpy as np
import orjson
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from gateway.errors import Unavailable
from gateway.metrics import Metrics
from gateway.model import Message, Priority, Tag
from gateway.mqtt.dial import parse
from gateway.mqtt.lean import LeanSink
from gateway.mqtt.sink import SessionSettings
from gateway.opcua.codec.columns import read_changes
from gateway.opcua.codec.decode import DATA_CHANGE, Notification, Published, read_publish, read_response_header
from gateway.opcua.codec.read_values import read_answer
from gateway.opcua.codec.references import read_pages
from gateway.opcua.codec.standard import DEFINITIONS, STANDARD_STRUCTURES, STRUCTURE_DEFINITION
from gateway.opcua.codec.wire import Dialect, Malformed, Reader, StructureReader
from gateway.opcua.session.asyncua_edge import patch_asyncua, peer_errors
from gateway.opcua.space.event_filters import DEFAULT_FIELDS, EventFilter
from gateway.opcua.space.selection import Asked, Item, Table
from gateway.opcua.space.structures import Definition, built_in, definition_of, readers_of
from gateway.opcua.subscription.batches import BatchBuilder
from gateway.opcua.subscription.monitoring import read_created
from gateway.outbox.record import CHECKPOINT, Decoder, Encoder, Stamp, entries
from gateway.outbox.scan import read_header, read_items, read_tail
from gateway.outbox.segment import Header, encode_header, name_of, salt_of
from gateway.payload.forms import json_column
from gateway.payload.json import JsonEncoder
from gateway.payload.splitting import FormatSettings, SizeLimits
from gateway.values import Structure
from tests.bench.fuzz_decode import seeds as publish_responses
from tests.fuzz import requests
from tests.support import opcua_wire as wire
from tests.support.definitions import told
from tests.support.disk import Disk, Inode
from tests.support.mqtt_fake import puback
from tests.support.mqtt_sessions import Wire

URIS = ("http://opcfoundation.org/UA/", "urn:x")
HANDLES = 64
RECORDED = Path(__file__).parent / "recorded"
"""What servers of three stacks answered (`tests/fuzz/record.py`)."""
EVENTS_FROM = 60
"""Handles from here on are notifiers."""


@dataclass(frozen=True)
class Target:
    """Something that must stand any input."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    covers: tuple[str, ...]
    """The files under test."""
    most_bytes: int = 4096


class Choices:
    """Decisions read from an input, for targets whose input is not bytes; an input that has ended decides 0."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, below: int) -> int:
        size = 1 if below <= 0x100 else 4
        taken = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken, "little") % below

    def octets(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        return self.octets(len(self._data))

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)


def recorded(name: str) -> list[bytes]:
    """Responses of real servers, for this target."""
    return [bytes.fromhex(line) for line in (RECORDED / f"{name}.hex").read_text(encoding="ascii").splitlines()]


# -- publish ---------------------------------------------------------------------------------------------------------

_TAGS = tuple(Tag(f"t{n}", f"nsu=urn:x;i={n}", {"machine": "m"}) for n in range(HANDLES))
_ITEMS = tuple(
    Item(tag.node_id, Asked(100.0, 2, events=EventFilter(DEFAULT_FIELDS) if n >= EVENTS_FROM else None))
    for n, tag in enumerate(_TAGS)
)
_METRICS = Metrics().for_source("fuzz")
_JSON = JsonEncoder(FormatSettings("fuzz", "f/{machine}", "fuzz", SizeLimits(100), server_time=True))


def publish(data: bytes) -> None:
    """The whole way of a response, to the bytes of the messages."""
    _deliver(data, Dialect(URIS, _KNOWN))


def _deliver(body: bytes, dialect: Dialect) -> None:
    try:
        published = read_publish(body)
    except Malformed:
        return
    batch = BatchBuilder("fuzz", Table(_TAGS, _ITEMS), _METRICS, dialect).build(published, ())
    rows = len(batch.handles)
    assert rows == len(batch.values) == len(batch.types) == len(batch.statuses) == len(batch.source_ticks)
    assert not rows or int(np.max(batch.handles)) < HANDLES
    for message in _JSON.encode(batch, lambda stream: 1):
        assert message.payload


_KINDS = {f"i={n}": built_in(f"i={n}", 24) for n in range(1, 26)}


def _known() -> dict[str, StructureReader]:
    """The structures of an honest server."""
    definitions = {
        "i=100": _definition("i=100", 0, [("x", "i=11", -1, False), ("name", "i=12", -1, False)]),
        "i=101": _definition("i=101", 1, [("a", "i=6", 1, True), ("b", "i=100", -1, True), ("c", "i=24", -1, True)]),
        "i=102": _definition("i=102", 2, [("n", "i=8", -1, False), ("p", "i=100", 1, False)]),
    }
    kinds = _KINDS | dict.fromkeys(definitions, 22)
    return readers_of(definitions, {f"i={n + 100}": f"i={n}" for n in (100, 101, 102)}, kinds)


def _definition(text: str, kind: int, fields: list[tuple[str, str, int, bool]]) -> Definition:
    said = ua.StructureDefinition()
    said.StructureType = ua.StructureType(kind)
    said.Fields = [_field(*field) for field in fields]
    made = definition_of(text, told(said, URIS))
    assert made is not None
    return made


@cache
def _field(name: str, data_type: str, rank: int, optional: bool) -> ua.StructureField:
    field = ua.StructureField()
    field.Name, field.ValueRank, field.IsOptional = name, ua.Int32(rank), optional
    field.DataType = ua.NodeId(ua.Int32(int(data_type.removeprefix("i="))), ua.Int16(0))
    return field


_KNOWN = _known()


def _publish_seeds() -> list[bytes]:
    structures = [
        (200, wire.double(1.0)[1:] + wire.text("x")),
        (201, struct.pack("<Iiii", 1, 2, 7, 8)),
        (201, struct.pack("<I", 6) + wire.double(2.0)[1:] + wire.text("y") + wire.double(3.0)),
        (202, struct.pack("<Ii", 2, 1) + wire.double(4.0)[1:] + wire.text("z")),
    ]
    items = [wire.item(n, b"\x16" + wire.extension(kind, body)) for n, (kind, body) in enumerate(structures)]
    event = (
        struct.pack("<Ii", EVENTS_FROM, 5) + wire.string("id") + wire.string("t") * 3 + b"\x0d" + struct.pack("<q", 9)
    )
    events = wire.extension(916, struct.pack("<i", 1) + event)
    return [*recorded("publish"), *publish_responses(), wire.publish_response([wire.data_change(items), events])]


# -- structures ------------------------------------------------------------------------------------------------------

_MOST_TYPES, _MOST_FIELDS, _MOST_OCTETS = 8, 6, 64
"""Few and small, because each octet of a value may be a structure that holds others.  That many types and long values
cost no more than their bytes is in the unit tests."""


def structures(data: bytes) -> None:
    """First the server's types, then a value of one of them and its JSON."""
    choices = Choices(data)
    texts = [f"i={1000 + n}" for n in range(1 + choices.number(_MOST_TYPES))]
    definitions = {}
    for text in texts:
        made = definition_of(text, told(_hostile(choices, len(texts)), URIS))
        if made is not None:
            definitions[text] = made
    kinds = _KINDS | dict.fromkeys(texts, 22)
    readers = readers_of(definitions, {text: text for text in texts}, kinds)
    asked, octets = choices.number(len(texts)), choices.rest()[:_MOST_OCTETS]
    body = wire.data_change([wire.item(1, b"\x16" + wire.extension(1000 + asked, octets))])[9:]
    changes = read_changes(Published(body, 1, ()), Notification(DATA_CHANGE, 0, len(body)), Dialect(URIS, readers))
    assert len(changes.values) == 1
    orjson.dumps(json_column(changes.types, changes.values))


def _hostile(choices: Choices, types: int) -> ua.StructureDefinition:
    said = ua.StructureDefinition()
    said.StructureType = ua.StructureType(choices.number(5))
    said.Fields = []
    for number in range(choices.number(_MOST_FIELDS + 1)):
        kind, rank = choices.number(2), choices.number(8)
        data_type = f"i={1000 + choices.number(types)}" if kind else f"i={1 + choices.number(30)}"
        name = f"f{number % 7}"
        said.Fields.append(_field(name, data_type, {6: 1, 7: 2}.get(rank, -1), bool(choices.number(2))))
    return said


def _structures_seeds() -> list[bytes]:
    """A plain type; types in types, with optional fields and arrays; empty types in types, many times."""
    plain = bytes([0, 0, 2, 0, 0, 10, 0, 0, 0, 11, 0, 0]) + struct.pack("<d", 1.0) + wire.text("x")
    inner = bytes([2, 0, 1, 1, 0, 1, 0]) + bytes([1, 2, 1, 6, 2, 1, 0, 0, 5, 0]) + bytes([2, 1, 0, 0, 5, 0]) + bytes(40)
    doubled = bytes([7]) + b"".join(bytes([0, 2, 1, 0, n, 0, 1, 0, n, 0]) for n in range(1, 8)) + bytes(50)
    return [plain, inner, doubled]


# -- answers ---------------------------------------------------------------------------------------------------------

_ANSWERS: tuple[type, ...] = (object, ua.CallResponse, ua.CreateSessionResponse)
"""What the library decodes; the first kind stands for a ReadResponse, which it does not."""


def answers(data: bytes) -> None:
    """The first byte says what was asked."""
    patch_asyncua()
    kind, body = (data[0] % (len(_ANSWERS) + 2) if data else 0), data[1:]
    try:
        with peer_errors("fuzz", "here"):
            if 0 < kind < len(_ANSWERS):
                struct_from_binary(_ANSWERS[kind], Buffer(body))
                return
            r = Reader(body, 0, len(body), Dialect(URIS, {**STANDARD_STRUCTURES, **DEFINITIONS}))
            read_response_header(r)
            if not kind:
                answer = read_answer(r, int.from_bytes(body[r.pos : r.pos + 4], "little"))
                for value in (each.good for each in answer):
                    if isinstance(value, Structure) and value.type_id == STRUCTURE_DEFINITION:
                        definition_of("i=1", value)
                return
            if kind == len(_ANSWERS):
                assert all(each.name.encode() or each.node for page in read_pages(r, URIS) for each in page.references)
            else:
                read_created(r)
    except Unavailable:
        return


def _answers_seeds() -> list[bytes]:
    head = struct.pack("<BBH", 1, 0, 634) + wire.RESPONSE_HEADER
    values = [
        wire.double(1.0), wire.string("x"), b"\x86" + struct.pack("<iii", 2, 1, 2), b"\x80" + struct.pack("<i", 1),
        b"\xc6" + struct.pack("<i4i", 4, *range(4)) + struct.pack("<iii", 2, 2, 2),
        b"\x16" + wire.extension(889, wire.text("urn:u") + struct.pack("<i", 1) + b"\x02" + wire.text("C") + b"\x00"),
    ]  # fmt: skip
    read = head + struct.pack("<i", len(values)) + b"".join(b"\x01" + value for value in values) + struct.pack("<i", -1)
    reference = b"\x00\x23\x01" + b"\x03\x01\x00" + wire.text("a") + b"\x01\x00" + wire.text("a")
    reference += b"\x02" + wire.text("a") + struct.pack("<i", 2) + b"\x00\x3f"
    browse = wire.RESPONSE_HEADER + struct.pack("<iIii", 1, 0, -1, 1) + reference + struct.pack("<i", -1)
    item = struct.pack("<IIdI", 0, 7, 100.0, 2) + b"\x00\x00\x00"
    created = wire.RESPONSE_HEADER + struct.pack("<i", 2) + item * 2 + struct.pack("<i", -1)
    return [*recorded("answers"), b"\x00" + read, b"\x03" + struct.pack("<BBH", 1, 0, 530) + browse,
            b"\x04" + struct.pack("<BBH", 1, 0, 754) + created]  # fmt: skip


# -- mqtt ------------------------------------------------------------------------------------------------------------

_TERMS = SessionSettings("fuzz", None, None, keep_alive_s=60, ack_timeout_s=60.0, window=1000)


def mqtt(data: bytes) -> None:
    """The first byte says how the rest is cut and whether the session has been accepted."""
    _runner().run(_session(data[1:], data[0] if data else 0))


@cache
def _runner() -> asyncio.Runner:
    """One loop for all inputs: a new one takes longer than most inputs."""
    return asyncio.Runner()


@cache
def _closed() -> socket.socket:
    """In the place of the connection's: nothing can be asked of it."""
    unused = socket.socket()
    unused.close()
    return unused


async def _session(data: bytes, how: int) -> None:
    sink = LeanSink(_closed(), parse("mqtt://broker"), _TERMS)
    sink.connection_made(Wire())
    if how & 1:
        sink.data_received(mqtt5.ConnAckPacket().write())
        opened = [sink.send(Message("t", b"x", "s", n, 1)) for n in range(3)]
    step = (how >> 1) or max(1, len(data))
    for start in range(0, len(data), step):
        sink.data_received(data[start : start + step])
    sink.connection_lost(None)
    assert sink.in_flight.is_broken
    assert sink.accepted.done()
    assert not how & 1 or all(future.done() for future in opened)


def _mqtt_seeds() -> list[bytes]:
    accepted = mqtt5.ConnAckPacket(receive_max=20, max_packet_size=1000, reason_str="hello").write()
    goodbye = mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SERVER_BUSY, reason_str="later").write()
    verdicts = b"".join(
        puback(n, code, reason) for n, (code, reason) in enumerate([(0, ""), (0x10, ""), (0x95, "no")], 1)
    )
    return [
        b"\x00" + accepted + goodbye, b"\x01" + verdicts + goodbye, b"\x07" + verdicts, b"\x01\xd0\x00\xf0\x00",
        b"\x01" + b"\x40\xff\xff\xff\x7f", b"\x00\x20\x02\x00\x05",
    ]  # fmt: skip


# -- segment ---------------------------------------------------------------------------------------------------------

_FOLDER = Path("/fuzz")


def segment(data: bytes) -> None:
    """Whole records by the first choices, then damage by the others; what is read back must be in order."""
    choices = Choices(data)
    lane = choices.number(3)
    octets = bytearray(_written(choices, lane))
    while not choices.is_over and octets:
        _damage(octets, choices)
    disk = Disk()
    disk.names[_FOLDER / name_of(lane, 0)] = Inode(octets)
    files = disk.files()
    tail = read_tail(files, _FOLDER, (lane, 0), read_header(files, _FOLDER, lane, 0), None, 0)
    items, holes = read_items(files, _FOLDER, tail.segment)
    numbers = [item.number for item in items]
    assert numbers == sorted(set(numbers))
    assert all(hole.number < hole.until and hole.values >= 0 for hole in holes)
    decoder, kept = Decoder(), bytes(octets)
    for at, entry in entries(kept, 0, salt_of(name_of(lane, 0))):
        if entry.kind != CHECKPOINT:
            assert decoder.message(kept, at, entry).topic == "t/x"


def _written(choices: Choices, lane: int) -> bytes:
    salt, encoder = salt_of(name_of(lane, 0)), Encoder(deflate=bool(choices.number(2)))
    header = Header(epoch="e", lane=lane, first=0, previous_end=0, values_before=0, appended_ns=0, clock_ns=0)
    parts, number, values = [encode_header(header)], 0, 0
    for _ in range(choices.number(8)):
        stamp = Stamp(lane, number, values, 0, number)
        if choices.number(4) == 0:
            parts += encoder.checkpoint("s", choices.octets(choices.number(20)), number, stamp, salt)
            continue
        body = choices.octets(choices.number(30)) + b"\xf0Rc1" * choices.number(2)
        message = Message("t/x", body, "s", number + 1, choices.number(5), priority=Priority(lane))
        parts += encoder.message(message, stamp, salt, last=bool(choices.number(2)))
        number, values = number + 1, values + message.values
    return b"".join(parts)


def _damage(octets: bytearray, choices: Choices) -> None:
    kind, at, size = choices.number(5), choices.number(len(octets)), 1 + choices.number(64)
    if kind == 0:
        octets[at] ^= 1 << choices.number(8)
    elif kind == 1:
        octets[at : at + size] = bytes(size)
    elif kind == 2:
        del octets[at : at + size]
    elif kind == 3:
        octets[at:at] = octets[at : at + 4 * size]
    else:
        octets[at : at + size] = choices.octets(size)


def _segment_seeds() -> list[bytes]:
    whole = bytes([0, 0, 7]) + bytes([1, 5]) + b"aaaaa" + bytes([0, 3, 1]) * 6
    return [whole, whole + bytes([0, 200, 0, 0, 0, 1, 3]), bytes([2, 1, 5]) + bytes([0, 4]) + b"mark" + whole]


_DECODER = ("gateway/opcua/codec/columns.py", "gateway/opcua/codec/decode.py", "gateway/opcua/codec/wire.py")
TARGETS: Mapping[str, Target] = {
    "publish": Target(
        publish,
        _publish_seeds,
        (*_DECODER, "gateway/opcua/space/event_filters.py", "gateway/opcua/subscription/batches.py"),
    ),
    "structures": Target(structures, _structures_seeds, (*_DECODER, "gateway/opcua/space/structures.py"), 512),
    "answers": Target(
        answers,
        _answers_seeds,
        tuple(f"gateway/opcua/{n}.py" for n in ("session/asyncua_edge", "codec/references", "subscription/monitoring")),
    ),
    "mqtt": Target(
        mqtt,
        _mqtt_seeds,
        tuple(f"gateway/mqtt/{n}.py" for n in ("lean", "answers", "inbound", "packets", "inflight", "properties")),
        1024,
    ),
    "requests": Target(
        requests.run,
        requests.seeds,
        tuple(f"gateway/commands/{n}.py" for n in ("request", "strict_json", "arrival", "values", "limits", "forms")),
        1024,
    ),
    "segment": Target(segment, _segment_seeds, ("gateway/outbox/scan.py", "gateway/outbox/record.py"), 1024),
}
