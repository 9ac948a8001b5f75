"""When and how the outbox writes: together, off the event loop, within its bounds, the most urgent kept longest."""

import asyncio
import threading
from collections import Counter
from pathlib import Path

from gateway.config import OutboxConfig
from gateway.model import Message, Priority
from gateway.outbox import open_outbox
from tests.support.disk import Disk

FOLDER = Path("/outbox")
LANES = tuple(Priority)


def message(seq: int, stream: str = "a", priority: Priority = Priority.TELEMETRY, size: int = 100) -> Message:
    return Message(f"t/{stream}", bytes(size), stream, seq, values=1, priority=priority)


def config(**changes: object) -> OutboxConfig:
    return OutboxConfig.model_validate({"path": FOLDER, "min_free": 1, **changes})


def test_appends_that_wait_at_the_same_moment_share_one_sync() -> None:
    disk, synced = Disk(), Counter[str]()
    disk.seen = lambda operation, path: synced.update([operation])

    async def body() -> None:
        async with open_outbox(config(), readers=("r",), files=disk.files()) as outbox:
            await outbox.append([message(1)])
            before = synced["sync"]
            await asyncio.gather(*(outbox.append([message(1, f"s{n}")]) for n in range(50)))
            assert synced["sync"] - before <= 2

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_slow_disk_does_not_stop_the_event_loop() -> None:
    disk, may_go_on = Disk(), threading.Event()

    def slowly(operation: str, path: Path | None) -> None:
        if operation == "sync":
            may_go_on.wait(60)

    async def body() -> None:
        async with open_outbox(config(), readers=("r",), files=disk.files()) as outbox:
            await outbox.append([message(1)])
            disk.seen = slowly
            appending = asyncio.create_task(outbox.append([message(2)]))
            for _ in range(100):
                await asyncio.sleep(0)  # the loop turns
            assert not appending.done()
            may_go_on.set()
            await appending

    asyncio.run(asyncio.wait_for(body(), 60))


def test_messages_of_the_lowest_priority_are_dropped_first(tmp_path: Path) -> None:
    async def body() -> None:
        kept = config(path=tmp_path, max_bytes=40_000, segment_bytes=2_000, commit="os")
        async with open_outbox(kept, readers=("r",)) as outbox:
            for seq in range(1, 61):
                for priority in LANES[:2] if seq <= 8 else LANES[2:]:
                    await outbox.append([message(seq - 8 * (seq > 8), priority.name, priority, size=1000)])
            lost = Counter[str]()
            for loss in outbox.take_losses():
                lost[loss.stream] += loss.messages
            assert lost.keys() == {"TELEMETRY"}
            events = [outbox.append([message(seq, "EVENT", Priority.EVENT, size=1000)]) for seq in range(9, 29)]
            await asyncio.gather(*events)
            assert {loss.stream for loss in outbox.take_losses()} <= {"TELEMETRY", "STATE"}

    asyncio.run(asyncio.wait_for(body(), 60))


def test_the_folder_never_takes_more_than_its_bound_and_one_file(tmp_path: Path) -> None:
    async def body() -> None:
        kept = config(path=tmp_path, max_bytes=40_000, segment_bytes=4_000, commit="os")
        async with open_outbox(kept, readers=("r",)) as outbox:
            for seq in range(1, 200):
                await outbox.append([message(seq, size=500)])
                taken = sum(path.stat().st_size for path in tmp_path.glob("*.seg*"))
                assert taken <= 40_000 + 4_000
                assert outbox.bytes <= 40_000

    asyncio.run(asyncio.wait_for(body(), 60))


def test_many_appends_at_once_stay_within_the_bound() -> None:
    async def body() -> None:
        async with open_outbox(config(max_bytes=4000), readers=("r",), files=Disk().files()) as outbox:
            most = 0

            def look() -> None:
                nonlocal most
                most = max(most, outbox.bytes)

            some = [outbox.begin_append([message(1, f"s{n}", size=900)], on_stored=look) for n in range(20)]
            await asyncio.gather(*some)
            assert most <= 4000

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_reader_that_keeps_up_needs_no_file() -> None:
    disk, seen = Disk(), Counter[str]()

    async def body() -> None:
        async with open_outbox(config(), readers=("r",), files=disk.files()) as outbox:
            reader = outbox.reader("r")
            await outbox.append([message(1)])
            reader.ack((await reader.read(1, 1))[0].number)
            disk.seen = lambda operation, path: seen.update([operation])
            for seq in range(2, 200):
                await outbox.append([message(seq)])
                (record,) = await reader.read(10, 10**6)
                assert record.message == message(seq)
                assert reader.ack(record.number)
            assert not reader.messages
            assert not seen["read"]
            assert not seen["open"]

    asyncio.run(asyncio.wait_for(body(), 60))


def test_records_no_longer_in_memory_come_from_the_file_in_order(tmp_path: Path) -> None:
    async def body() -> None:
        async with open_outbox(config(path=tmp_path), readers=("r",)) as outbox:
            reader = outbox.reader("r")
            for first in range(1, 81, 10):  # more than is kept in memory
                await outbox.append([message(seq, size=10**5) for seq in range(first, first + 10)])
            got: list[int] = []
            while len(got) < 80:
                got += [record.message.seq for record in await reader.read(7, 10**6)]
            assert got == list(range(1, 81))

    asyncio.run(asyncio.wait_for(body(), 60))


def test_the_cursor_is_written_once_for_many_acknowledgements() -> None:
    disk, written = Disk(), Counter[str]()

    async def body() -> None:
        async with open_outbox(config(), readers=("r",), files=disk.files()) as outbox:
            reader = outbox.reader("r")
            await outbox.append([message(seq) for seq in range(1, 1001)])
            disk.seen = lambda operation, path: written.update([path.name] if path and operation == "write" else [])
            for _ in range(100):
                for record in await reader.read(10, 10**6):
                    reader.ack(record.number)
                await asyncio.sleep(0)
            await outbox.wait_empty()
            assert written["r.cursor"] < 50

    asyncio.run(asyncio.wait_for(body(), 60))
