"""Every known damage has its consequence: nothing else is lost, what is lost is told, no number comes twice."""

import asyncio
import errno
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.config import OutboxConfig
from gateway.errors import ConfigError, Unavailable
from gateway.model import Message, Priority
from gateway.outbox import Files, Outbox, Record, open_outbox
from gateway.outbox.clock import Clock
from tests.support.disk import Disk

YEAR_NS = 365 * 86400 * 10**9


def message(seq: int, stream: str = "a", size: int = 100) -> Message:
    return Message(f"t/{stream}", f"{stream}{seq}".encode().ljust(size), stream, seq, values=3)


Body = Callable[[Outbox], Awaitable[None]]


class Folder:
    """An outbox that is opened several times, with damage done in between."""

    def __init__(self, path: Path, files: Files | None = None, clock: Clock | None = None, **config: object) -> None:
        self.path = path
        self.drops: list[tuple[str, int]] = []
        self.epochs: list[str] = []
        self.files = files
        self.clock = clock
        self.config = OutboxConfig.model_validate({"path": path, "segment_bytes": 2000, "min_free": 1, **config})

    def run(self, body: Body) -> None:
        async def life() -> None:
            async with open_outbox(
                self.config, readers=("r",), files=self.files, clock=self.clock, retry_s=0.001,
                on_drop=lambda reader, reason, values: self.drops.append((reason, values)),
            ) as outbox:  # fmt: skip
                self.epochs.append(outbox.epoch)
                await body(outbox)

        asyncio.run(asyncio.wait_for(life(), 60))

    def fill(self, count: int) -> None:
        async def body(outbox: Outbox) -> None:
            for _ in range(count):
                for stream in ("a", "b"):
                    await outbox.append([message(outbox.next_seq(stream), stream)], source="s", checkpoint=b"m")

        self.run(body)

    def drain(self, acknowledge: int = 10**6) -> "Drained":
        drained = Drained()

        async def body(outbox: Outbox) -> None:
            reader = outbox.reader("r")
            drained.recovered = outbox.recovered_values
            drained.next_seq = outbox.next_seq("a")
            drained.checkpoints = dict(outbox.checkpoints)
            while reader.messages and len(drained.records) < acknowledge:
                for record in await reader.read(min(acknowledge, 10), 10**6):
                    drained.records.append(record)
                    assert reader.ack(record.number)
            await outbox.append([])  # whatever was met is assessed before this is durable
            drained.losses = [(x.stream, x.from_seq, x.to_seq, x.messages, x.values) for x in outbox.take_losses()]

        self.run(body)
        return drained

    def segments(self) -> list[Path]:
        return sorted(self.path.glob("*.seg"))


class Drained:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.losses: list[tuple[str, int, int, int, int]] = []
        self.recovered = 0
        self.next_seq = 0
        self.checkpoints: dict[str, bytes] = {}

    def seqs(self, stream: str) -> list[int]:
        return [record.message.seq for record in self.records if record.message.stream == stream]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing tells of; the whole test has a time-out."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def record_offset(path: Path, stream: str, seq: int) -> int:
    """Where the payload of this message stands in a segment."""
    return path.read_bytes().index(f"{stream}{seq} ".encode())


def test_a_flipped_bit_loses_one_message_and_names_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(20)
    flip(folder.segments()[0], record_offset(folder.segments()[0], "a", 3))
    drained = folder.drain()
    assert drained.seqs("a") == [1, 2, *range(4, 21)]
    assert drained.seqs("b") == list(range(1, 21))
    assert drained.losses == [("a", 3, 3, 1, 3)]
    assert folder.drops == [("corrupt", 3)]
    assert folder.epochs[0] == folder.epochs[1]
    assert list((tmp_path / "quarantine").iterdir())


def test_damage_read_again_after_a_rewind_is_counted_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path, segment_bytes=10**6, max_bytes=10**8)
    folder.fill(5)
    flip(folder.segments()[0], record_offset(folder.segments()[0], "a", 3))

    async def body(outbox: Outbox) -> None:
        reader = outbox.reader("r")
        for _ in range(3):
            records: list[Record] = []
            while reader.messages > len(records):
                records += await reader.read(100, 10**6)
            reader.rewind()
            assert (len(records), reader.messages, reader.values) == (9, 9, 27)

    folder.run(body)
    assert folder.drops == [("corrupt", 3)]


