"""MessagePack, gzip and Zstandard: what comes out is what `json` says, read by other means than it was written."""

import gzip
import json
import struct

import jsonschema
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Batch, Loss, Message
from gateway.payload.compressed import compressor
from gateway.payload.json import JsonEncoder, announcement, json_schema
from gateway.payload.msgpack import MsgpackEncoder, msgpack_announcement
from gateway.payload.splitting import FormatSettings, SizeLimits
from tests.support.payloads import Counting, batch_of, batches

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
LOSS = Loss(1, "e/line-1/f", 3, 5, 3, 30, "outbox_full", 10**18, 10**18, ("broker",))
NUMBERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
           0xCA: ">f", 0xCB: ">d"}  # fmt: skip
LENGTHS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}


def unpack(data: bytes, at: int = 0) -> tuple[object, int]:
    """One object and where it ends, after the MessagePack specification (2013), without bin and ext."""
    first = data[at]
    if first < 0x80 or first >= 0xE0:
        return (first if first < 0x80 else first - 256), at + 1
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], at + 1
    if first in NUMBERS:
        size = struct.calcsize(NUMBERS[first])
        return struct.unpack(NUMBERS[first], data[at + 1 : at + 1 + size])[0], at + 1 + size
    if first < 0xC0:
        kind, length, at = (first >> 4, first & 15, at + 1) if first < 0xA0 else (10, first & 31, at + 1)
    else:
        size = struct.calcsize(LENGTHS[first])
        length = struct.unpack(LENGTHS[first], data[at + 1 : at + 1 + size])[0]
        kind, at = (10 if first <= 0xDB else 9 if first <= 0xDD else 8), at + 1 + size
    if kind == 10:
        return data[at : at + length].decode(), at + length
    found = []
    for _ in range(length * (2 if kind == 8 else 1)):
        each, at = unpack(data, at)
        found.append(each)
    return (dict(zip(found[::2], found[1::2], strict=True)) if kind == 8 else found), at


def whole(data: bytes) -> object:
    body, end = unpack(data)
    assert end == len(data)
    return body


def encoded(form: type[JsonEncoder] | type[MsgpackEncoder], batch: Batch) -> list[Message]:
    counting = Counting()
    return counting.append(
        form(FormatSettings("e", "f/{machine}", "edge", server_time=True)).encode(batch, counting.next_seq)
    )


@settings(max_examples=50)
@given(batches())
def test_unpacked_msgpack_is_the_object_of_json(batch: Batch) -> None:
    for packed, plain in zip(encoded(MsgpackEncoder, batch), encoded(JsonEncoder, batch), strict=True):
        assert whole(packed.payload) == json.loads(plain.payload)
        assert packed.content_type == "application/msgpack"
        assert (packed.topic, packed.stream, packed.seq, packed.values) == (
            plain.topic, plain.stream, plain.seq, plain.values,
        )  # fmt: skip


def test_long_texts_and_many_values_are_packed_correctly() -> None:
    batch = batch_of([(12, "x" * length) for length in (31, 32, 255, 256, 70_000)] * 5)
    (packed,) = MsgpackEncoder(FormatSettings("e", "f", "edge", SizeLimits(1000, 10**7))).encode(
        batch, lambda stream: 1
    )
    body = whole(packed.payload)
    VALIDATOR.validate(body)


def test_a_loss_is_packed_as_well() -> None:
    plain, packed = announcement(LOSS, LOSS.stream, "f", 9), msgpack_announcement(LOSS, LOSS.stream, "f", 9)
    assert whole(packed.payload) == json.loads(plain.payload)


@given(st.binary(max_size=2000))
def test_a_compressed_payload_is_restored(payload: bytes) -> None:
    message = Message("t", payload, "s", 1, 1, properties=(("a", "b"),))
    zipped, packed = compressor("gzip")(message), compressor("zstd")(message)
    assert gzip.decompress(zipped.payload) == payload
    assert zstandard.ZstdDecompressor().decompress(packed.payload) == payload
    assert zipped.payload[:2] == b"\x1f\x8b"
    assert packed.payload[:4] == b"\x28\xb5\x2f\xfd"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_the_content_encoding_is_added_to_the_properties(coding: str) -> None:
    message = Message("t", b"x", "s", 7, 1, properties=(("a", "b"),), retain=True)
    made = compressor("gzip" if coding == "gzip" else "zstd")(message)
    assert made.properties == (("a", "b"), ("content-encoding", coding))
    assert (made.content_type, made.seq, made.retain) == ("application/json", 7, True)
    assert made.payload == compressor("gzip" if coding == "gzip" else "zstd")(message).payload
