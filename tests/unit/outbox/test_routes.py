"""Routes: each reader gets what is for its route; one that goes over to another misses and repeats nothing."""

import asyncio
import errno
import random
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.outbox import Outbox
from gateway.outbox.lanes import MOST_ROUTES
from tests.support.disk import Disk
from tests.support.routed_outbox import Folder, get, message, put


def test_each_reader_gets_the_messages_of_its_route(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        both = {"": [message(outbox, "", "n1")], "far": [message(outbox, "far", "f1"), message(outbox, "far", "f2", 1)]}
        await outbox.append(both[""], others={"far": both["far"]}, source="s", checkpoint=b"1")
        assert outbox.checkpoints == {"s": b"1"}
        assert await get(outbox.reader("near")) == ["n1"]
        assert await get(outbox.reader("far")) == ["f1", "f2"]
        await outbox.wait_empty()

    Folder(tmp_path).run({"near": "", "far": "far"}, body)


def test_a_stream_stays_in_its_route(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await put(outbox, "far", "f1")
        with pytest.raises(ValueError, match="lane"):
            await outbox.append([message(outbox, "far", "f2")])

    Folder(tmp_path).run({"far": "far"}, body)


@pytest.mark.parametrize("acknowledged", [0, 2, 4])
def test_a_change_of_route_loses_nothing_and_repeats_nothing(tmp_path: Path, acknowledged: int) -> None:
    async def body(outbox: Outbox) -> None:
        reader = outbox.reader("far")
        await put(outbox, "", "n1", "n2", "n3", "n4")
        await put(outbox, "far", "not for it")
        for record in await reader.read(4, 10**6):
            if record.message.seq <= acknowledged:
                reader.ack(record.number)
        outbox.follow("far", "far")
        await put(outbox, "", "not for it either")
        await put(outbox, "far", "f1")
        reader.rewind()
        assert await get(reader) == [*["n1", "n2", "n3", "n4"][acknowledged:], "f1"]
        outbox.follow("far", "")
        await put(outbox, "far", "gone")
        await put(outbox, "", "n6")
        assert await get(reader) == ["n6"]

    Folder(tmp_path).run({"near": "", "far": ""}, body)


def test_an_append_in_progress_belongs_to_the_route_of_its_time(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        def begin(route: str, text: str, ahead: int) -> "asyncio.Task[None]":
            made = [message(outbox, route, text, ahead)]
            append = outbox.append([] if route else made, others={route: made} if route else {})
            return asyncio.create_task(append)

        tasks = [begin("", "n1", 0), begin("far", "not for it", 0)]
        await asyncio.sleep(0)
        outbox.follow("far", "far")
        tasks += [begin("", "nor this", 0), begin("far", "f1", 0)]
        await asyncio.gather(*tasks)
        assert await get(outbox.reader("far")) == ["n1", "f1"]

    Folder(tmp_path).run({"near": "", "far": ""}, body)


@pytest.mark.parametrize("acknowledged", [0, 1])
def test_a_route_changed_between_two_runs_is_taken_over(tmp_path: Path, acknowledged: int) -> None:
    folder = Folder(tmp_path)

    async def first(outbox: Outbox) -> None:
        await put(outbox, "", "n1", "n2")
        await put(outbox, "far", "not for it")
        for record in await outbox.reader("far").read(acknowledged, 10**6) if acknowledged else []:
            outbox.reader("far").ack(record.number)

    async def second(outbox: Outbox) -> None:
        await put(outbox, "far", "f1")
        assert await get(outbox.reader("far")) == [*["n1", "n2"][acknowledged:], "f1"]
        assert await get(outbox.reader("near")) == ["n1", "n2"]

    folder.run({"near": "", "far": ""}, first)
    folder.run({"near": "", "far": "far"}, second)
    assert folder.drops == []


def test_a_new_reader_begins_with_the_stored_messages_of_its_route(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        await put(outbox, "", "n1")
        await put(outbox, "far", "f1")
        assert await get(outbox.reader("also far", "far")) == ["f1"]
        assert await get(outbox.reader("also near")) == ["n1"]

    Folder(tmp_path).run({"near": "", "far": "far"}, body)


def test_an_unused_route_leaves_no_files_and_its_numbers_continue(tmp_path: Path) -> None:
    folder = Folder(tmp_path)

    async def first(outbox: Outbox) -> None:
        await put(outbox, "far", "f1", "f2")
        await put(outbox, "", "n1")
        await outbox.forget("far")

    async def second(outbox: Outbox) -> None:
        assert not [
            path.name for path in tmp_path.glob("*.seg") if not path.name.startswith("0-") and path.name[0] > "2"
        ]
        assert await get(outbox.reader("near")) == ["n1"]

    async def third(outbox: Outbox) -> None:
        assert outbox.next_seq("TELEMETRY@far") == 3
        await put(outbox, "far", "f3")
        assert await get(outbox.reader("far")) == ["f3"]

    folder.run({"near": "", "far": "far"}, first)
    folder.run({"near": ""}, second)
    folder.run({"near": "", "far": "far"}, third)


def test_dropped_messages_are_reported_with_the_affected_readers(tmp_path: Path) -> None:
    folder = Folder(tmp_path, max_bytes=12_000)

    async def body(outbox: Outbox) -> None:
        await put(outbox, "far", *"abcdef", size=500)
        await put(outbox, "", *"abcdefghijklmnopqrst", size=500)
        losses = outbox.take_losses()
        assert {(loss.stream, loss.readers) for loss in losses} == {
            ("TELEMETRY@far", ("far",)), ("TELEMETRY@", ("near",)),
        }  # fmt: skip
        for name, stored in (("far", 6), ("near", 20)):
            lost = sum(loss.values for loss in losses if name in loss.readers)
            assert lost == sum(values for reader, _, values in folder.drops if reader == name)
            assert len(await get(outbox.reader(name))) + lost == stored

    folder.run({"near": "", "far": "far"}, body)


def test_too_many_routes_are_refused_and_change_nothing(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        for n in range(MOST_ROUTES - 1):
            await put(outbox, f"route-{n}", "x")
        with pytest.raises(ConfigError, match="different payloads"):
            await put(outbox, "one-more", "x")
        with pytest.raises(ConfigError, match="different payloads"):
            outbox.follow("near", "one-more")
        await put(outbox, "", "n1")
        assert await get(outbox.reader("near")) == ["n1"]

    Folder(tmp_path).run({"near": ""}, body)


def test_too_many_changes_of_route_with_a_backlog_are_refused(tmp_path: Path) -> None:
    async def body(outbox: Outbox) -> None:
        for n in range(1000):
            route, other = ("far", "") if n % 2 else ("", "far")
            await put(outbox, route, f"m{n}")
            await put(outbox, other, "not for it")
            if not outbox.may_follow("r", other):
                break
            outbox.follow("r", other)
        assert 10 < n < 999
        assert sorted(await get(outbox.reader("r"))) == sorted(f"m{each}" for each in range(n + 1))

    Folder(tmp_path).run({"r": ""}, body)


def test_a_checkpoint_is_not_durable_before_the_messages_of_every_route(tmp_path: Path) -> None:
    disk = Disk()
    folder = Folder(tmp_path, disk.files)

    async def first(outbox: Outbox) -> None:
        await put(outbox, "", "n0", checkpoint=b"0")
        await put(outbox, "far", "f0", checkpoint=b"1")
        writes = 0

        def seen(operation: str, path: Path | None) -> None:
            nonlocal writes
            writes += operation == "write"
            if writes == 3:  # records of the first route, the note of where they end, records of the second
                disk.kill()

        disk.seen = seen
        made = [message(outbox, "", "n1")]
        append = outbox.append(made, others={"far": [message(outbox, "far", "f1")]}, source="s", checkpoint=b"2")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(append, 0.2)

    async def second(outbox: Outbox) -> None:
        assert outbox.checkpoints == {"s": b"1"}
        assert await get(outbox.reader("near")) == ["n0", "n1"]
        assert await get(outbox.reader("far")) == ["f0"]

    folder.run({"near": "", "far": "far"}, first)
    disk.seen = lambda operation, path: None
    folder.run({"near": "", "far": "far"}, second)


@pytest.mark.parametrize("seed", range(30))
def test_a_power_cut_during_a_change_of_route_loses_nothing(tmp_path: Path, seed: int) -> None:
    disk = Disk()
    folder = Folder(tmp_path, disk.files)

    async def first(outbox: Outbox) -> None:
        reader = outbox.reader("far")
        await put(outbox, "", "n1", "n2", "n3")
        outbox.follow("far", "far")
        await put(outbox, "far", "f1")
        for record in (await reader.read(10, 10**6))[: seed % 3]:
            reader.ack(record.number)
        reader.save()
        disk.cut_power(random.Random(seed))

    async def second(outbox: Outbox) -> None:
        got = await get(outbox.reader("far"))
        assert got == ["n1", "n2", "n3", "f1"][-len(got) :]
        assert len(got) >= 4 - seed % 3

    folder.run({"near": "", "far": ""}, first)
    folder.run({"near": "", "far": "far"}, second)


def test_appends_after_a_change_of_route_wait_until_it_is_on_the_disk(tmp_path: Path) -> None:
    disk = Disk()
    folder = Folder(tmp_path, disk.files)

    async def body(outbox: Outbox) -> None:
        await put(outbox, "", "n1")
        disk.faults["write"] = [errno.ENOSPC, errno.EIO, errno.ENOSPC]
        outbox.follow("far", "far")
        await put(outbox, "far", "f1")
        assert disk.faults["write"] == []
        assert await get(outbox.reader("far")) == ["n1", "f1"]

    folder.run({"near": "", "far": ""}, body)
