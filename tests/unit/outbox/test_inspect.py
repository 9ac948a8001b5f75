"""Looking into a folder: figures match, nothing changes, a purge keeps the counters."""

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.config import OutboxConfig
from gateway.errors import ConfigError
from gateway.model import Message
from gateway.outbox import Outbox, open_outbox
from gateway.outbox.inspect import export, forget, forget_empty, peek, purge, show


def run(folder: Path, body: Callable[[Outbox], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(lived(folder, body), 60))


async def lived(folder: Path, body: Callable[[Outbox], Awaitable[None]], segment_bytes: int = 1000) -> None:
    async with open_outbox(OutboxConfig(path=folder, segment_bytes=segment_bytes), readers=("r",)) as outbox:
        await body(outbox)


async def fill(outbox: Outbox) -> None:
    for _ in range(20):
        seq = outbox.next_seq("a")
        await outbox.append([Message("t/a", str(seq).encode() * 50, "a", seq, values=3)], source="s", checkpoint=b"m")
    while outbox.messages > 15:
        for record in await outbox.reader("r").read(1, 10**6):
            outbox.reader("r").ack(record.number)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_show_counts_what_is_stored_and_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path, fill)
    before, told = contents(tmp_path), []
    view = show(tmp_path, lambda done, total: told.append((done, total)))
    assert (sum(s.messages for s in view.segments), sum(s.values for s in view.segments)) == (20, 60)
    assert [(r.name, r.messages, r.values) for r in view.readers] == [("r", 15, 45)]
    assert sum(segment.damaged_bytes for segment in view.segments) == 0
    assert (len(view.epoch), view.clean, view.losses) == (8, True, ())
    assert told[-1][0] == told[-1][1] == sum(segment.bytes for segment in view.segments)
    assert contents(tmp_path) == before


def test_export_gives_what_a_reader_has_not_acknowledged_in_order(tmp_path: Path) -> None:
    run(tmp_path, fill)
    assert [record.message.seq for record in export(tmp_path, "r")] == list(range(6, 21))
    assert [record.message.seq for record in peek(tmp_path, 3)] == [1, 2, 3]
    assert peek(tmp_path, 1, "r")[0].message.payload == b"6" * 50
    with pytest.raises(ConfigError, match="its readers: r"):
        peek(tmp_path, 1, "x")


def test_show_works_beside_a_running_gateway_and_purge_does_not(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await fill(outbox)
        assert show(tmp_path).segments
        with pytest.raises(ConfigError, match="in use"):
            purge(tmp_path)

    run(tmp_path, body)


def test_purge_removes_everything_and_keeps_the_counters(tmp_path: Path) -> None:
    run(tmp_path, fill)
    epoch = show(tmp_path).epoch
    assert purge(tmp_path) == (20, 60)

    async def body(outbox: Outbox) -> None:
        assert (outbox.messages, outbox.values, outbox.take_losses()) == (0, 0, [])
        assert (outbox.next_seq("a"), outbox.epoch, dict(outbox.checkpoints)) == (21, epoch, {"s": b"m"})

    run(tmp_path, body)


def test_a_folder_that_is_not_an_outbox_is_refused_and_not_touched(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ConfigError):
            show(folder)
        with pytest.raises(ConfigError):
            purge(folder)
    assert list(tmp_path.iterdir()) == []


def test_refused_messages_of_removed_brokers_are_deleted_and_logged(tmp_path: Path) -> None:
    for name in ("here", "gone"):
        run(tmp_path / name, fill)
    (tmp_path / "something else").mkdir()
    with capture_logs() as told:
        forget(tmp_path, ["here"])
    assert [(entry["messages"], entry["values"]) for entry in told] == [(20, 60)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "something else"]
    assert sum(segment.messages for segment in show(tmp_path / "here").segments) == 20
    forget(tmp_path / "nothing", [])


def test_dead_letters_of_brokers_that_are_gone_stay_until_somebody_purges_them(tmp_path: Path) -> None:
    for name in ("here", "gone"):
        run(tmp_path / name, fill)
    with capture_logs() as told:
        forget_empty(tmp_path, ["here"])
    assert [entry["kept"] for entry in told] == [str(tmp_path / "gone")]
    assert len(peek(tmp_path / "gone", 100)) == 20
    purge(tmp_path / "gone")
    with capture_logs() as told:
        forget_empty(tmp_path, ["here"])
    assert (told, [path.name for path in tmp_path.iterdir()]) == ([], ["here"])


def test_inspecting_a_large_folder_takes_the_memory_of_a_few_files(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        for n in range(1, 61):
            await outbox.append([Message("t/a", bytes(100_000), "a", n, values=1)])

    asyncio.run(asyncio.wait_for(lived(tmp_path, body, segment_bytes=100_000), 60))
    tracemalloc.start()
    try:
        seen = sum(1 for _ in export(tmp_path)), len(show(tmp_path).segments)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == (60, 60)
    assert peak_bytes < 15 * 100_000