@pytest.mark.parametrize("field", range(0, 60, 4))
def test_damage_in_any_field_of_a_record_header_loses_one_message(tmp_path: Path, field: int) -> None:
    folder = Folder(tmp_path)
    folder.fill(20)
    path = folder.segments()[0]
    start = path.read_bytes().rindex(b"\xf0Rc1", 0, record_offset(path, "b", 2))
    flip(path, start + field)
    drained = folder.drain()
    assert (drained.seqs("a"), drained.seqs("b")) == (list(range(1, 21)), [1, *range(3, 21)])
    assert drained.losses == [("b", 2, 2, 1, 3)]


@pytest.mark.parametrize("compress", ["none", "zlib"])
def test_a_torn_tail_is_cut_wherever_it_tears(tmp_path: Path, compress: str) -> None:
    folder = Folder(tmp_path / "0", segment_bytes=10**6, compress=compress)
    folder.fill(2)
    whole, state = folder.segments()[0].read_bytes(), (tmp_path / "0" / "state").read_bytes()
    first = whole.index(b"\xf0Rc1", whole.index(b"t/b"))
    for cut in range(first, len(whole), 11):
        torn = Folder(tmp_path / str(cut))
        torn.path.mkdir()
        (torn.path / folder.segments()[0].name).write_bytes(whole[:cut])
        (torn.path / "state").write_bytes(state)
        drained = torn.drain()
        assert drained.seqs("b") in ([1], [1, 2])
        missing = 4 - len(drained.records)
        assert (torn.epochs != folder.epochs) == (missing > 0), "the note says more was durable: not proven"
        assert sum(loss[3] for loss in drained.losses) == missing


