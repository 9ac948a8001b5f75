"""Servers without subscriptions are polled: the same changes, the same gaps, the same back-fill."""

import asyncio

import pytest

from gateway.errors import Unavailable
from gateway.metrics import Metrics
from gateway.opcua.explore import connected, plan
from tests.support.opcua_peers import STACKS, node_opcua_server, stack_server
from tests.support.opcua_server import NAMESPACE, opcua_server
from tests.support.opcua_source import COUNTER, any_source, config, reading, run, series
from tests.support.proxy import open_proxy

every_stack = pytest.mark.parametrize("stack", STACKS)
KEPT, TEMPERATURE = f"nsu={NAMESPACE};s=press-2.Counter", f"nsu={NAMESPACE};s=press-1.Temperature"


def test_a_server_that_refuses_subscriptions_is_polled_and_this_is_logged() -> None:
    async def body() -> None:
        metrics = Metrics()
        async with node_opcua_server(subscriptions=False) as server:
            made = config(server.url, select=[{"node": COUNTER}, {"events": "i=2253"}])
            async with any_source(made, metrics=metrics.for_source("line")) as source, reading(source) as seen:
                assert source.is_polled
                await seen.until_value(0)
                await server.tell("run 1 8 0.6")  # many times slower than it is read
                assert (await seen.until_value(7)).values == list(range(8))
            labels = {"source": "line"}
            assert metrics.registry.get_sample_value("gateway_source_polled", labels) == 1
            failed = metrics.registry.get_sample_value("gateway_source_monitored_items", labels | {"state": "failed"})
            assert failed == 1  # events cannot be polled

    run(body)


def test_the_plan_says_that_a_server_would_be_polled() -> None:
    async def body() -> None:
        nobody = f"nsu={NAMESPACE};s=nobody"
        async with node_opcua_server(subscriptions=False) as server:
            made = config(server.url, select=[{"subtree": "/Objects/line-1/press-1"}, {"node": nobody}])
            async with connected(made, series()) as session:
                planned = await plan(session, made)
        assert planned.is_polled
        assert [t.tag.node_id for t in planned.tags if t.problem] == [nobody]
        assert {t.got.sampling_ms for t in planned.tags} == {50.0}

    run(body)


def test_with_mode_subscribe_a_refused_subscription_is_retried() -> None:
    async def body() -> None:
        async with node_opcua_server(subscriptions=False) as server:
            with pytest.raises(Unavailable, match=r"has no subscriptions: BadServiceUnsupported"):
                async with any_source(config(server.url, mode="subscribe")):
                    pass

    run(body)


@every_stack
def test_polled_changes_come_once_with_their_times_and_types(stack: str) -> None:
    async def body() -> None:
        select = [{"subtree": "/Objects/line-1/press-1"}]
        async with stack_server(stack) as server:
            made = config(server.url, mode="poll", select=select)
            async with any_source(made) as source, reading(source) as seen:
                await server.tell("count 1 8 0.12")
                await seen.until_value(7)
        counts = seen.of("Counter")
        assert counts == sorted(set(map(int, map(str, counts))))  # none twice, in order
        assert seen.of("Temperature") == [20.5]
        assert (seen.of("State"), seen.of("Running")) == (["Idle"], [True])
        assert all(ticks > 0 for batch in seen.batches for ticks in batch.source_ticks.tolist())

    run(body)


def test_dead_bands_heartbeats_and_triggers_apply_to_polling() -> None:
    async def body() -> None:
        select = [{"node": TEMPERATURE, "deadband": 1.0}, {"node": COUNTER, "heartbeat": 0.2},
                  {"node": KEPT, "deadband_percent": 10}]  # fmt: skip
        async with node_opcua_server() as server:
            made = config(server.url, mode="poll", select=select)
            async with any_source(made) as source, reading(source) as seen:
                await seen.until(lambda seen: len(seen.of("Counter")) >= 3)
                for value in (21.0, 23.0, 23.5, 30.0):
                    await server.tell(f"set press-1.Temperature {value}")
                    await server.tell("history 0 1")
                    await seen.more(2)  # heartbeats: cycles have passed
                assert (await seen.until_value(30.0)).of("Temperature") == [20.5, 23.0, 30.0]
                assert set(seen.of("Counter~2")) == {0}  # no range, no dead-band: and nothing changed

    run(body)


