"""The mark comes back as it went, also that of an earlier version; what is no mark begins anew."""

import json
import struct
from dataclasses import replace

import pytest

from gateway.opcua.subscription.checkpoint import (
    MOST_RUNS,
    Absence,
    Held,
    Lease,
    Mark,
    Position,
    decode,
    encode,
    handles_of,
    ranges_of,
)

LAST = 2**32 - 1
FAST = Held(7, 0.25, 0.25, 5.0, 600.0, ((0, 3), (5, 9)), True)
SLOW = Held(9, 60.0, 30.0, 60.0, 600.0, None)
LEASE = Lease("opc.tcp://x:1", "2026", "digest", (FAST, SLOW))
MARK = Mark(LEASE, (Position(LAST, 12), Position(3, 4)), -7)


def test_mark_survives_encoding() -> None:
    assert decode(MARK.encode()) == MARK
    owed = (Absence(1, 2, "not_read", "why", True), Absence(3, 4, "subscription_recreated", "so", handles=((1, 5),)))
    mark = replace(MARK, lease=replace(LEASE, added=("i=c", "i=a"), owed=owed))
    assert decode(mark.encode()) == mark
    polled = Mark(Lease("u", "t", "d", added=None), (Position(0, 12),))
    assert decode(polled.encode()) == polled


@pytest.mark.parametrize(
    "garbage",
    [b"", b"OUA3", b"OUA2", b"OUA1", b"something else entirely", encode(b"{", MARK.positions), encode(b"{}", ()),
     encode(LEASE.encode(), MARK.positions[:1]), MARK.encode()[:20]],
)  # fmt: skip
def test_garbage_begins_anew(garbage: bytes) -> None:
    assert decode(garbage) is None


def former(**changes: object) -> bytes:
    fields = {
        "url": "u", "started": "t", "subscription": 7, "digest": "d", "interval_s": 0.25, "keep_alive_s": 5.0,
        "lifetime_s": 600.0, "failed": [2, 5], "added": ["i=c"], "owed": [[1, 2, "not_read", "why", False]],
    }  # fmt: skip
    return struct.pack("<4sIqq", b"OUA2", 5, 6, -7) + json.dumps(fields | changes).encode()


def test_mark_of_one_subscription_is_still_understood() -> None:
    mark = decode(former())
    assert mark is not None
    [held] = mark.lease.held
    assert (held.id, held.asked_s, handles_of(held.handles or (), 8)) == (7, 0.25, {0, 1, 3, 4, 6, 7})
    assert (mark.positions, mark.offset_ticks) == ((Position(5, 6),), -7)
    assert (mark.lease.added, mark.lease.owed) == (("i=c",), (Absence(1, 2, "not_read", "why"),))


def test_former_marks_of_polling_and_of_many_failures_are_understood() -> None:
    polled, many = decode(former(subscription=0)), decode(former(failed=None))
    assert polled is not None
    assert polled.lease.held == ()
    assert many is not None
    assert many.lease.held[0].handles is None


def test_handles_are_told_as_runs_and_not_told_when_there_are_too_many() -> None:
    assert ranges_of([4, 1, 2, 0, 6]) == ((0, 3), (4, 5), (6, 7))
    assert handles_of(((0, 3), (4, 5), (6, 100)), 8) == {0, 1, 2, 4, 6, 7}
    assert ranges_of(range(0, 2 * MOST_RUNS, 2)) is not None
    assert ranges_of(range(0, 2 * MOST_RUNS + 2, 2)) is None


def test_a_gap_that_nobody_can_place_begins_where_the_slowest_was() -> None:
    assert MARK.ticks == 4


def test_what_is_owed_to_tags_of_another_table_is_owed_to_all() -> None:
    owed = Absence(3, 4, "subscription_recreated", "so", handles=((1, 5),))
    mark = replace(MARK, lease=replace(LEASE, owed=(owed,)))
    assert mark.for_table("digest") == mark
    assert mark.for_table("another").lease.owed == (replace(owed, handles=()),)