def test_the_newest_record_damaged_begins_new_streams(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(3)
    path = folder.segments()[-1]
    flip(path, record_offset(path, "b", 3))
    assert folder.drain().seqs("b") == [1, 2]
    assert folder.epochs[0] != folder.epochs[1]


def test_a_missing_segment_is_reported_and_the_rest_delivered(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(30)
    missing = folder.segments()[1]
    count = int(folder.segments()[2].stem[2:]) - int(missing.stem[2:])
    missing.unlink()
    drained = folder.drain()
    assert len(drained.records) == 60 - count
    assert sum(loss[3] for loss in drained.losses) == count
    assert sum(values for _, values in folder.drops) == 3 * count
    assert drained.next_seq == 31
    assert folder.epochs[0] == folder.epochs[1]


def test_a_missing_oldest_segment_is_reported(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(30)
    folder.drain(acknowledge=1)
    gone = folder.segments()[0]
    count = int(folder.segments()[1].stem[2:]) - 1
    gone.unlink()
    drained = folder.drain()
    assert len(drained.records) == 59 - count
    assert drained.losses == [("", 0, 0, count, 3 * count)]
    assert drained.recovered == 3 * 59
    assert folder.drops == [("corrupt", 3 * count)]


def test_a_missing_newest_segment_begins_new_streams(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(30)
    count = 60 - int(folder.segments()[-1].stem[2:])
    folder.segments()[-1].unlink()
    drained = folder.drain()
    assert len(drained.records) == 60 - count
    assert sum(loss[3] for loss in drained.losses) == count
    assert folder.epochs[0] != folder.epochs[1]


def test_missing_segments_with_an_intact_state_begin_new_streams(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(30)
    for path in folder.segments():
        path.unlink()
    assert folder.drain().records == []
    assert folder.epochs[0] != folder.epochs[1]
    folder.fill(1)
    assert len(folder.drain().records) == 2


@pytest.mark.parametrize("content", [b"", b"garbage" * 2000])
def test_a_damaged_cursor_delivers_again_and_loses_nothing(tmp_path: Path, content: bytes) -> None:
    folder = Folder(tmp_path)
    folder.fill(5)
    folder.drain(acknowledge=4)
    (tmp_path / "r.cursor").write_bytes(content)
    assert folder.drain().seqs("a") == [1, 2, 3, 4, 5]


def test_one_damaged_slot_of_the_cursor_only_causes_repeats(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(5)
    folder.drain(acknowledge=4)
    data = bytearray((tmp_path / "r.cursor").read_bytes())
    data[4096 + 30] ^= 1
    (tmp_path / "r.cursor").write_bytes(data)
    assert folder.drain().seqs("b")[-3:] == [3, 4, 5]


@pytest.mark.parametrize("content", [None, b"", b"x" * 9000])
def test_a_missing_or_damaged_writer_state_begins_new_streams_and_loses_nothing(
    tmp_path: Path, content: bytes | None
) -> None:
    folder = Folder(tmp_path)
    folder.fill(5)
    (tmp_path / "state").unlink()
    if content is not None:
        (tmp_path / "state").write_bytes(content)
    drained = folder.drain()
    assert (len(drained.records), drained.checkpoints, drained.losses) == (10, {"s": b"m"}, [])
    assert folder.epochs[0] != folder.epochs[1]


def test_damaged_segment_headers_lose_no_message(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(20)
    for path in folder.segments():
        flip(path, 30)
    drained = folder.drain()
    assert (drained.seqs("a"), drained.seqs("b")) == (list(range(1, 21)), list(range(1, 21)))
    assert folder.epochs[0] != folder.epochs[1]


def test_empty_and_foreign_files_are_left_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(5)
    for name in ("2-0000000000000099.seg", "2-5.seg", "README", "9-0000000000000000.seg", "x.cursor.bak"):
        (tmp_path / name).touch()
    (tmp_path / "a folder").mkdir()
    assert len(folder.drain().records) == 10
    assert (tmp_path / "README").exists()


def test_a_damaged_ledger_does_not_keep_the_outbox_from_starting(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(5)
    (tmp_path / "ledger").write_bytes(b'{"id": 3, "str\n\xff\xff\n[1]\n')
    assert len(folder.drain().records) == 10


def test_numbers_are_not_reused_when_a_reader_was_ahead_of_what_is_left(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.fill(5)
    folder.drain()
    (tmp_path / "state").unlink()
    for path in folder.segments():
        path.unlink()
    folder.fill(5)
    assert len(folder.drain().records) == 10, "new records below an old cursor would be taken for delivered"


def test_segments_written_with_and_without_compression_are_read_alike(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    sizes = []
    for compress in ("none", "zlib", "none"):
        folder.config = folder.config.model_copy(update={"compress": compress})
        before = sum(path.stat().st_size for path in folder.segments())
        folder.fill(10)
        sizes.append(sum(path.stat().st_size for path in folder.segments()) - before)
    assert sizes[1] < 0.8 * min(sizes[0], sizes[2])
    drained = folder.drain()
    assert drained.seqs("a") == drained.seqs("b") == list(range(1, 31))
    sent = [message(seq, stream).payload for seq in range(1, 31) for stream in "ab"]
    assert [record.message.payload for record in drained.records] == sent
    assert (drained.losses, len({*folder.epochs})) == ([], 1)


def test_a_flipped_bit_in_a_compressed_message_loses_only_that_message(tmp_path: Path) -> None:
    folder = Folder(tmp_path, compress="zlib")
    folder.fill(3)
    path = folder.segments()[0]
    flip(path, path.read_bytes().index(b"t/b") + 20)
    drained = folder.drain()
    assert (drained.seqs("a"), drained.seqs("b")) == ([1, 2, 3], [2, 3])
    assert drained.losses == [("b", 1, 1, 1, 3)]


@pytest.mark.parametrize("error", [errno.EROFS, errno.EIO, errno.ENOSPC])
def test_a_disk_that_cannot_be_written_at_the_start_is_not_a_configuration_mistake(error: int) -> None:
    disk = Disk()
    Folder(Path("/outbox"), disk.files()).fill(2)
    disk.kill()
    disk.always.update(open=error, write=error, make_folder=error)
    with pytest.raises(Unavailable, match="cannot use the outbox folder /outbox"):
        Folder(Path("/outbox"), disk.files()).fill(1)
    disk.always.clear()
    disk.kill()
    drained = Folder(Path("/outbox"), disk.files()).drain()
    assert (drained.seqs("a"), drained.losses) == ([1, 2], [])


def test_with_commit_os_a_kill_loses_nothing(tmp_path: Path) -> None:
    disk = Disk()
    folder = Folder(Path("/outbox"), disk.files(), commit="os")

    async def body(outbox: Outbox) -> None:
        await outbox.append([message(n) for n in range(1, 51)])
        disk.kill()

    folder.run(body)
    folder.files = disk.files()
    drained = folder.drain()
    assert (drained.seqs("a"), drained.losses, len({*folder.epochs})) == (list(range(1, 51)), [], 1)


@pytest.mark.parametrize("seed", range(12))
def test_with_commit_os_a_power_cut_keeps_a_prefix_and_begins_new_streams(seed: int) -> None:
    """What was not synced may be gone, and nobody can tell how much: so no number may go on."""
    disk = Disk()
    folder = Folder(Path("/outbox"), disk.files(), commit="os")

    async def body(outbox: Outbox) -> None:
        for n in range(1, 51):
            await outbox.append([message(n)])
        disk.cut_power(random.Random(seed))

    folder.run(body)
    folder.files = disk.files()
    drained = folder.drain()
    kept = drained.seqs("a")
    assert kept == list(range(1, len(kept) + 1))
    assert len({*folder.epochs}) == 2


def test_a_folder_that_cannot_be_written_is_reported_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot use the outbox folder"):
        Folder(tmp_path / "file" / "outbox").fill(1)


@pytest.mark.parametrize("operation", ["write", "sync", "rename", "sync_folder"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_disk_that_fails_for_a_while_holds_appends_and_loses_nothing(operation: str, error: int) -> None:
    disk = Disk()
    folder = Folder(Path("/outbox"), disk.files())

    async def body(outbox: Outbox) -> None:
        await outbox.append([message(1)])
        disk.always[operation] = error
        appending = [asyncio.create_task(outbox.append([message(n)])) for n in (2, 3)]
        if operation in ("write", "sync"):
            await until(lambda: outbox.trouble is not None)
            assert not any(task.done() for task in appending)
        disk.always.clear()
        await asyncio.gather(*appending)
        assert outbox.trouble is None
        assert [r.message.seq for r in await outbox.reader("r").read(10, 10**6)] in ([1], [1, 2, 3])

    folder.run(body)
    disk.kill()
    folder.files = disk.files()
    assert folder.drain().seqs("a") == [1, 2, 3]


def test_a_full_disk_drops_the_oldest_if_configured(tmp_path: Path) -> None:
    disk = Disk(capacity=40_000)
    folder = Folder(Path("/outbox"), disk.files(), min_free=5_000)
    folder.fill(150)
    assert disk.capacity - disk.used >= 5_000
    folder.files = disk.files()
    drained = folder.drain()
    assert drained.seqs("a")[-1] == 150
    assert {reason for reason, _ in folder.drops} == {"outbox_full"}
    assert sum(values for _, values in folder.drops) + 3 * len(drained.records) == 900


@pytest.mark.usefixtures("kept_often")
def test_the_reserve_of_free_disk_blocks_if_configured(tmp_path: Path) -> None:
    disk = Disk(capacity=20_000)
    folder = Folder(Path("/outbox"), disk.files(), min_free=5_000, when_full="block")

    async def body(outbox: Outbox) -> None:
        filling = asyncio.create_task(outbox.append([message(1, size=9_000)]))
        await filling
        waiting = asyncio.create_task(outbox.append([message(2, size=9_000)]))
        await until(lambda: outbox.trouble is not None)
        disk.capacity = 10**6
        await waiting

    folder.run(body)


class Wall:
    """Clocks that a test moves."""

    def __init__(self) -> None:
        self.wall_ns = 1_800_000_000 * 10**9
        self.mono_ns = 5 * 10**9

    def clock(self) -> Clock:
        return Clock(lambda: self.wall_ns, lambda: self.mono_ns)

    def pass_s(self, seconds: float) -> None:
        self.wall_ns += int(seconds * 1e9)
        self.mono_ns += int(seconds * 1e9)


@pytest.mark.parametrize("jump", [-YEAR_NS, YEAR_NS, -1_800_000_000 * 10**9])
def test_a_jump_of_the_clock_moves_no_age_and_expires_nothing(tmp_path: Path, jump: int) -> None:
    wall = Wall()
    folder = Folder(tmp_path, clock=wall.clock(), max_age=3600)
    ages: list[float] = []

    async def body(outbox: Outbox) -> None:
        await outbox.append([message(outbox.next_seq("a"))])
        wall.pass_s(60)
        wall.wall_ns += jump
        ages.append(outbox.oldest_age_s)
        await outbox.append([message(outbox.next_seq("a"))])

    folder.run(body)
    wall.mono_ns = 10**9  # started again: the monotonic clock begins anew
    folder.clock = wall.clock()
    wall.pass_s(10)
    drained = folder.drain()
    assert ages == [pytest.approx(60.0)]
    assert (len(drained.records), drained.losses) == (2, [])


def test_the_latest_time_does_not_go_back_with_the_clock_not_even_over_a_restart(tmp_path: Path) -> None:
    wall = Wall()
    folder = Folder(tmp_path, clock=wall.clock())
    seen: list[int] = []

    async def body(outbox: Outbox) -> None:
        await outbox.append([message(outbox.next_seq("a"))])
        seen.append(outbox.latest_ns)

    folder.run(body)
    wall.wall_ns -= YEAR_NS
    folder.clock = wall.clock()
    folder.run(body)
    wall.wall_ns += YEAR_NS + 10**9
    folder.run(body)
    assert [latest_ns - seen[0] for latest_ns in seen] == [0, 0, 10**9]


def test_the_age_is_that_of_the_oldest_message_not_of_the_file_it_is_in(tmp_path: Path) -> None:
    wall = Wall()
    folder = Folder(tmp_path, clock=wall.clock())
    ages: list[float] = []

    async def body(outbox: Outbox) -> None:
        reader = outbox.reader("r")
        await outbox.append([message(outbox.next_seq("a"))])
        for record in await reader.read(10, 10**6):
            reader.ack(record.number)
        wall.pass_s(600)
        for _ in range(2):
            await outbox.append([message(outbox.next_seq("a"))])
            ages.append(outbox.oldest_age_s)
            wall.pass_s(5)
        first, _ = await reader.read(10, 10**6)
        reader.rewind()
        ages.append(outbox.oldest_age_s)
        await reader.read(10, 10**6)
        reader.ack(first.number)
        reader.rewind()
        ages.append(outbox.oldest_age_s)

    folder.run(body)
    assert ages == [pytest.approx(age) for age in (0, 5, 10, 5)]


@pytest.mark.usefixtures("kept_often")
def test_messages_older_than_the_limit_are_dropped_and_announced(tmp_path: Path) -> None:
    wall = Wall()
    folder = Folder(tmp_path, clock=wall.clock(), max_age=3600)

    async def body(outbox: Outbox) -> None:
        for n in range(1, 11):
            await outbox.append([message(n)])
        wall.pass_s(4000)
        await outbox.append([message(11)])
        await until(lambda: outbox.messages == 1)
        [loss] = outbox.take_losses()
        assert (loss.cause, loss.from_seq, loss.to_seq, loss.values) == ("expired", 1, 10, 30)

    folder.run(body)
    assert folder.drops == [("expired", 30)]


def test_losses_are_reported_after_a_restart_until_they_are_announced(tmp_path: Path) -> None:
    folder = Folder(tmp_path, max_bytes=8_000)
    folder.fill(50)
    told: list[int] = []

    async def look(outbox: Outbox) -> None:
        losses = outbox.take_losses()
        told.append(len(losses))
        if len(told) == 2:
            gap = Message("t/gap", b"gap", "gap", 1, 0, priority=Priority.EVENT)
            await outbox.append([gap], losses=losses)

    for _ in range(3):
        folder.run(look)
    assert told[0] == told[1] > 0
    assert told[2] == 0
