"""The outbox: what it took it gives back, in order, once, also after a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.config import OutboxConfig
from gateway.errors import ConfigError, Rejected
from gateway.model import UNIX_EPOCH_TICKS, Message, Priority
from gateway.outbox import Outbox, Reader, Record, open_outbox


def message(seq: int, stream: str = "a", *, size: int = 10, priority: Priority = Priority.TELEMETRY) -> Message:
    return Message(topic=f"t/{stream}", payload=b"x" * size, stream=stream, seq=seq, values=3, priority=priority)


def run(folder: Path, *bodies: Callable[[Outbox], Awaitable[None]], **config: object) -> None:
    """Run each body in a run of the outbox of its own, one after another, on one folder."""
    settings = OutboxConfig.model_validate({"path": folder, **config})

    async def life() -> None:
        for body in bodies:
            async with open_outbox(settings, readers=("r",)) as outbox:
                await body(outbox)

    asyncio.run(asyncio.wait_for(life(), 60))


async def fill(outbox: Outbox, count: int, stream: str = "a", size: int = 10) -> None:
    for _ in range(count):
        await outbox.append([message(outbox.next_seq(stream), stream, size=size)])


async def drain(reader: Reader) -> list[Record]:
    records: list[Record] = []
    while reader.messages:
        batch = await reader.read(10, 10**6)
        records += batch
        for record in batch:
            assert reader.ack(record.number)
    return records


def seqs(records: list[Record]) -> list[int]:
    return [record.message.seq for record in records]


def test_appended_messages_are_read_complete_and_in_order(tmp_path: Path) -> None:
    sent = [
        Message(
            topic="fabrik/Prüfstand/1", payload=bytes(range(256)), stream="s", seq=n, values=n, source="press",
            oldest_ticks=n, content_type="application/msgpack", retain=n % 2 == 0, properties=(("a", "ä"), ("b", "")),
        )
        for n in range(1, 21)
    ]  # fmt: skip

    async def body(outbox: Outbox) -> None:
        await outbox.append(sent)
        assert [record.message for record in await drain(outbox.reader("r"))] == sent

    run(tmp_path, body)


def test_undelivered_messages_survive_a_restart_and_delivered_ones_do_not_return(tmp_path: Path) -> None:
    async def first(outbox: Outbox) -> None:
        await fill(outbox, 10)
        for record in await outbox.reader("r").read(4, 10**6):
            outbox.reader("r").ack(record.number)

    async def second(outbox: Outbox) -> None:
        assert (outbox.messages, outbox.values, outbox.recovered_values) == (6, 18, 18)
        assert outbox.next_seq("a") == 11
        assert seqs(await drain(outbox.reader("r"))) == [5, 6, 7, 8, 9, 10]

    run(tmp_path, first, second)


def test_a_rewind_returns_unacknowledged_messages_in_order(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await fill(outbox, 6)
        reader = outbox.reader("r")
        records = await reader.read(5, 10**6)
        for n in (1, 3):
            reader.ack(records[n].number)
        reader.rewind()
        assert seqs(await reader.read(10, 10**6)) == [1, 3, 5, 6]

    run(tmp_path, body)


def test_an_error_of_the_on_stored_callback_is_raised_by_its_append_only(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        books: list[int] = []
        faulty = outbox.append([message(1)], on_stored=lambda: books.remove(1))
        results = await asyncio.gather(faulty, outbox.append([message(1, "b")]), return_exceptions=True)
        assert [type(result) for result in results] == [ValueError, type(None)]
        assert outbox.messages == 2
        await fill(outbox, 1)

    run(tmp_path, body)


def test_events_overtake_telemetry(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await fill(outbox, 2)
        await outbox.append([message(1, "e", priority=Priority.EVENT)])
        streams = [record.message.stream for record in await drain(outbox.reader("r"))]
        assert streams == ["e", "a", "a"]

    run(tmp_path, body)


def test_checkpoints_survive_restart(tmp_path: Path) -> None:
    async def first(outbox: Outbox) -> None:
        await outbox.append([message(1)], source="press", checkpoint=b"\x00one")
        await outbox.append([], source="press", checkpoint=b"\x00two")
        await outbox.append([message(2)], source="oven", checkpoint=b"x")

    async def second(outbox: Outbox) -> None:
        assert dict(outbox.checkpoints) == {"press": b"\x00two", "oven": b"x"}

    run(tmp_path, first, second)


def test_a_second_writer_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        with pytest.raises(ConfigError, match="in use by process"):
            async with open_outbox(OutboxConfig(path=tmp_path)):
                pass

    run(tmp_path, body)


def test_a_sequence_number_out_of_turn_is_a_bug(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await outbox.append([message(1), message(2)])
        for wrong in (1, 2, 4):
            with pytest.raises(ValueError, match="last was 2"):
                await outbox.append([message(wrong)])

    run(tmp_path, body)


def test_an_append_larger_than_the_outbox_is_refused_entirely(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        with pytest.raises(Rejected):
            await outbox.append([message(1, size=10**6)])
        assert outbox.next_seq("a") == 1

    run(tmp_path, body, max_bytes=10**6)


def test_a_full_outbox_drops_the_oldest_and_reports_it(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await fill(outbox, 100, size=1000)
        left = outbox.messages
        assert outbox.bytes <= 50_000
        losses = outbox.take_losses()
        assert sum(loss.messages for loss in losses) == 100 - left
        assert sum(loss.values for loss in losses) == 3 * (100 - left)
        assert (losses[0].stream, losses[0].from_seq, losses[-1].to_seq) == ("a", 1, 100 - left)
        assert seqs(await drain(outbox.reader("r"))) == list(range(101 - left, 101))
        assert outbox.take_losses() == []

    run(tmp_path, body, max_bytes=50_000)


def test_a_loss_begins_with_the_oldest_value_in_it_not_when_it_was_stored(tmp_path: Path) -> None:
    measured_ns = 1_000_000_000 * 100

    async def body(outbox: Outbox) -> None:
        ticks = UNIX_EPOCH_TICKS + measured_ns // 100
        for _ in range(100):
            seq = outbox.next_seq("a")
            await outbox.append([replace(message(seq, size=1000), oldest_ticks=ticks + seq)])
        losses = outbox.take_losses()
        assert losses[0].from_ns == measured_ns + 100
        assert losses[-1].to_ns > losses[0].from_ns

    run(tmp_path, body, max_bytes=50_000)


def test_a_full_outbox_with_policy_block_waits_and_loses_nothing(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        async with asyncio.TaskGroup() as tasks:
            filling = tasks.create_task(fill(outbox, 100, size=1000))
            records: list[Record] = []
            while len(records) < 100:
                records += await outbox.reader("r").read(1, 10**6)
                outbox.reader("r").ack(records[-1].number)
            await filling
        assert seqs(records) == list(range(1, 101))

    run(tmp_path, body, max_bytes=20_000, when_full="block")


@pytest.mark.slow
@pytest.mark.parametrize("when_full", ["drop_oldest", "block"])
def test_checkpoints_and_segment_headers_count_within_the_bounds(tmp_path: Path, when_full: str) -> None:
    streams = [f"edge-1.k3x9q2/press-shop/factory/hall-2/press/press-{n}" for n in range(30)]

    async def fill_all(outbox: Outbox, most: list[int]) -> None:
        for n in range(600):
            stream = streams[n % len(streams)]
            await outbox.append([message(outbox.next_seq(stream), stream)], source="s", checkpoint=b"m" * 500)
            most.append(outbox.bytes)

    async def body(outbox: Outbox) -> None:
        most: list[int] = []
        async with asyncio.TaskGroup() as tasks:
            filling = tasks.create_task(fill_all(outbox, most))
            await until(lambda: outbox.trouble is not None or filling.done())
            filling.cancel()
        assert max(most) > 40_000
        assert max(*most, outbox.bytes) <= 50_000

    run(tmp_path, body, max_bytes=50_000, segment_bytes=5_000, when_full=when_full)


def test_an_error_inside_the_context_passes_through_unchanged(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await fill(outbox, 1)
        raise KeyError("mine")

    with pytest.raises(KeyError):
        run(tmp_path, body)


@pytest.mark.usefixtures("kept_often")
def test_each_reader_has_its_own_position_and_the_slowest_keeps_the_segments(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await fill(outbox, 50)
        assert seqs(await drain(outbox.reader("fast"))) == list(range(1, 51))
        assert (outbox.reader("fast").messages, outbox.reader("slow").messages, outbox.messages) == (0, 50, 50)
        before = outbox.bytes
        assert seqs(await drain(outbox.reader("slow"))) == list(range(1, 51))
        await outbox.wait_empty()
        await until(lambda: outbox.bytes < before / 2)  # freed once a second

    asyncio.run(asyncio.wait_for(lived(tmp_path, ("fast", "slow"), body), 60))


@pytest.mark.usefixtures("kept_often")
def test_a_removed_reader_does_not_keep_segments(tmp_path: Path) -> None:
    """A broker taken out of the configuration is forgotten at the start, and what waited for it alone is freed."""

    async def one_is_away(outbox: Outbox) -> None:
        await fill(outbox, 50)
        await drain(outbox.reader("here"))

    async def it_is_gone(outbox: Outbox) -> None:
        assert (outbox.messages, outbox.take_losses()) == (0, [])
        await fill(outbox, 5)
        assert seqs(await drain(outbox.reader("here"))) == list(range(51, 56))
        await until(lambda: len(list(tmp_path.glob("*.seg"))) == 1)

    async def it_is_back(outbox: Outbox) -> None:
        assert outbox.reader("gone").messages < 50, "it begins at the oldest record there is, as a new one does"

    for readers, body in ((("here", "gone"), one_is_away), (("here",), it_is_gone), (("here", "gone"), it_is_back)):
        asyncio.run(asyncio.wait_for(lived(tmp_path, readers, body), 60))
    assert (tmp_path / "gone.cursor").exists()


@pytest.mark.usefixtures("kept_often")
def test_a_reader_removed_at_runtime_frees_its_segments_at_once(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await fill(outbox, 50)
        await drain(outbox.reader("here"))
        before = outbox.bytes
        await outbox.forget("gone")
        assert (outbox.messages, (tmp_path / "gone.cursor").exists()) == (0, False)
        await until(lambda: outbox.bytes < before / 2)
        await fill(outbox, 5)
        assert seqs(await drain(outbox.reader("here"))) == list(range(51, 56))
        assert outbox.reader("gone").messages < 50  # a new one

    asyncio.run(asyncio.wait_for(lived(tmp_path, ("here", "gone"), body), 60))


def test_a_waiting_append_continues_when_the_bounds_are_raised(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        async with asyncio.TaskGroup() as tasks:
            filling = tasks.create_task(fill(outbox, 100, size=1000))
            await until(lambda: outbox.trouble is not None)
            outbox.keep_within(OutboxConfig(path=tmp_path, max_bytes=2**20, when_full="block"))
            await filling
        assert (outbox.messages, outbox.trouble) == (100, None)

    run(tmp_path, body, max_bytes=20_000, when_full="block")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing tells of; the whole test has a time-out."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def lived(folder: Path, readers: tuple[str, ...], body: Callable[[Outbox], Awaitable[None]]) -> None:
    async with open_outbox(OutboxConfig(path=folder, segment_bytes=1000), readers=readers) as outbox:
        await body(outbox)
