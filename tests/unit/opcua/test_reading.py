"""What a poll reports: by trigger and dead-band, the first always, nothing twice; and cycles that are left out."""

import struct
from collections.abc import Sequence

import numpy as np
import pytest

from gateway.opcua.codec.value import BAD_DECODING_ERROR
from gateway.opcua.codec.wire import Dialect, Malformed
from gateway.opcua.space.selection import Asked, Item
from gateway.opcua.subscription.polled import Cycle
from gateway.opcua.subscription.reading import ChangeFilter, columns, differs, read_results
from gateway.values import Structure, Typed
from tests.support import opcua_wire as wire

NAN = float("nan")


def response(results: Sequence[bytes]) -> bytes:
    head = struct.pack("<BBH", 1, 0, 634) + wire.RESPONSE_HEADER + struct.pack("<i", len(results))
    return head + b"".join(results) + struct.pack("<i", -1)


def result(variant: bytes, status: int | None = None) -> bytes:
    return wire.item(0, variant, status, 5)[4:]  # a MonitoredItemNotification without its handle is a DataValue


def test_results_become_rows_of_their_handles() -> None:
    read, _ = read_results(response([result(wire.double(1.5)), result(wire.string("x"), 7)]), [4, 2], Dialect())
    assert (read.handles.tolist(), list(read.values)) == ([4, 2], [1.5, "x"])
    assert (read.types.tolist(), read.statuses.tolist(), read.source_ticks.tolist()) == ([11, 12], [0, 7], [5, 5])


def test_an_undecodable_result_loses_itself_and_one_of_unknown_length_loses_the_rest() -> None:
    spoiled = result(b"\x0c\x02\x00\x00\x00\xff\xfe")
    read, _ = read_results(response([spoiled, result(wire.double(1.0))]), [0, 1], Dialect())
    assert (read.statuses.tolist(), read.spoiled, read.lost) == ([BAD_DECODING_ERROR, 0], 1, 0)
    cut, _ = read_results(response([result(wire.double(1.0)), result(b"\x3f")]), [0, 1], Dialect())
    assert (list(cut.values), cut.lost) == ([1.0], 1)
    assert cut.problem


def test_a_wrong_number_of_results_is_refused() -> None:
    with pytest.raises(Malformed):
        read_results(response([result(wire.double(1.0))]), [0, 1], Dialect())


def reported(item: Item, rows: Sequence[tuple[object, int, int]], span: float | None = None) -> list[int]:
    """Which of the readings (value, status, source ticks) of one variable are reported."""
    found, changes = [], ChangeFilter()
    if span is not None:
        changes.spans[0] = span
    for number, (value, status, ticks) in enumerate(rows):
        read = columns([0], [(11, value, status, ticks, 0)])
        found += [number] if len(changes.changed(read, [item]).handles) else []
    return found


def test_values_are_reported_when_they_change_by_the_trigger() -> None:
    rows = [(1.0, 0, 1), (1.0, 0, 2), (2.0, 0, 3), (2.0, 5, 4), (2.0, 5, 4)]
    assert reported(Item("", Asked(0.0, 1)), rows) == [0, 2, 3]
    assert reported(Item("", Asked(0.0, 1, trigger=0)), rows) == [0, 3]
    assert reported(Item("", Asked(0.0, 1, trigger=2)), rows) == [0, 1, 2, 3]


def test_a_dead_band_compares_with_the_last_reported_value() -> None:
    rows = [(value, 0, 1) for value in (20.5, 21.0, 21.4, 21.6, 20.5, NAN, NAN, 3.0)]
    assert reported(Item("", Asked(0.0, 1, deadband_kind=1, deadband=1.0)), rows) == [0, 3, 4, 5, 7]
    percent = Item("", Asked(0.0, 1, deadband_kind=2, deadband=10.0))
    assert reported(percent, rows[:5], span=10.0) == [0, 3, 4]
    assert reported(percent, rows[:5]) == [0, 1, 2, 3, 4]  # nobody knows the range


def test_nan_equals_nan_and_arrays_and_structures_are_compared_by_elements() -> None:
    assert not differs([1.0, NAN], [1.0, NAN], 0.0)
    assert not differs([1.0, 2.0], [1.5, 2.0], 1.0)
    assert differs([1.0], [1.0, 2.0], 5.0)
    one, same, other = (Structure("t", {"A": Typed(11, v), "B": Typed(12, "x")}) for v in (NAN, NAN, 2.0))
    assert not differs(one, same, 0.0)
    assert differs(one, other, 0.0)
    assert differs(one, Structure("t", {"A": Typed(11, NAN)}), 0.0)
    assert differs(True, False, 5.0)  # no number
    assert differs("a", "b", 5.0)


def test_lost_and_undecodable_values_stay_counted_after_filtering() -> None:
    read = columns([0], [(11, 1.0, 0, 0, 0)], spoiled=1, lost=2, problem="why")
    changed = ChangeFilter().changed(read, [Item("", Asked(0.0, 1))])
    assert (changed.spoiled, changed.lost, changed.problem) == (1, 2, "why")
    assert changed.handles.dtype == np.uint32


def test_cycles_keep_their_phase_and_count_skipped_turns() -> None:
    cycle = Cycle(1.0, 10.0, [0])
    assert cycle.begin(10.2) == 0
    assert cycle.due_s == 11.0
    assert cycle.begin(14.9) == 3
    assert cycle.due_s == 15.0
