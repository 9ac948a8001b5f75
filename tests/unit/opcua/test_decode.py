"""The decoder: columns from regular bytes, values of every type, and no harm from any bytes."""

import struct
import time
import tracemalloc
import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import IS_ARRAY, IS_MATRIX
from gateway.opcua.codec.columns import Changes, read_changes, read_together
from gateway.opcua.codec.decode import _read_any, _read_usual, read_publish, read_republish, read_status_change
from gateway.opcua.codec.value import BAD_DECODING_ERROR
from gateway.opcua.codec.wire import MAX_DEPTH, Dialect, Malformed, Reader, read_variant
from gateway.opcua.space.event_filters import read_events
from gateway.values import LocalizedText, QualifiedName, RawStructure, Sampled, Typed
from tests.support import opcua_wire as wire

DIALECT = Dialect(("http://opcfoundation.org/UA/", "urn:server", "urn:plant"))
TICKS = 134_000_000_000_000_001


def changes_of(*items: bytes) -> Changes:
    published = read_publish(wire.publish_response([wire.data_change(items)]))
    return read_changes(published, published.notifications[0], DIALECT)


def variant(body: bytes) -> tuple[int, object]:
    return read_variant(Reader(body, 0, len(body), DIALECT))


# -- the message -----------------------------------------------------------------------------------------------------


def test_a_publish_response_gives_its_numbers() -> None:
    published = read_publish(
        wire.publish_response([wire.data_change([]), wire.extension(820, struct.pack("<IB", 0x800A0000, 0))],
                              sequence=2**32 - 1, subscription=9, available=(4, 5), more=True)
    )  # fmt: skip
    assert (published.sequence, published.subscription, published.available) == (2**32 - 1, 9, (4, 5))
    assert published.more
    assert [part.kind for part in published.notifications] == ["i=811", "i=820"]
    assert read_status_change(published, published.notifications[1]) == 0x800A0000


def test_keep_alive_has_no_parts_and_the_next_number() -> None:
    published = read_publish(wire.publish_response([], sequence=12))
    assert (published.notifications, published.sequence) == ((), 12)


def test_a_missing_publish_time_is_replaced_by_the_response_time() -> None:
    sent = struct.pack("<q", TICKS)
    for response, read in ((wire.publish_response, read_publish), (wire.republish_response, read_republish)):
        body = response([wire.data_change([])], 5)
        assert read(body[:4] + sent + body[12:]).publish_ticks == TICKS
    stated = wire.publish_response([], 5, ticks=TICKS - 7)
    assert read_publish(stated[:4] + sent + stated[12:]).publish_ticks == TICKS - 7


def test_a_republish_response_is_decoded() -> None:
    published = read_republish(wire.republish_response([wire.data_change([wire.item(3, wire.double(1.5))])], 8))
    assert published.sequence == 8
    assert read_changes(published, published.notifications[0], DIALECT).handles.tolist() == [3]


# -- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100, 1000])
def test_run_of_doubles_is_one_array(count: int) -> None:
    changes = changes_of(*[wire.item(n, wire.double(n / 2), None, TICKS + n, TICKS - n) for n in range(count)])
    assert isinstance(changes.values, np.ndarray)
    assert changes.values.tolist() == [n / 2 for n in range(count)]
    assert changes.handles.tolist() == list(range(count))
    assert changes.source_ticks.tolist() == [TICKS + n for n in range(count)]
    assert changes.server_ticks.tolist() == [TICKS - n for n in range(count)]
    assert set(changes.types.tolist()) == {11}


def test_mixed_layouts_keep_the_order_of_the_response() -> None:
    items = []
    for n in range(50):
        items += [
            wire.item(3 * n, wire.double(n), None, TICKS),
            wire.item(3 * n + 1, b"\x06" + struct.pack("<i", -n), wire.BAD_SENSOR, TICKS, TICKS),
            wire.item(3 * n + 2, wire.string(f"s{n}"), None, TICKS),
        ]
    changes = changes_of(*items)
    assert changes.handles.tolist() == list(range(150))
    assert list(changes.values) == [v for n in range(50) for v in (float(n), -n, f"s{n}")]
    assert [type(v) for v in changes.values[:3]] == [float, int, str]
    assert changes.statuses.tolist()[:3] == [0, wire.BAD_SENSOR, 0]


