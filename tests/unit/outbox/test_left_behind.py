"""What is left behind is read apart, in order; and what was delivered meanwhile does not come again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import pytest

from gateway.config import OutboxConfig
from gateway.model import Message, Priority
from gateway.outbox import Outbox, Reader, open_outbox
from gateway.outbox.cursors import fitted
from gateway.outbox.inspect import export, show
from gateway.outbox.lanes import Lanes
from gateway.outbox.unacked_range import MOST_RANGES, Places


def run(folder: Path, *bodies: Callable[[Outbox, Reader], Awaitable[None]], **config: object) -> None:
    """Each body in a run of its own, one after another, on one folder."""
    settings = OutboxConfig.model_validate({"path": folder, "commit": "os", **config})

    async def life() -> None:
        for body in bodies:
            async with open_outbox(settings, readers=("r",)) as outbox:
                await body(outbox, outbox.reader("r"))

    asyncio.run(asyncio.wait_for(life(), 60))


async def fill(outbox: Outbox, count: int, priority: Priority = Priority.TELEMETRY, size: int = 10) -> None:
    stream = priority.name
    for _ in range(count):
        seq = outbox.next_seq(stream)
        await outbox.append([Message("t", b"x" * size, stream, seq, values=3, priority=priority)])


async def take(what: Literal["live", "behind"], reader: Reader, count: int) -> list[int]:
    """Read so many and acknowledge them; their numbers in their streams."""
    found: list[int] = []
    while len(found) < count:
        records = await (reader.read_behind if what == "behind" else reader.read)(count - len(found), 10**6)
        for record in records:
            assert reader.ack(record.number)
            found.append(record.message.seq)
    return found


def test_new_messages_pass_those_left_behind(tmp_path: Path) -> None:
    async def body(outbox: Outbox, reader: Reader) -> None:
        await fill(outbox, 5)
        assert reader.leave_behind()
        await fill(outbox, 2)
        assert await take("live", reader, 2) == [6, 7]
        assert (reader.left_behind, reader.messages, reader.values) == (5, 5, 15)
        assert await take("behind", reader, 3) == [1, 2, 3]
        await fill(outbox, 1)
        assert await take("live", reader, 1) == [8]
        assert await take("behind", reader, 2) == [4, 5]
        assert (reader.left_behind, reader.messages, reader.values) == (0, 0, 0)

    run(tmp_path, body)


def test_messages_sent_ahead_are_not_repeated_after_a_restart(tmp_path: Path) -> None:
    async def first(outbox: Outbox, reader: Reader) -> None:
        await fill(outbox, 5)
        reader.leave_behind()
        await fill(outbox, 3)
        await take("live", reader, 2)
        await take("behind", reader, 1)

    async def second(outbox: Outbox, reader: Reader) -> None:
        assert (reader.messages, reader.values, reader.left_behind) == (5, 15, 4)
        assert await take("behind", reader, 4) == [2, 3, 4, 5]
        assert await take("live", reader, 1) == [8]
        assert reader.messages == 0

    run(tmp_path, first, second)


def test_inspection_shows_only_undelivered_messages(tmp_path: Path) -> None:
    async def body(outbox: Outbox, reader: Reader) -> None:
        await fill(outbox, 5)
        reader.leave_behind()
        await fill(outbox, 3)
        await take("live", reader, 2)

    run(tmp_path, body)
    assert [record.message.seq for record in export(tmp_path, "r")] == [1, 2, 3, 4, 5, 8]
    assert show(tmp_path).readers[0].messages == 6


def test_state_messages_are_never_left_behind(tmp_path: Path) -> None:
    async def body(outbox: Outbox, reader: Reader) -> None:
        await fill(outbox, 3, Priority.STATE)
        await fill(outbox, 3)
        reader.leave_behind()
        await fill(outbox, 1)
        assert await take("live", reader, 4) == [1, 2, 3, 4]
        assert await take("behind", reader, 3) == [1, 2, 3]

    run(tmp_path, body)


def test_after_a_lost_connection_adjoining_ranges_are_merged(tmp_path: Path) -> None:
    async def body(outbox: Outbox, reader: Reader) -> None:
        for _ in range(MOST_RANGES * 2):
            await fill(outbox, 1)
            assert reader.leave_behind()
            reader.rewind()
        assert await take("live", reader, MOST_RANGES * 2) == list(range(1, MOST_RANGES * 2 + 1))

    run(tmp_path, body)


def test_the_number_of_ranges_is_bounded_so_that_the_cursor_fits(tmp_path: Path) -> None:
    async def first(outbox: Outbox, reader: Reader) -> None:
        for n in range(MOST_RANGES + 3):
            await fill(outbox, 2, Priority.EVENT)
            await fill(outbox, 2)
            await reader.read(1, 1)  # of the events: an acknowledged one on each side of what is left behind
            await take("live", reader, 1)
            assert reader.leave_behind() == (n < MOST_RANGES - 1)

    async def second(outbox: Outbox, reader: Reader) -> None:
        await take("behind", reader, reader.left_behind)
        await take("live", reader, reader.messages)
        assert (reader.messages, reader.values) == (0, 0)

    run(tmp_path, first, second)


def test_a_dropped_segment_reduces_each_range_by_its_part(tmp_path: Path) -> None:
    async def body(outbox: Outbox, reader: Reader) -> None:
        await fill(outbox, 5, size=1000)
        reader.leave_behind()
        await fill(outbox, 5, size=1000)
        assert await take("live", reader, 2) == [6, 7]
        await fill(outbox, 30, size=1000)  # more than fits: the oldest are dropped
        dropped = {seq for loss in outbox.take_losses() for seq in range(loss.from_seq, loss.to_seq + 1)}
        assert dropped >= {1, 2, 3, 4, 5, 8}
        assert not dropped & {6, 7}
        left = reader.messages
        assert (reader.left_behind, reader.values) == (0, 3 * left)
        assert await take("live", reader, left) == list(range(40 - left + 1, 41))

    run(tmp_path, body, max_bytes=20_000, segment_bytes=4000)


@pytest.mark.parametrize("policy", ["drop_oldest", "block"])
def test_messages_delivered_ahead_are_freed_before_any_are_dropped(tmp_path: Path, policy: str) -> None:
    """Twenty times what fits passes a backlog of two messages, which come whole, also after a restart."""

    async def first(outbox: Outbox, reader: Reader) -> None:
        await pass_backlog(outbox, reader, 400)
        assert (reader.messages, reader.values, reader.left_behind) == (2, 6, 2)

    async def second(outbox: Outbox, reader: Reader) -> None:
        assert (reader.messages, reader.values, reader.left_behind) == (2, 6, 2)
        assert await reader.retained_ahead() == set()
        await fill(outbox, 1, size=1000)
        assert await take("live", reader, 1) == [403]
        assert await take("behind", reader, 2) == [1, 2]
        assert outbox.take_losses() == []

    run(tmp_path, first, second, max_bytes=20_000, segment_bytes=4000, when_full=policy)


def test_messages_delivered_ahead_do_not_count_as_lost_when_dropped_after_a_restart(tmp_path: Path) -> None:
    async def first(outbox: Outbox, reader: Reader) -> None:
        await pass_backlog(outbox, reader, 30)

    async def second(outbox: Outbox, reader: Reader) -> None:
        await fill(outbox, 30, size=1000)
        losses = outbox.take_losses()
        lost = {seq for loss in losses for seq in range(loss.from_seq, loss.to_seq + 1)}
        assert {1, 2} <= lost <= {1, 2, *range(33, 63)}
        assert (sum(loss.messages for loss in losses), reader.messages) == (len(lost), 32 - len(lost))

    run(tmp_path, first, second, max_bytes=20_000, segment_bytes=4000)


async def pass_backlog(outbox: Outbox, reader: Reader, messages: int) -> None:
    """Deliver so many ahead of a backlog of two."""
    await fill(outbox, 2, size=1000)
    reader.leave_behind()
    for _ in range(messages):
        await fill(outbox, 1, size=1000)
        await take("live", reader, 1)


def lane_of(first: int, end: int) -> Lanes:
    lanes = Lanes()
    lanes[2].end, lanes[2].values_end = end, 10 * end
    return lanes


def test_a_cursor_with_several_ranges_reports_what_is_missing_in_each() -> None:
    """Wants 0-10 and 20-30 and from 40 on; records end at 25 on the disk, and should go on to 50."""
    at = Places(lanes=[(0, 0, 0), (1, 0, 0), (2, 0, 0)], ahead=[(2, 10, 100, 20, 200), (2, 30, 300, 40, 400)])
    lanes = lane_of(0, 25)
    kept = {lane.index: (lane.end, lane.values_end) for lane in lanes}
    lanes[2].end = 50
    lanes[2].segments.clear()
    kept[2] = (25, 250)
    fits, lost = fitted(at, lanes, kept, {2: (50, 500)})
    assert sorted(lost) == [(5, 50), (5, 50), (10, 100), (10, 100)]
    assert fits == Places(lanes=[(0, 0, 0), (1, 0, 0), (2, 50, 250)])
