"""Groups with publishing intervals of their own: several subscriptions of one source, each with its own fate."""

import asyncio
from contextlib import aclosing

import pytest

from gateway.metrics import Metrics
from gateway.model import Batch
from gateway.opcua.explore import connected, plan
from tests.support.opcua_peers import STACKS, node_opcua_server, stack_server
from tests.support.opcua_server import NAMESPACE, OpcuaServer
from tests.support.opcua_source import COUNTER, any_source, config, opened, reading, run, series
from tests.support.proxy import open_proxy

SLOW_COUNTER = f"nsu={NAMESPACE};s=press-2.Counter"
FAST_S, SLOW_S = 0.25, 2.0
GROUPS = [
    {"node": COUNTER, "name": "fast", "sampling_interval": 0, "publishing_interval": FAST_S},
    {"node": SLOW_COUNTER, "name": "slow", "sampling_interval": 0, "publishing_interval": SLOW_S},
]
QUICK = [GROUPS[0] | {"publishing_interval": 0.05}, GROUPS[1] | {"publishing_interval": 0.4}]
"""The same for tests that are not about rates."""
ANEW = "subscription_recreated"
PERIOD_S = 0.13
"""Slower than any of the stacks samples."""

every_stack = pytest.mark.parametrize("stack", STACKS)


async def start(server: OpcuaServer, first: int, end: int) -> None:
    """Both counters count to `end`, beside the test."""
    for name in ("press-1.Counter", "press-2.Counter"):
        await server.tell(f"run {first} {end} {PERIOD_S} {name}")


def of(batches: list[Batch], name: str) -> list[list[int]]:
    """The values of a counter, in each batch that has any."""
    found = [
        [int(str(value)) for handle, value in zip(b.handles, b.values, strict=True) if b.tags[handle].name == name]
        for b in batches
    ]
    return [values for values in found if values]


def whole(batches: list[Batch], name: str) -> list[int]:
    return [value for values in of(batches, name) for value in values]


def gaps(batches: list[Batch]) -> list[tuple[str, tuple[int, ...]]]:
    return [(gap.cause, gap.handles) for batch in batches for gap in batch.gaps]


@every_stack
def test_each_group_arrives_at_its_rate_as_planned_and_all_of_it_is_counted(stack: str) -> None:
    async def body() -> None:
        metrics = Metrics()
        async with stack_server(stack) as server:
            made = config(server.url, select=GROUPS)
            async with connected(made, series()) as session:
                planned = await plan(session, made)
            assert [(tag.tag.name, tag.every_s) for tag in planned.tags] == [("fast", FAST_S), ("slow", SLOW_S)]
            async with opened(made, metrics=metrics.for_source("line")) as source, reading(source) as seen:
                await seen.until(lambda seen: seen.of("fast") == seen.of("slow") == [0])
                await start(server, 1, 41)  # for five seconds
                await seen.until(lambda seen: 40 in seen.of("fast") and 40 in seen.of("slow"))
                assert seen.of("fast") == seen.of("slow") == list(range(41))
                # 5.2 s hold three of one interval and twenty of the other.  node-opcua sends what any subscription has
                # whenever one of the session's is due, against Part 4, 5.14.1.
                if stack != "node-opcua":
                    assert 2 * len(of(seen.batches, "slow")) < len(of(seen.batches, "fast"))
                assert {tracker.subscription.interval_s for tracker in source.subscriptions} == {FAST_S, SLOW_S}
                labels = {"source": "line", "quality": "good"}
                assert metrics.registry.get_sample_value("gateway_source_values_total", labels) == 82
                assert metrics.registry.get_sample_value("gateway_source_subscriptions", {"source": "line"}) == 2

    run(body)


def test_polling_reads_each_group_at_its_interval() -> None:
    async def body() -> None:
        groups = [{**group, "sampling_interval": None} for group in QUICK]
        async with (
            stack_server("asyncua") as server,
            any_source(config(server.url, select=groups, mode="poll")) as source,
            reading(source) as seen,
        ):
            await start(server, 1, 16)
            await seen.until(lambda seen: 15 in seen.of("fast") and 15 in seen.of("slow"))
            assert len(of(seen.batches, "slow")) < len(of(seen.batches, "fast"))

    run(body)


def test_a_limit_of_items_per_subscription_makes_several_and_every_variable_arrives() -> None:
    async def body() -> None:
        limit, metrics = 7, Metrics()
        select = [{"subtree": "i=85", "include": ["line-1/v*"]}]
        async with node_opcua_server(extra=60, maxMonitoredItemsPerSubscription=limit) as server:
            made = config(server.url, select=select)
            async with opened(made, metrics=metrics.for_source("line")) as source, reading(source) as seen:
                await seen.until(lambda seen: len(set(seen.values)) == 60)
                assert all(len(tracker.handles) <= limit for tracker in source.subscriptions)
                # one item of the first tells when the address space changes
                assert len(source.subscriptions) == -(-61 // limit)
                assert not source.items.failed
                checkpoint = seen.batches[-1].checkpoint
            async with opened(made, checkpoint) as source:
                assert sum(len(tracker.handles) for tracker in source.subscriptions) == 60

    run(body)


@pytest.mark.parametrize("stack", ["node-opcua", "open62541"])  # asyncua's sends nothing for what it handed over
def test_both_subscriptions_continue_after_a_kill_and_nothing_is_missing(stack: str) -> None:
    async def body() -> None:
        async with stack_server(stack) as server, open_proxy(server.port) as proxy:
            made = config(f"opc.tcp://127.0.0.1:{proxy.port}/", select=QUICK, session_timeout=10)
            durable: list[Batch] = []
            async with opened(made) as source, aclosing(source.batches()) as batches:
                await start(server, 1, 41)
                async for batch in batches:
                    if 12 in whole([*durable, batch], "slow"):
                        break  # this one was never durable
                    durable.append(batch)
                proxy.cut()
            await asyncio.sleep(3 * PERIOD_S)
            async with opened(made, durable[-1].checkpoint) as source, aclosing(source.batches()) as batches:
                async for batch in batches:
                    durable.append(batch)
                    if 40 in whole(durable, "fast") and 40 in whole(durable, "slow"):
                        break
            assert gaps(durable) == []
            assert whole(durable, "fast") == whole(durable, "slow") == list(range(41))

    run(body)


async def read_beyond(server: OpcuaServer, checkpoint: bytes, value: int) -> list[Batch]:
    """What is durable when both counters have come so far."""
    made = config(server.url, select=QUICK, backfill="off")
    async with opened(made, checkpoint) as source, reading(source) as seen:
        await seen.until(lambda seen: min(max([-1, *whole(seen.batches, n)]) for n in ("fast", "slow")) >= value)
        return seen.batches[:-1]


def test_a_subscription_the_server_deleted_is_a_gap_for_its_own_tags_only() -> None:
    """First one goes, then the other: theirs are the intervals of 50 and 400 ms."""

    async def body() -> None:
        async with node_opcua_server() as server:
            await start(server, 1, 61)
            first = await read_beyond(server, b"", 8)
            await server.tell("drop-subscriptions 50")
            second = await read_beyond(server, first[-1].checkpoint, 30)
            await server.tell("drop-subscriptions 400")
            third = await read_beyond(server, second[-1].checkpoint, 60)
        assert (gaps(first), gaps(second), gaps(third)) == ([], [(ANEW, (0,))], [(ANEW, (1,))])
        for unbroken in (whole(first + second, "slow"), whole(second + third, "fast")):
            assert unbroken == list(range(unbroken[0], unbroken[-1] + 1))

    run(body)