def test_a_missing_value_is_null_with_its_status() -> None:
    changes = changes_of(wire.item(1, None, wire.BAD_SENSOR, TICKS), wire.item(2, None), wire.item(3, b"\x00"))
    assert list(changes.values) == [None, None, None]
    assert changes.types.tolist() == [0, 0, 0]
    assert changes.statuses.tolist() == [wire.BAD_SENSOR, 0, 0]


def test_picoseconds_are_skipped() -> None:
    body = struct.pack("<IB", 5, 0x3F) + wire.double(2.5) + struct.pack("<IqHqH", 0, TICKS, 7, TICKS + 1, 8)
    changes = changes_of(*[body] * 20)
    assert changes.source_ticks.tolist() == [TICKS] * 20
    assert changes.server_ticks.tolist() == [TICKS + 1] * 20


@pytest.mark.parametrize(
    ("kind", "code", "value"),
    [(1, "?", True), (2, "b", -5), (3, "B", 250), (4, "h", -300), (5, "H", 60000), (6, "i", -70000),
     (7, "I", 4 * 10**9), (8, "q", -(2**63)), (9, "Q", 2**64 - 1), (10, "f", 0.5), (11, "d", 1e300), (13, "q", TICKS),
     (19, "I", 0x80340000)],
)  # fmt: skip
def test_every_type_of_fixed_size_is_decoded(kind: int, code: str, value: object) -> None:
    body = bytes([kind]) + struct.pack("<" + code, value)
    for copies in (1, 30):
        changes = changes_of(*[wire.item(1, body, None, TICKS)] * copies)
        assert changes.types.tolist() == [kind] * copies
        assert isinstance(changes.values, np.ndarray)
        assert changes.values.tolist() == [value] * copies


def test_events_are_assigned_by_handle_and_unknown_handles_counted_as_lost() -> None:
    body = struct.pack("<i", 2)
    for handle in (1, 9):
        body += struct.pack("<Ii", handle, 3) + b"\x0d" + struct.pack("<q", TICKS) + b"\x00" + wire.string("hot")
    published = read_publish(wire.publish_response([wire.extension(916, body)]))
    [event], lost, _ = read_events(
        published, published.notifications[0], DIALECT, [(), ("Time", "Severity", "Message")]
    )
    assert event.value.fields == {"Time": Typed(13, TICKS), "Message": Typed(12, "hot")}
    assert (event.handle, event.source_ticks, lost) == (1, TICKS, 1)


# -- values ----------------------------------------------------------------------------------------------------------

GUID = uuid.UUID("72962b91-fa75-4ae6-8d28-b404dc7daf63")


