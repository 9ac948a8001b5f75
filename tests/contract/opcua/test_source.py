"""A source against a real server in another process, through a proxy that breaks the line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from urllib.parse import urlsplit

import pytest

from gateway.errors import Unavailable
from gateway.metrics import Metrics
from gateway.model import Batch
from gateway.opcua.explore import BrowseOptions, browse, connected, plan, selection_of
from gateway.opcua.subscription.subscribed import SubscribedSource
from gateway.payload.forms import json_of
from tests.support.addresses import black_hole, resolve_to
from tests.support.opcua_peers import STACKS, stack_server, standing_server
from tests.support.opcua_server import NAMESPACE, OpcuaServer, opcua_server
from tests.support.opcua_source import COUNTER, Seen, config, opened, reading, run, series
from tests.support.ports import free_port
from tests.support.proxy import Proxy, open_proxy

every_stack = pytest.mark.parametrize("stack", STACKS)


@asynccontextmanager
async def server_behind_proxy(stack: str = "asyncua") -> AsyncIterator[tuple[OpcuaServer, Proxy, str]]:
    async with stack_server(stack) as server, open_proxy(server.port) as proxy:
        yield server, proxy, f"opc.tcp://127.0.0.1:{proxy.port}/"


async def values_until(source: SubscribedSource, last: object) -> tuple[list[object], Batch]:
    """Everything up to the value `last`, and the batch that brought it, which stays unacknowledged."""
    seen: list[object] = []
    async with aclosing(source.batches()) as batches:
        async for batch in batches:
            seen += list(batch.values)
            if last in seen:
                return seen, batch
    raise AssertionError("the source ended")


@every_stack
def test_every_change_arrives_in_order(stack: str) -> None:
    async def body() -> None:
        async with stack_server(stack) as server, opened(config(server.url)) as source:
            await server.tell("count 1 15 0.12")  # slower than any of them samples
            seen, _ = await values_until(source, 14)
            assert seen == list(range(15))

    run(body)


@every_stack
def test_subtree_gives_names_fields_and_units(stack: str) -> None:
    async def body() -> None:
        exclude = ["**/State", "*/press-2/**", "recipes/**"]
        select = [{"subtree": "i=85", "levels": ["line", "machine"], "exclude": exclude}]
        async with standing_server(stack) as url, opened(config(url, select=select)) as source:
            tags = {tag.name: tag for tag in source.table.tags}
            assert sorted(tags) == ["Counter", "Running", "Temperature"]
            assert tags["Temperature"].fields == {"line": "line-1", "machine": "press-1"}
            assert tags["Temperature"].unit == (None if stack == "open62541" else "°C")
            assert tags["Counter"].node_id == COUNTER

    run(body)


def test_instances_of_a_type_are_found_wherever_they_are() -> None:
    async def body() -> None:
        select = [{"type": f"nsu={NAMESPACE};s=PressType", "levels": ["machine"]}]
        async with standing_server() as url, opened(config(url, select=select)) as source:
            tags = [(tag.name, dict(tag.fields)) for tag in source.table.tags]
            assert tags == [("Force", {"machine": "typed-1"}), ("Force", {"machine": "typed-2"})]

    run(body)


@every_stack
def test_a_path_of_browse_names_selects_like_a_node_id(stack: str) -> None:
    async def body() -> None:
        select = [{"node": "/Objects/line-1/press-1/Counter", "name": "c"}, {"subtree": "/Objects/line-1/press-2"}]
        async with standing_server(stack) as url, opened(config(url, select=select)) as source:
            assert source.table.tags[0].node_id == COUNTER
            assert sorted(tag.name for tag in source.table.tags[1:]) == ["Counter", "Running", "State", "Temperature"]

    run(body)


@every_stack
def test_plan_shows_revised_settings_and_leaves_no_subscription_behind(stack: str) -> None:
    async def body() -> None:
        nobody = f"nsu={NAMESPACE};s=nobody"
        select = [{"subtree": "/Objects/line-1"}, {"node": nobody}, {"subtree": "/Objects/nowhere"}]
        async with standing_server(stack) as url:
            made = config(url, select=select)
            async with connected(made, series()) as session:
                planned = await plan(session, made)
                found = await browse(session, BrowseOptions("/Objects/line-1", limit=3))
                listed = (await browse(session, BrowseOptions("/Objects/line-1"))).entries
        assert [t.tag.node_id for t in planned.tags if t.problem] == [nobody]
        assert [selection.subtree for selection in planned.missing] == ["/Objects/nowhere"]
        assert planned.most_values_per_s > 0
        assert {(e.path, e.read.value) for e in listed} >= {("press-1/Temperature", 20.5), ("press-2/State", "Idle")}
        assert selection_of(found)[0] == {"node": COUNTER, "name": "press-1/Counter"}

    run(body)


@every_stack
def test_a_missing_variable_affects_no_other(stack: str) -> None:
    async def body() -> None:
        metrics = Metrics()
        select = [{"node": f"nsu={NAMESPACE};s=nobody"}, {"node": "nsu=urn:unknown;s=x"}, {"node": COUNTER}]
        async with stack_server(stack) as server:
            made = config(server.url, select=select)
            async with opened(made, metrics=metrics.for_source("line")) as source, reading(source) as seen:
                await server.tell("count 1 3 0.12")
                await seen.until_value(2)
            assert seen.values == [0, 1, 2]
            [gap] = [gap for batch in seen.batches for gap in batch.gaps]
            assert (gap.cause, gap.handles, gap.from_ticks > 0, gap.to_ticks) == ("not_available", (0, 1), True, 0)
            assert "BadNodeIdUnknown" in gap.detail
            labels = {"source": "line", "state": "failed"}
            assert metrics.registry.get_sample_value("gateway_source_monitored_items", labels) == 2

    run(body)


def test_bad_and_null_values_come_with_their_status() -> None:
    async def body() -> None:
        select = [{"node": f"nsu={NAMESPACE};s=press-1.Temperature"}]
        async with opcua_server() as server, opened(config(server.url, select=select)) as source:
            await values_until(source, 20.5)
            await server.tell("bad")
            _, batch = await values_until(source, None)
            assert batch.statuses.tolist()[-1] == 0x808C0000  # BadSensorFailure

    run(body)


@every_stack
def test_an_unfinished_batch_comes_again_with_the_earlier_checkpoint(stack: str) -> None:
    async def body() -> None:
        async with server_behind_proxy(stack) as (server, proxy, url):
            async with opened(config(url)) as source:
                async with aclosing(source.batches()) as batches:
                    first = await anext(batches)
                    durable, checkpoint = list(first.values), first.checkpoint
                    await server.tell("count 1 4 0.12")
                    async for batch in batches:
                        if 3 in list(batch.values):
                            break  # this one was never durable
                        durable += list(batch.values)
                        checkpoint = batch.checkpoint
                proxy.cut()
            await server.tell("count 4 7 0.12")
            async with opened(config(url), checkpoint) as source:
                seen, _ = await values_until(source, 6)
                assert durable + seen == list(range(7))

    run(body)


def test_structures_are_decoded_with_the_servers_own_definitions() -> None:
    async def body() -> None:
        select = [{"node": f"nsu={NAMESPACE};s=Recipe"}]
        async with (
            standing_server() as url,
            opened(config(url, select=select)) as source,
            aclosing(source.batches()) as batches,
        ):
            value = next(v for batch in [await anext(batches), await anext(batches)] for v in batch.values)
        heat = {"Name": "heat", "Seconds": 1.5}
        assert json_of(22, value) == {
            "Id": 5, "Comment": "ok", "First": heat, "Steps": [heat, {"Name": "press", "Seconds": 2.5}],
            "Speeds": [1.0, 2.0], "Limit": {"Level": 7},
        }  # fmt: skip

    run(body)


def test_a_heartbeat_repeats_values_and_does_not_hide_a_silent_server() -> None:
    async def body() -> None:
        select = [{"node": COUNTER, "heartbeat": 0.2}]
        async with server_behind_proxy() as (_, proxy, url), opened(config(url, keep_alive=1, select=select)) as source:
            seen: list[object] = []
            async with aclosing(source.batches()) as batches:
                while len(seen) < 4:
                    seen += list((await anext(batches)).values)
                proxy.stall()
                seen += list((await anext(batches)).values)
                with pytest.raises(Unavailable, match=r"silent for 3\.0 s"):
                    seen += [value async for batch in batches for value in batch.values]
            assert set(seen) == {0}

    run(body)


@every_stack
def test_changed_selection_is_announced(stack: str) -> None:
    async def body() -> None:
        async with standing_server(stack) as url:
            async with opened(config(url)) as source:
                _, batch = await values_until(source, 0)
            other = config(url, select=[{"node": f"nsu={NAMESPACE};s=press-2.State"}])
            async with opened(other, batch.checkpoint) as source, aclosing(source.batches()) as batches:
                first = await anext(batches)
                assert [gap.cause for gap in first.gaps] == ["subscription_recreated"]
                assert first.gaps[0].to_ticks >= first.gaps[0].from_ticks > 0

    run(body)


@pytest.mark.parametrize("backfill", ["before", "off"])
def test_history_fills_a_gap_and_only_the_rest_is_announced(backfill: str) -> None:
    async def body() -> None:
        select = [{"node": f"nsu={NAMESPACE};s=press-2.Counter"}, {"node": COUNTER}]
        async with opcua_server() as server:
            made = config(server.url, select=select, backfill=backfill)
            async with opened(made) as source:
                await server.tell("history 1 3")
                _, batch = await values_until(source, 2)
                await server.tell("drop-subscriptions")
            await server.tell("history 3 8")
            async with opened(made, batch.checkpoint) as source, aclosing(source.batches()) as batches:
                first = await anext(batches)
                if backfill == "off":
                    assert [(gap.cause, gap.handles) for gap in first.gaps] == [("subscription_recreated", (0, 1))]
                    return
                assert [(gap.cause, gap.handles) for gap in first.gaps] == [("subscription_recreated", (1,))]
                second = await anext(batches)
                assert second.historical
                assert list(second.values) == [2, 3, 4, 5, 6, 7]  # 2 was the last one before
                assert set(second.handles.tolist()) == {0}
                assert first.checkpoint == second.checkpoint == batch.checkpoint  # a crash here begins again
                third = await anext(batches)
                assert (third.gaps, len(third.handles)) == ((), 0)
                assert third.checkpoint != batch.checkpoint

    run(body)


def test_a_subscription_dropped_by_the_server_is_announced() -> None:
    async def body() -> None:
        async with opcua_server() as server:
            async with opened(config(server.url)) as source:
                _, batch = await values_until(source, 0)
                await server.tell("drop-subscriptions")
            async with opened(config(server.url), batch.checkpoint) as source, aclosing(source.batches()) as batches:
                first = await anext(batches)
                assert [gap.cause for gap in first.gaps] == ["subscription_recreated"]
                assert (await anext(batches)).values[0] == 0

    run(body)


@every_stack
def test_cut_link_is_unavailable_at_once(stack: str) -> None:
    async def body() -> None:
        async with server_behind_proxy(stack) as (_, proxy, url), opened(config(url)) as source:
            await values_until(source, 0)
            proxy.cut()
            with pytest.raises(Unavailable):
                await asyncio.wait_for(values_until(source, "never"), 8)  # silence would take nine seconds

    run(body)


@pytest.mark.parametrize("fault", ["stall", "half_open"])
def test_silent_server_is_unavailable_within_three_keep_alives(fault: str) -> None:
    async def body() -> None:
        async with server_behind_proxy() as (_, proxy, url):
            began = 0.0
            async with opened(config(url, keep_alive=1)) as source:
                await values_until(source, 0)
                getattr(proxy, fault)()
                began = asyncio.get_running_loop().time()
                with pytest.raises(Unavailable, match="silent"):
                    await values_until(source, "never")
            # three keep-alives of 1 s, then at most 2 s to close a session that does not answer; and a busy machine
            assert asyncio.get_running_loop().time() - began < 3 * 1 + 2 + 10

    run(body)


def test_an_unreachable_server_is_named_in_the_error() -> None:
    async def body() -> None:
        port = free_port()
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            async with opened(config(f"opc.tcp://127.0.0.1:{port}/")):
                pass

    run(body)


def test_cancelled_while_connecting_leaves_nothing_open() -> None:
    async def body() -> None:
        async with server_behind_proxy() as (_, proxy, url):
            proxy.stall()

            async def connect() -> None:
                async with opened(config(url)):
                    pass

            task = asyncio.create_task(connect())
            await proxy.wait_accepted(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 15)  # the server's answer would be waited for longer

    run(body)


def test_a_first_address_that_does_not_answer_does_not_prevent_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """As IPv6 of a server that only IPv4 reaches."""

    async def body() -> None:
        async with opcua_server() as server:
            with black_hole() as hole:
                resolve_to(monkeypatch, "plc.example", hole, hole, urlsplit(server.url).port or 0)
                known = config("opc.tcp://plc.example:4840", request_timeout=5)
                async with opened(known) as source, aclosing(source.batches()) as batches:
                    await Seen(batches).until(lambda seen: bool(seen.values))

    run(body)