def test_the_limit_of_nodes_per_read_is_respected_and_learned() -> None:
    async def body() -> None:
        select = [{"subtree": "/Objects/line-1", "include": ["v*"]}]
        async with node_opcua_server(extra=30, operationLimits={"maxNodesPerRead": 4}) as server:
            made = config(server.url, mode="poll", select=select)
            async with any_source(made) as source, reading(source) as seen:
                await seen.until(lambda seen: len(set(seen.values)) == 30)

    run(body)


def test_a_missing_variable_affects_no_other_and_is_found_when_it_appears() -> None:
    async def body() -> None:
        select = [{"node": f"nsu={NAMESPACE};s=press-3.Counter", "name": "new"}, {"node": COUNTER, "name": "old"}]
        async with node_opcua_server() as server:
            made = config(server.url, mode="poll", select=select, retry_failed=0.2)
            async with any_source(made) as source, reading(source) as seen:
                await seen.until_value(0)
                assert seen.of("new") == []
                assert [gap.handles for batch in seen.batches for gap in batch.gaps] == [(0,)]
                assert seen.causes == ["not_available"]
                await server.tell("add 3")
                await seen.until(lambda seen: seen.of("new") == [0])

    run(body)


@every_stack
def test_a_lost_server_is_unavailable_and_the_gap_is_announced(stack: str) -> None:
    async def body() -> None:
        async with stack_server(stack) as server, open_proxy(server.port) as proxy:
            made = config(f"opc.tcp://127.0.0.1:{proxy.port}/", mode="poll")
            async with any_source(made) as source, reading(source) as before:
                await server.tell("count 1 4 0.12")
                await before.until_value(3)
                proxy.cut()
                with pytest.raises(Unavailable):
                    await before.until_value("never")
            await server.tell("count 4 7 0.12")
            async with any_source(made, before.batches[-1].checkpoint) as source, reading(source) as after:
                await after.until_value(6)
            gap = after.batches[0].gaps[0]
            assert (gap.cause, gap.handles) == ("not_read", (0,))
            assert 0 < gap.from_ticks < gap.to_ticks

    run(body)


@pytest.mark.parametrize("backfill", ["before", "beside"])
@pytest.mark.parametrize("stack", ["asyncua", "node-opcua"])
def test_history_fills_the_gap_of_polling(stack: str, backfill: str) -> None:
    async def body() -> None:
        async with opcua_server() if stack == "asyncua" else node_opcua_server(history=True) as server:
            made = config(server.url, mode="poll", select=[{"node": KEPT}, {"node": COUNTER}], backfill=backfill)
            async with any_source(made) as source, reading(source) as before:
                await server.tell("history 1 3")
                await before.until_value(2)
            await server.tell("history 3 8")
            async with any_source(made, before.batches[-1].checkpoint) as source, reading(source) as after:
                await after.until(lambda seen: 7 in seen.historical and 7 in seen.live)
                await after.until_cause("not_read")
            assert [value for value in after.historical if value in range(3, 8)] == [3, 4, 5, 6, 7]
            assert [gap.handles for batch in after.batches for gap in batch.gaps] == [(1,)]

    run(body)


def test_a_pause_of_polling_is_announced_and_its_skipped_cycles_counted() -> None:
    async def body() -> None:
        metrics = Metrics()
        async with opcua_server() as server:
            made = config(server.url, mode="poll")
            async with any_source(made, metrics=metrics.for_source("line")) as source, reading(source) as seen:
                await seen.until_value(0)
                await asyncio.sleep(0.5)  # the outbox takes its time: ten cycles
                await server.tell("count 1 2")
                await seen.until_cause("not_read")
        lost = metrics.registry.get_sample_value("gateway_source_lost_cycles_total", {"source": "line"})
        assert lost is not None
        assert lost >= 3

    run(body)