@pytest.mark.parametrize(
    ("body", "kind", "value"),
    [
        (b"\x0c" + wire.text("Grüß"), 12, "Grüß"),
        (b"\x0c" + wire.text(None), 0, None),
        (b"\x0e" + bytes.fromhex("912b967275fae64a8d28b404dc7daf63"), 14, GUID),  # the example of Part 6, 5.2.2.6
        (b"\x0f" + struct.pack("<i", 2) + b"\x00\xff", 15, b"\x00\xff"),
        (b"\x10" + wire.text("<a/>"), 16, "<a/>"),
        (b"\x11\x00\x48", 17, "i=72"),
        (b"\x11\x01\x00\x01\x04", 17, "i=1025"),
        (b"\x11\x03\x02\x00" + wire.text("Hot"), 17, "nsu=urn:plant;s=Hot"),
        (b"\x11\x03\x09\x00" + wire.text("Hot"), 17, "ns=9;s=Hot"),
        (b"\x12\xc0\x48" + wire.text("urn:a;b") + struct.pack("<I", 3), 18, "svr=3;nsu=urn:a%3Bb;i=72"),
        (b"\x14\x01\x00" + wire.text("n"), 20, QualifiedName("urn:server", "n")),
        (b"\x15\x03" + wire.text("de") + wire.text("x"), 21, LocalizedText("de", "x")),
        (b"\x15\x00", 21, LocalizedText(None, None)),
        (b"\x16\x01\x02\x05\x00\x01\x02\x00\x00\x00ab", 22, RawStructure("nsu=urn:plant;i=5", b"ab")),
        (b"\x17\x03" + wire.double(1.0) + struct.pack("<I", 5), 23, Sampled(Typed(11, 1.0), 5)),
        (b"\x1a" + struct.pack("<i", 1) + b"z", 15, b"z"),
        (b"\x86" + struct.pack("<iii", 2, 1, -1), 6 | IS_ARRAY, [1, -1]),
        (b"\x86" + struct.pack("<i", -1), 0, None),
        (b"\x81" + struct.pack("<i", 2) + b"\x01\x00", 1 | IS_ARRAY, [True, False]),
        (b"\x8c" + struct.pack("<i", 1) + wire.text("a"), 12 | IS_ARRAY, ["a"]),
        (b"\x98" + struct.pack("<i", 2) + wire.double(1.0) + b"\x00", 24 | IS_ARRAY, [Typed(11, 1.0), Typed(0, None)]),
        (b"\xc6" + struct.pack("<i6i", 6, *range(6)) + struct.pack("<iii", 2, 2, 3), 6 | IS_ARRAY | IS_MATRIX,
         [[0, 1, 2], [3, 4, 5]]),
    ],
)  # fmt: skip
def test_every_type_of_variable_size_is_decoded(body: bytes, kind: int, value: object) -> None:
    assert variant(body) == (kind, value)
    changes = changes_of(wire.item(1, body, None, TICKS), wire.item(2, wire.double(2.0)))
    assert list(changes.values) == [value, 2.0]
    assert changes.types.tolist()[0] == kind


def test_diagnostics_keep_their_fields() -> None:
    _, value = variant(b"\x19\x21" + struct.pack("<iI", 4, 0x80000000))
    assert getattr(value, "fields", None) == {"symbolic_id": Typed(6, 4), "inner_status": Typed(19, 0x80000000)}


# -- what is wrong costs itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"\x0c\x02\x00\x00\x00\xff\xfe", b"\xc6" + struct.pack("<iii", 2, 1, 2) + struct.pack("<iii", 2, 3, 3)]
)
def test_an_undecodable_value_keeps_its_bytes_and_affects_no_other(body: bytes) -> None:
    changes = changes_of(wire.item(1, body, None, TICKS), wire.item(2, wire.double(2.0)))
    assert list(changes.values) == [body, 2.0]
    assert changes.types.tolist() == [15, 11]
    assert changes.statuses.tolist() == [BAD_DECODING_ERROR, 0]
    assert (changes.spoiled, changes.lost) == (1, 0)


def test_where_the_end_of_a_value_is_unknown_the_rest_is_counted_as_lost() -> None:
    changes = changes_of(wire.item(1, wire.double(1.0)), wire.item(2, b"\x3f"), wire.item(3, wire.double(3.0)))
    assert changes.handles.tolist() == [1]
    assert changes.lost == 2
    assert changes.problem


@pytest.mark.parametrize(
    "body",
    [
        b"\x80" + struct.pack("<i", 2**31 - 1),  # an array of nothing
        b"\x8b" + struct.pack("<i", 2**28),
        b"\x98" + struct.pack("<i", 2**30),
        b"\x0c" + struct.pack("<i", 2**31 - 1),
        b"\x98\x01\x00\x00\x00" * (MAX_DEPTH + 1),
        b"\x17\x01" * (MAX_DEPTH + 1),
        b"\x11\x06",
        b"",
    ],
)
def test_hostile_lengths_and_depths_are_refused_before_allocating(body: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(Malformed):
        variant(body)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


SAMPLE = wire.publish_response(
    [
        wire.data_change(
            [wire.item(n, wire.double(n), None, TICKS, TICKS) for n in range(12)]
            + [wire.item(20, wire.string("x"), 0, TICKS), wire.item(21, b"\x86" + struct.pack("<iii", 2, 1, 2))]
            + [wire.item(22, b"\x98" + struct.pack("<i", 1) + wire.double(1.0)), wire.item(23, None, wire.BAD_SENSOR)]
        ),
        wire.extension(820, struct.pack("<IB", 0, 0)),
        wire.extension(916, struct.pack("<iIi", 1, 0, 2) + wire.double(1.0) + wire.string("hot")),
    ],
    available=(1, 2),
)


def decoded(body: bytes) -> None:
    """Decode all there is; only `Malformed` may come out."""
    try:
        published = read_publish(body)
    except Malformed:
        return
    for part in published.notifications:
        changes = read_changes(published, part, DIALECT)
        rows = {len(column) for column in (changes.handles, changes.types, changes.values, changes.statuses,
                                           changes.source_ticks, changes.server_ticks)}  # fmt: skip
        assert len(rows) == 1
        events, lost, _ = read_events(published, part, DIALECT, [("A", "B")])
        assert lost >= 0
        assert all(event.handle == 0 for event in events)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=8), st.integers(0, 40))
