"""A value costs at most itself: too large, not as it should be, among others that are read."""

import struct
import uuid

import numpy as np
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

import gateway.opcua.codec.value as one_value
import gateway.opcua.codec.wire as codec
from gateway.metrics import Metrics
from gateway.model import IS_ARRAY, Tag
from gateway.opcua.codec.columns import Changes, read_changes
from gateway.opcua.codec.decode import read_publish
from gateway.opcua.codec.value import BAD_ENCODING_LIMITS_EXCEEDED, skip_variant
from gateway.opcua.codec.wire import Dialect, Malformed, Reader, read_elements, read_variant
from gateway.opcua.space.event_filters import read_events
from gateway.opcua.space.selection import Asked, Item, Table
from gateway.opcua.subscription.batches import BatchBuilder
from gateway.opcua.subscription.history import _answer, _columns
from gateway.opcua.subscription.reading import read_results
from gateway.values import RawStructure, Structure, Typed
from tests.support import opcua_wire as wire

DIALECT = Dialect(("http://opcfoundation.org/UA/", "urn:server", "urn:plant"))

FIXED = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 4, 11: 8, 13: 8, 19: 4}
ELEMENTS = {
    12: [wire.text("ab"), wire.text(None), wire.text("")],
    14: [uuid.UUID(int=5).bytes_le],
    15: [wire.text("xy")],
    16: [wire.text("<a/>")],
    17: [b"\x00\x07", b"\x01\x02\x03\x04", b"\x02" + bytes(6), b"\x03\x02\x00" + wire.text("s"),
         b"\x04\x02\x00" + bytes(16), b"\x05\x02\x00" + wire.text("o")],
    18: [b"\x00\x07", b"\xc1\x02\x03\x04" + wire.text("urn:x") + bytes(4)],
    20: [b"\x02\x00" + wire.text("q")],
    21: [b"\x00", b"\x03" + wire.text("de") + wire.text("x"), b"\x02" + wire.text("y")],
    22: [b"\x00\x00\x00", b"\x00\x05\x00", b"\x01\x02\x05\x00\x01" + wire.text("body"),
         b"\x00\x05\x02" + wire.text("<v/>")],
    23: [b"\x00", b"\x3f" + wire.double(1.0) + bytes(4 + 8 + 2 + 8 + 2), b"\x15" + wire.string("n") + bytes(10)],
    24: [b"\x00", wire.double(2.0), b"\x8c" + struct.pack("<i", 1) + wire.text("a"), b"\x86" + struct.pack("<i", -1)],
    25: [b"\x00", b"\x61" + bytes(4) + bytes(4) + b"\x01" + bytes(4)],
    27: [wire.text("kept")],
}  # fmt: skip
"""Elements of each built-in type that has no fixed size, in every form it may take."""


def array(kind: int, elements: list[bytes], dimensions: tuple[int, ...] = ()) -> bytes:
    tail = struct.pack(f"<{len(dimensions) + 1}i", len(dimensions), *dimensions) if dimensions else b""
    flags = 0xC0 if dimensions else 0x80
    return bytes([kind | flags]) + struct.pack("<i", len(elements)) + b"".join(elements) + tail


@st.composite
def variants(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from([*FIXED, *ELEMENTS]))
    forms = ELEMENTS.get(kind) or [b"\x01" * FIXED[kind]]
    if draw(st.booleans()):
        return bytes([kind]) + draw(st.sampled_from(forms))
    elements = draw(st.lists(st.sampled_from(forms), max_size=6))
    return array(kind, elements, (len(elements), 1) if draw(st.booleans()) else ())


@given(variants(), st.binary(max_size=9))
@settings(deadline=None)
def test_skipping_a_value_ends_where_reading_it_ends(body: bytes, tail: bytes) -> None:
    read, skipped = (Reader(body + tail, 0, len(body + tail), DIALECT) for _ in range(2))
    read_variant(read)
    skip_variant(skipped)
    assert read.pos == skipped.pos == len(body)


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_skipping_stays_within_the_bytes(body: bytes) -> None:
    r = Reader(body, 0, len(body), DIALECT)
    try:
        skip_variant(r)
    except Malformed:
        return
    assert r.pos <= len(body)


def changes_of(*items: bytes) -> Changes:
    published = read_publish(wire.publish_response([wire.data_change(items)]))
    return read_changes(published, published.notifications[0], DIALECT)


