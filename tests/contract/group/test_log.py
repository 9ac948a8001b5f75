"""The group's log on a real cluster: fenced, counted on across hosts, purged to what brokers have, and handed over."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.config import GroupConfig
from gateway.group.entry import Kind
from gateway.group.member import Member
from gateway.group.opening import open_group
from gateway.link import Link
from gateway.model import Message
from tests.support.nats_cluster import Cluster

PRESENCE_S = 2.0
BUSY_S = 6.0
"""How much longer than promised it may take on a machine that does other things as well."""


def in_cluster(test: Callable[[Cluster], Coroutine[None, None, None]]) -> Callable[[Cluster], None]:
    """Run the test in a loop of its own, for a minute at most: the machine may be busy."""

    def run(cluster: Cluster) -> None:
        asyncio.run(asyncio.wait_for(test(cluster), 60.0))

    return run


WORKS = {"source/press": "", "broker/main": ""}


@dataclass
class Seat:
    """A member of a test, and how often it was told to look at what it owns."""

    member: Member
    applied: list[set[str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def apply(self) -> None:
        self.applied.append(set(self.member.owned))
        self.changed.set()

    async def wait_owning(self, *works: str) -> None:
        async with asyncio.timeout(20):
            while set(self.member.owned) != set(works):
                self.changed.clear()
                await self.changed.wait()


def config_of(cluster: Cluster, group: str, member: str) -> GroupConfig:
    return GroupConfig.model_validate(
        {"name": group, "servers": cluster.servers, "member": member, "monitoring": cluster.monitoring,
         "rebalance_after": 3600, "max_bytes": "16MiB"}
    )  # fmt: skip


@asynccontextmanager
async def seat(cluster: Cluster, group: str, member: str, works: dict[str, str] | None = None) -> AsyncIterator[Seat]:
    """A member that takes part, and hands over at the end."""
    link = Link("group", "")
    async with open_group(config_of(cluster, group, member), link, PRESENCE_S) as found, asyncio.TaskGroup() as tasks:
        one = Seat(found)
        part = tasks.create_task(found.take_part(lambda: WORKS if works is None else works, one.apply))
        yield one
        part.cancel()


async def append(seat: Seat, number: int, stored: Callable[[], None] = lambda: None) -> None:
    message = Message("t", b"%d" % number, "g.e/press/t", number, 1, "press")
    await seat.member.outbox.append([message], source="press", checkpoint=b"after %d" % number, on_stored=stored)


async def delivered(seat: Seat, count: int) -> list[int]:
    reader, found = seat.member.outbox.reader("main"), list[int]()
    async with asyncio.timeout(20):
        while len(found) < count:
            for record in await reader.read(100, 2**20):
                found.append(int(record.message.payload))
                assert reader.ack(record.number)
    return found


@in_cluster
async def test_who_comes_after_goes_on_where_the_other_left(cluster: Cluster) -> None:
    async with seat(cluster, "after", "a") as first:
        await first.wait_owning(*WORKS)
        for number in (1, 2, 3):
            await append(first, number)
        assert await delivered(first, 3) == [1, 2, 3]
    async with seat(cluster, "after", "b") as second:
        await second.wait_owning(*WORKS)
        outbox = second.member.outbox
        assert (outbox.next_seq("g.e/press/t"), outbox.checkpoints["press"]) == (4, b"after 3")
        assert outbox.epoch == first.member.outbox.epoch
        await append(second, 4)
        assert await delivered(second, 1) == [4]


@in_cluster
async def test_a_frozen_owner_that_wakes_up_stores_nothing(cluster: Cluster) -> None:
    """The zombie: it was silent for longer than its presence, was replaced, and goes on as if nothing had been."""
    async with seat(cluster, "zombie", "a", {"source/press": ""}) as frozen:
        await frozen.wait_owning("source/press")
        await append(frozen, 1)
        zombie = frozen.member.outbox.writers["press"]
        async with seat(cluster, "zombie", "b", {"source/press": ""}) as other:
            await other.member._take(["source/press"], {"source/press": ""})
            await other.wait_owning("source/press")
            late = zombie.begin({"": [Message("t", b"2", "g.e/press/t", 2, 1, "press")]}, b"", lambda: None)
            await frozen.wait_owning()
            await append(other, 2)
            assert not late.done()
            found = await other.member.log.read(1, other.member.log.names.work("source/press"))
            values = [
                (stored.mark.epoch, message.payload)
                for stored in found
                for message in stored.entry.messages.get("", ())
            ]
            assert values == [(1, b"1"), (2, b"2")]


@in_cluster
async def test_a_member_that_dies_is_replaced_within_its_presence(cluster: Cluster) -> None:
    async with (
        seat(cluster, "dies", "b") as left,
        open_group(config_of(cluster, "dies", "a"), Link("group", ""), PRESENCE_S) as dead,
    ):
        one = Seat(dead)
        part = asyncio.ensure_future(dead.take_part(lambda: WORKS, one.apply))
        async with asyncio.timeout(20):
            while not (one.member.owned and left.member.owned):
                await asyncio.wait([asyncio.ensure_future(each.changed.wait()) for each in (one, left)], timeout=0.1)
        part.cancel()
        await asyncio.wait([part])
        for work in dead._works.values():
            work.tasks[0].cancel()
        dead._works.clear()  # it releases nothing
        begun_s = asyncio.get_running_loop().time()
        await left.wait_owning(*WORKS)
        assert asyncio.get_running_loop().time() - begun_s < PRESENCE_S + 2 + BUSY_S


@in_cluster
async def test_a_second_process_of_the_same_name_takes_nothing(cluster: Cluster) -> None:
    async with seat(cluster, "twins", "a") as first:
        await first.wait_owning(*WORKS)
        async with seat(cluster, "twins", "a") as second:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2 * (PRESENCE_S / 4 + 1) + 1):
                    await second.changed.wait()
            assert not second.member.owned
            assert set(first.member.owned) == set(WORKS)


@in_cluster
async def test_what_all_brokers_have_is_purged_and_the_rest_is_kept(cluster: Cluster) -> None:
    async with seat(cluster, "purged", "a") as one:
        await one.wait_owning(*WORKS)
        log, outbox, kept = one.member.log, one.member.outbox, [Kind.STATE, Kind.VALUES]
        for number in range(1, 6):
            await append(one, number)
        assert await delivered(one, 5) == [1, 2, 3, 4, 5]
        outbox.writers["press"]._state_s = float("-inf")  # its counters are to be repeated
        await append(one, 6)
        part = asyncio.ensure_future(asyncio.Event().wait())  # what a server has purged it tells nobody
        async with asyncio.timeout(15):
            while [stored.kind for stored in await log.read(1, log.names.work("source/press"))] != kept:
                await asyncio.wait([part], timeout=0.1)
        part.cancel()
    async with seat(cluster, "purged", "b") as other:
        await other.wait_owning(*WORKS)
        assert other.member.outbox.next_seq("g.e/press/t") == 7
        assert await delivered(other, 1) == [6]


@in_cluster
async def test_a_full_log_makes_sources_wait_until_there_is_room(cluster: Cluster) -> None:
    async with seat(cluster, "full", "a") as one:
        await one.wait_owning(*WORKS)
        writer, number = one.member.outbox.writers["press"], 0
        while not writer.holding.trouble:
            number += 1
            noise = random.Random(number).randbytes(700_000)
            message = Message("t", noise, "g.e/press/t", number, 1, "press")
            waiting = asyncio.ensure_future(one.member.outbox.append([message], source="press"))
            while not waiting.done() and not writer.holding.trouble:
                await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        assert "maximum bytes" in writer.holding.trouble
        reader = one.member.outbox.reader("main")
        for _ in range(number - 1):
            for record in await reader.read(1, 1):
                reader.ack(record.number)
        writer._state_s = float("-inf")  # its counters are to be repeated, without which nothing may go
        async with asyncio.timeout(20):
            await waiting
