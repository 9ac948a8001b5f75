"""From what runs to what is wanted: all of it or nothing, whoever it is about."""

import asyncio
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.outbox import Files
from tests.support.composition import Composition
from tests.support.forwarding import until


def test_a_change_that_fails_leaves_nothing_behind_and_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "outbox" / "refused").mkdir(parents=True)
    in_the_way = tmp_path / "outbox" / "refused" / "c"
    in_the_way.write_text("not a folder")
    composition = Composition(tmp_path, brokers="abc")

    async def body() -> None:
        first, wanted = composition.config(without="bc"), composition.config()
        async with composition.running(first) as running:
            with pytest.raises(ConfigError):
                await running.peers.take(wanted)
            assert running.gateway.config is first
            assert set(running.gateway.outbox.readers) == set(running.gateway.queues) == {"a"}
            assert sorted(path.name for path in in_the_way.parent.iterdir()) == ["a", "c"]
            families = running.gateway.metrics.registry.collect()
            assert {s.labels.get("sink", "a") for family in families for s in family.samples} == {"a"}
            composition.produce(5)
            await until(lambda: composition.has_all("a"))
            in_the_way.unlink()
            await running.peers.take(wanted)
            composition.produce(5)
            await until(lambda: composition.has_all("a"))
            await running.gateway.outbox.wait_empty()
            assert set(running.gateway.outbox.readers) == set(running.gateway.queues) == set("abc")
            assert [composition.imbalance(broker) for broker in "abc"] == [0, 0, 0]

    asyncio.run(asyncio.wait_for(body(), 60))


class BrokenFiles(Files):
    """A disk whose driver has a bug: what it raises is nothing that anybody foresaw."""

    def __init__(self) -> None:
        self.is_broken = False

    def write(self, fd: int, data: bytes, offset: int) -> None:
        if self.is_broken:
            self.is_broken = False
            raise ZeroDivisionError("injected")
        super().write(fd, data, offset)


def test_a_fault_in_shared_parts_ends_the_process(tmp_path: Path) -> None:
    composition, files = Composition(tmp_path), BrokenFiles()

    async def body() -> None:
        async with composition.running(files=files):
            composition.produce()
            await until(lambda: all(map(composition.has_all, composition.brokers)))
            files.is_broken = True
            composition.produce()
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(asyncio.wait_for(body(), 60))
    assert raised.group_contains(ZeroDivisionError)
