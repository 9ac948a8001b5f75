"""Heartbeats: what does not change is repeated, what changes is not, and silence is still noticed."""

import numpy as np

from gateway.opcua.codec.columns import Changes
from gateway.opcua.space.selection import Asked, Item
from gateway.opcua.subscription.heartbeat import Heartbeats

ITEMS = (
    Item("i=1", Asked(100.0, 10, heartbeat_s=10.0)),
    Item("i=2", Asked(100.0, 10)),
    Item("i=3", Asked(100.0, 10, heartbeat_s=30.0)),
)


def changes(*rows: tuple[int, float]) -> Changes:
    handles, values = zip(*rows, strict=True)
    zeros = np.zeros(len(rows), np.int64)
    return Changes(
        np.array(handles, np.uint32), np.full(len(rows), 11, np.uint8), np.array(values), zeros.astype(np.uint32),
        zeros + 7, zeros + 8,
    )  # fmt: skip


def test_the_last_value_is_repeated_unchanged_after_every_period() -> None:
    beats = Heartbeats(ITEMS)
    beats.note(changes((0, 1.5), (1, 2.5), (0, 3.5)), now_s=100.0)
    assert beats.wait_s(100.0, 60.0) == 10.0
    assert beats.due(109.9) is None
    for now_s in (110.0, 120.0):
        repeated = beats.due(now_s)
        assert repeated is not None
        assert (repeated.handles.tolist(), list(repeated.values)) == ([0], [3.5])
        assert (repeated.source_ticks.tolist(), repeated.server_ticks.tolist()) == ([7], [8])


def test_a_change_postpones_the_repetition() -> None:
    beats = Heartbeats(ITEMS)
    beats.note(changes((0, 1.5), (2, 1.0)), now_s=0.0)
    beats.note(changes((0, 2.5)), now_s=9.0)
    assert beats.due(18.0) is None
    assert beats.wait_s(18.0, 60.0) == 1.0


def test_without_heartbeats_nothing_is_kept_and_the_wait_is_unchanged() -> None:
    beats = Heartbeats(ITEMS[1:2])
    beats.note(changes((0, 1.5)), now_s=0.0)
    assert beats.due(1e9) is None
    assert beats.wait_s(5.0, 3.0) == 3.0
