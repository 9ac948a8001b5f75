"""Tables that grow keep their handles, and tasks are done when something hurries them."""

import asyncio
from dataclasses import replace

from msgspec import structs

from gateway.model import Tag
from gateway.opcua.session.periodic import SETTLE_S, PeriodicTask, run_periodic
from gateway.opcua.space.selection import Asked, Item, Table, arranged, digest_of, extended


def table(*names: str) -> Table:
    items = tuple(Item(f"i={name}", Asked(100.0, 10)) for name in names)
    return Table(tuple(Tag(name, f"i={name}") for name in names), items, digest_of(items))


def names(found: Table) -> list[str]:
    return [tag.name for tag in found.tags]


def test_new_variables_go_to_the_end_and_handles_stay() -> None:
    grown = extended(table("b", "d"), table("a", "b", "c", "d"))
    assert names(grown) == ["b", "d", "a", "c"]
    assert names(extended(grown, table("b", "d"))) == ["b", "d", "a", "c"]  # what went keeps its place


def test_a_repeated_name_gets_a_number() -> None:
    other = table("1", "2")
    renamed = replace(other, tags=tuple(structs.replace(tag, name="b") for tag in other.tags))
    assert names(extended(table("b"), renamed)) == ["b", "b~2", "b~3"]


def test_a_grown_table_is_found_again_in_the_same_order() -> None:
    grown = extended(extended(table("b", "d"), table("b", "c", "d")), table("a", "b", "c", "d"))
    again = arranged(table("a", "b", "c", "d"), ["i=c", "i=a"])
    assert (names(again), again.digest) == (names(grown), grown.digest)
    assert arranged(table("a"), ["i=z"]) == table("a")


def test_a_periodic_task_runs_soon_when_its_event_is_set() -> None:
    async def body() -> None:
        loop, hurry, done = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        count = 0

        async def look() -> None:
            nonlocal count
            count += 1
            done.set()

        async def never() -> None:
            raise AssertionError("its time has not come")

        house = asyncio.create_task(run_periodic([PeriodicTask(600, never), PeriodicTask(600, look, hurry)]))
        began = loop.time()
        hurry.set()
        await done.wait()
        house.cancel()
        await asyncio.wait([house])
        assert (count, hurry.is_set()) == (1, False)
        assert loop.time() - began >= SETTLE_S

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_periodic_task_runs_at_every_interval() -> None:
    async def body() -> None:
        thrice, count = asyncio.Event(), 0

        async def tick() -> None:
            nonlocal count
            count += 1
            if count == 3:
                thrice.set()

        house = asyncio.create_task(run_periodic([PeriodicTask(0.01, tick), PeriodicTask(600, tick, asyncio.Event())]))
        await thrice.wait()
        house.cancel()
        await asyncio.wait([house])

    asyncio.run(asyncio.wait_for(body(), 60))