@pytest.mark.parametrize("kind", ELEMENTS)
def test_a_value_that_is_too_large_affects_no_other_and_is_named(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_ELEMENTS", 20)
    large, small = array(kind, ELEMENTS[kind] * 21), array(kind, ELEMENTS[kind][:1] * 15)
    changes = changes_of(
        wire.item(1, wire.double(1.0)), wire.item(2, small), wire.item(3, large, None, 7),
        wire.item(4, large, wire.BAD_SENSOR), wire.item(5, wire.double(5.0)),
    )  # fmt: skip
    assert changes.handles.tolist() == [1, 2, 3, 4, 5]
    assert (changes.values[0], changes.values[2], changes.values[3], changes.values[4]) == (1.0, None, None, 5.0)
    assert changes.values[1] is not None
    assert changes.statuses.tolist() == [0, 0, BAD_ENCODING_LIMITS_EXCEEDED, wire.BAD_SENSOR, 0]
    assert changes.source_ticks.tolist() == [0, 0, 7, 0, 0]
    assert (changes.spoiled, changes.lost, changes.culprits) == (2, 0, (3, 4))


def test_arrays_of_fixed_size_are_bounded_by_their_bytes() -> None:
    """Twenty arrays of 65 536 floats in one message, and what follows them."""
    wave = array(10, []) [:1] + struct.pack("<i", 65_536) + np.arange(65_536, dtype="<f4").tobytes()  # fmt: skip
    changes = changes_of(*[wire.item(n, wave, None, 5) for n in range(20)], wire.item(20, wire.double(1.5)))
    assert changes.handles.tolist() == list(range(21))
    assert (changes.spoiled, changes.lost) == (0, 0)
    assert [value[-1] for value in changes.values[:20] if isinstance(value, list)] == [65_535.0] * 20


def test_a_structure_that_is_too_large_keeps_its_bytes_and_leaves_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "MAX_ELEMENTS", 20)

    def of_21(r: Reader) -> Structure:
        return Structure("i=4", {"x": Typed(12 | IS_ARRAY, read_elements(r, 12, 21))})

    known, structure = Dialect(DIALECT.uris, {"i=5": of_21}), b"\x16\x00\x05\x01" + wire.text("\0" * 84)
    texts = array(12, [wire.text("a")] * 20)
    body = wire.publish_response([wire.data_change([wire.item(1, structure), wire.item(2, texts)])])
    published = read_publish(body)
    changes = read_changes(published, published.notifications[0], known)
    assert list(changes.values) == [RawStructure("i=5", bytes(84)), ["a"] * 20]
    assert changes.spoiled == 0


def test_skipping_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_ELEMENTS", 20)
    monkeypatch.setattr(one_value, "MAX_SKIPPED", 50)
    large = array(21, [b"\x00"] * 30)
    changes = changes_of(*[wire.item(n, large) for n in range(3)], wire.item(3, wire.double(1)))
    assert (changes.handles.tolist(), changes.spoiled, changes.lost, changes.culprits) == ([0], 1, 3, (0, 1))


TOO_LARGE, TORN, ODD = array(21, [b"\x00"] * 30), b"\x3f", b"\x0c" + struct.pack("<i", 1) + b"\xff"


def test_reads_history_and_events_lose_only_the_undecodable_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_ELEMENTS", 20)
    samples = [wire.item(0, body, None, 5)[4:] for body in (wire.double(1.0), TOO_LARGE, ODD, wire.double(2.0), TORN)]
    head = struct.pack("<BBH", 1, 0, 634) + wire.RESPONSE_HEADER + struct.pack("<i", 5)
    read, _ = read_results(head + b"".join(samples), [9, 8, 7, 6, 5], DIALECT)
    assert list(read.values) == [1.0, None, ODD, 2.0]
    assert (read.spoiled, read.lost, read.culprits) == (2, 1, (8, 7, 5))

    body = struct.pack("<i", 5) + b"".join(samples)
    answer = struct.pack("<Ii", 0, -1) + wire.extension(658, body)
    told = _answer(Reader(answer, 0, len(answer), DIALECT), DIALECT)
    history = _columns([(4, sample) for sample in told.samples])
    assert told.is_failed
    assert (list(history.values), history.spoiled, history.culprits) == ([1.0, None, ODD, 2.0], 2, (4,))

    fields = [struct.pack("<i", 3) + b"".join((wire.string("a"), body, wire.string("c"))) for body in (ODD, TOO_LARGE)]
    event = wire.extension(916, struct.pack("<i", 2) + b"".join(struct.pack("<I", 0) + each for each in fields))
    published = read_publish(wire.publish_response([event]))
    events, lost, _ = read_events(published, published.notifications[0], DIALECT, [("A", "B", "C")])
    assert [[typed.value for typed in e.value.fields.values()] for e in events] == [["a", ODD, "c"], ["a", "c"]]
    assert lost == 0
    assert all(e.problem for e in events)


def test_an_undecodable_value_is_counted_and_named_once_in_log_and_gap() -> None:
    metrics, count = Metrics(), 300
    tags = tuple(Tag(f"t{n}", f"nsu=urn:x;s=t{n}") for n in range(count))
    table = Table(tags, tuple(Item(tag.node_id, Asked(100.0, 2)) for tag in tags))
    with structlog.testing.capture_logs() as logs:
        builder = BatchBuilder("s", table, metrics.for_source("s"), Dialect(DIALECT.uris))
        for body, handle in [*[(ODD, 1)] * 3, (TORN, 2), *[(ODD, n) for n in range(count)]]:
            notification = wire.data_change([wire.item(handle, body), wire.item(5, wire.double(1.0))])
            batch = builder.build(read_publish(wire.publish_response([notification])), ())
            assert [gap.detail.startswith("values that cannot be decoded, from t2 on") for gap in batch.gaps] == [
                True
            ] * (body == TORN)
    assert logs[0]["variables"] == ["nsu=urn:x;s=t1"]
    assert 90 < len(logs) <= 100
    counted = metrics.registry.get_sample_value("gateway_source_undecodable_total", {"source": "s"})
    assert counted == 3 + 2 + count
