"""The checkpoint comes back as it went, also that of an earlier version; what is no checkpoint begins anew."""

import json
import struct
from dataclasses import replace

import pytest

from gateway.opcua.subscription.checkpoint import (
    MOST_RUNS,
    Absence,
    Checkpoint,
    Position,
    SavedSubscription,
    SubscriptionState,
    decode_checkpoint,
    encode_checkpoint,
    handles_of,
    ranges_of,
)

LAST = 2**32 - 1
FAST = SavedSubscription(7, 0.25, 0.25, 5.0, 600.0, ((0, 3), (5, 9)), True)
SLOW = SavedSubscription(9, 60.0, 30.0, 60.0, 600.0, None)
STATE = SubscriptionState("opc.tcp://x:1", "2026", "digest", (FAST, SLOW))
CHECKPOINT = Checkpoint(STATE, (Position(LAST, 12), Position(3, 4)), -7)


def test_a_checkpoint_survives_encoding() -> None:
    assert decode_checkpoint(CHECKPOINT.encode()) == CHECKPOINT
    pending = (Absence(1, 2, "not_read", "why", True), Absence(3, 4, "subscription_recreated", "so", handles=((1, 5),)))
    checkpoint = replace(CHECKPOINT, state=replace(STATE, added=("i=c", "i=a"), backfill_pending=pending))
    assert decode_checkpoint(checkpoint.encode()) == checkpoint
    polled = Checkpoint(SubscriptionState("u", "t", "d", added=None), (Position(0, 12),))
    assert decode_checkpoint(polled.encode()) == polled


@pytest.mark.parametrize(
    "garbage",
    [b"", b"OUA3", b"OUA2", b"OUA1", b"something else entirely", encode_checkpoint(b"{", CHECKPOINT.positions),
     encode_checkpoint(b"{}", ()), encode_checkpoint(STATE.encode(), CHECKPOINT.positions[:1]),
     CHECKPOINT.encode()[:20]],
)  # fmt: skip
def test_an_unreadable_checkpoint_starts_anew(garbage: bytes) -> None:
    assert decode_checkpoint(garbage) is None


STORED = (
    struct.pack("<4sHq", b"OUA3", 2, -7) + struct.pack("<Iq", 5, 6) + struct.pack("<Iq", 3, 4)
    + b'{"url": "opc.tcp://x:1", "started": "2026", "digest": "d", "held": [[7, 0.25, 0.25, 5.0, 600.0, [[0, 3], [5, '
    + b'9]], true], [9, 60.0, 30.0, 60.0, 600.0, null, false]], "added": ["i=c"], "owed": [[1, 2, "not_read", "why", '
    + b"true, [[1, 5]]]]}"
)  # fmt: skip
"""As outboxes in the field have it."""


def test_a_stored_checkpoint_is_decoded_and_encoded_to_the_same_bytes() -> None:
    absence = Absence(1, 2, "not_read", "why", True, ((1, 5),))
    state = SubscriptionState("opc.tcp://x:1", "2026", "d", (FAST, SLOW), ("i=c",), (absence,))
    checkpoint = Checkpoint(state, (Position(5, 6), Position(3, 4)), -7)
    assert decode_checkpoint(STORED) == checkpoint
    assert checkpoint.encode() == STORED


def former(**changes: object) -> bytes:
    fields = {
        "url": "u", "started": "t", "subscription": 7, "digest": "d", "interval_s": 0.25, "keep_alive_s": 5.0,
        "lifetime_s": 600.0, "failed": [2, 5], "added": ["i=c"], "owed": [[1, 2, "not_read", "why", False]],
    }  # fmt: skip
    return struct.pack("<4sIqq", b"OUA2", 5, 6, -7) + json.dumps(fields | changes).encode()


def test_checkpoint_of_one_subscription_is_still_understood() -> None:
    checkpoint = decode_checkpoint(former())
    assert checkpoint is not None
    [saved] = checkpoint.state.subscriptions
    assert (saved.id, saved.asked_s, handles_of(saved.handles or (), 8)) == (7, 0.25, {0, 1, 3, 4, 6, 7})
    assert (checkpoint.positions, checkpoint.offset_ticks) == ((Position(5, 6),), -7)
    assert (checkpoint.state.added, checkpoint.state.backfill_pending) == (
        ("i=c",),
        (Absence(1, 2, "not_read", "why"),),
    )


def test_former_checkpoints_of_polling_and_of_many_failures_are_understood() -> None:
    polled, many = decode_checkpoint(former(subscription=0)), decode_checkpoint(former(failed=None))
    assert polled is not None
    assert polled.state.subscriptions == ()
    assert many is not None
    assert many.state.subscriptions[0].handles is None


def test_handles_are_stored_as_runs_unless_there_are_too_many() -> None:
    assert ranges_of([4, 1, 2, 0, 6]) == ((0, 3), (4, 5), (6, 7))
    assert handles_of(((0, 3), (4, 5), (6, 100)), 8) == {0, 1, 2, 4, 6, 7}
    assert ranges_of(range(0, 2 * MOST_RUNS, 2)) is not None
    assert ranges_of(range(0, 2 * MOST_RUNS + 2, 2)) is None


def test_a_gap_of_unknown_position_begins_at_the_slowest_subscription() -> None:
    assert CHECKPOINT.ticks == 4


def test_pending_backfill_of_another_table_concerns_all_tags() -> None:
    pending = Absence(3, 4, "subscription_recreated", "so", handles=((1, 5),))
    checkpoint = replace(CHECKPOINT, state=replace(STATE, backfill_pending=(pending,)))
    assert checkpoint.for_table("digest") == checkpoint
    assert checkpoint.for_table("another").state.backfill_pending == (replace(pending, handles=()),)
