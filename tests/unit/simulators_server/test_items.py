"""Queues of monitored items, what counts as a change, and the ground truth's form of values."""

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from simulators.server.distortion import ServedValue
from simulators.server.history import select
from simulators.server.items import OVERFLOW, ItemQueue
from simulators.server.nodes import localized, text_id, value
from simulators.server.record import Recorder, instant, plain
from simulators.server.value_writer import same

NOW = datetime(2026, 11, 21, 10, 45, 0, 250_000, tzinfo=UTC)


def number(content: float, code: int = 0) -> ua.DataValue:
    return value(content, ua.VariantType.Double, NOW, NOW, code)


def filled(queue: ItemQueue, count: int) -> tuple[list[object], list[bool]]:
    for n in range(count):
        queue.append(ua.MonitoredItemNotification(ua.UInt32(1), number(float(n))))
    contents = [item.Value.Value.Value for item in queue.waiting if item.Value.Value]
    marks = [bool(item.Value.StatusCode and item.Value.StatusCode.value & OVERFLOW) for item in queue.waiting]
    return contents, marks


@given(size=st.integers(2, 6), count=st.integers(0, 20), discard_oldest=st.booleans())
def test_a_queue_keeps_its_size_and_marks_every_loss(size: int, count: int, discard_oldest: bool) -> None:
    contents, marks = filled(ItemQueue(size, discard_oldest), count)
    numbers = [float(n) for n in range(count)]
    lost = max(0, count - size)
    if discard_oldest:
        assert contents == numbers[-size:]
        assert marks == [lost > 0 and n == 0 for n in range(len(contents))]
    else:
        assert contents == (numbers if not lost else [*numbers[: size - 1], numbers[-1]])
        assert marks == [lost > 0 and n == len(contents) - 1 for n in range(len(contents))]


@pytest.mark.parametrize(
    ("known", "known_code", "content", "code", "expected"),
    [
        (1.0, 0, 1.0, 0, True),
        (1.0, 0, 2.0, 0, False),
        (1.0, 0, 1.0, 0x4000_0000, False),
        (math.nan, 0, math.nan, 0, True),
        (None, 0x8000_0000, 5.0, 0x8000_0000, True),
    ],
)
def test_only_changed_values_are_sent(
    known: object, known_code: int, content: object, code: int, expected: bool
) -> None:
    assert same(ServedValue(known, NOW, known_code), content, code) is expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (math.nan, "NaN"), (-math.inf, "-Infinity"), (ua.Double(1.5), 1.5), (True, True), (b"\x01", "AQ=="),
        (NOW, "2026-11-21T10:45:00.2500000Z"), (text_id("a/b", 2), "ns=2;s=a/b"),
        (localized("Idle"), {"locale": "en", "text": "Idle"}),
        (ua.Range(ua.Double(0.0), ua.Double(9.0)), {"Low": 0.0, "High": 9.0}), ([1, 2], [1, 2]), (None, None),
    ],
)  # fmt: skip
def test_record_has_a_json_form_for_every_value(content: object, expected: object) -> None:
    assert plain(content) == expected


def test_record_reaches_the_file_at_each_flush(tmp_path: Path) -> None:
    with (tmp_path / "record").open("wb") as file:
        recorder = Recorder(file)
        recorder.add("nsu=urn:x;s=a", 1.5, NOW, 0)
        recorder.flush()
        assert (tmp_path / "record").read_text(encoding="utf-8") == (
            '{"node":"nsu=urn:x;s=a","value":1.5,"source_time":"' + instant(NOW) + '","status":0}\n'
        )


@given(start=st.integers(0, 12), end=st.integers(0, 12))
def test_history_takes_the_half_open_interval_in_the_direction_asked(start: int, end: int) -> None:
    moments = [NOW.replace(second=n) for n in range(12)]
    past = [value(n, ua.VariantType.Int32, at, at) for n, at in enumerate(moments)]
    chosen = select(past, NOW.replace(second=start), NOW.replace(second=end), bounds=False)
    numbers = [v.Value.Value for v in chosen if v.Value]
    if end < start:
        assert numbers == [n for n in range(11, -1, -1) if end < n <= start]
    else:
        assert numbers == [n for n in range(12) if start <= n < end]