def test_mutated_responses_raise_only_declared_errors(edits: list[tuple[int, int]], cut: int) -> None:
    body = bytearray(SAMPLE)
    for place, octet in edits:
        body[place] = octet
    began = time.process_time()
    decoded(bytes(body[: len(body) - cut]))
    assert time.process_time() - began < 1.0


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_raise_only_declared_errors(tail: bytes) -> None:
    decoded(SAMPLE[:4] + tail)
    decoded(wire.publish_response([wire.data_change([tail])]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([wire.double(1.5), b"\x06\x01\x00\x00\x00", wire.string("ab"), b"\x01\x01"]),
                max_size=60), st.sampled_from([None, 0, wire.BAD_SENSOR]), st.sampled_from([None, TICKS]))  # fmt: skip
def test_fast_and_general_reading_agree(bodies: list[bytes], status: int | None, source: int | None) -> None:
    changes = changes_of(*[wire.item(n, body, status, source) for n, body in enumerate(bodies)])
    assert list(changes.values) == [variant(body)[1] for body in bodies]
    assert changes.types.tolist() == [variant(body)[0] for body in bodies]
    assert changes.statuses.tolist() == [status or 0] * len(bodies)


@given(
    base=st.sampled_from(
        [
            wire.publish_response([], 12),
            wire.publish_response(
                [wire.data_change([wire.item(1, wire.double(2.5), None, TICKS)])], 5, available=(4, 5)
            ),
            wire.publish_response([wire.extension(820, b"\0\0\0\0"), wire.data_change([])], 6, more=True, ticks=TICKS),
        ]
    ),
    changes=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=3),
    cut=st.integers(0, 120),
)
def test_the_fast_path_reads_the_same_as_the_general_one(base: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(base)
    for where, byte in changes:
        data[where % len(data)] = byte
    body = bytes(data[: len(data) - cut % 40]) if cut % 3 == 0 else bytes(data)
    usual = _read_usual(body)
    if usual is not None:
        assert usual == _read_any(body)


def test_usual_responses_take_the_fast_path() -> None:
    assert _read_usual(wire.publish_response([wire.data_change([wire.item(1, wire.double(1))])], 3)) is not None


@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=6), texts=st.booleans())
def test_several_notifications_read_at_once_give_the_same_as_one_by_one(counts: list[int], texts: bool) -> None:
    messages, value = [], 0
    for count in counts:
        items = [
            wire.item(
                n, wire.string(f"{value + n}") if texts and n % 3 == 1 else wire.double(value + n), None, TICKS + n
            )
            for n in range(count)
        ]
        value += count
        messages.append(read_publish(wire.publish_response([wire.data_change(items)])))
    together = read_together([(message, message.notifications[0]) for message in messages], Dialect())
    assert together is not None
    apart = [read_changes(message, message.notifications[0], Dialect()) for message in messages]
    assert list(together.values) == [value for changes in apart for value in changes.values]
    assert together.handles.tolist() == [handle for changes in apart for handle in changes.handles.tolist()]
    assert together.source_ticks.tolist() == [ticks for changes in apart for ticks in changes.source_ticks.tolist()]
