"""What servers limit, forget and refuse, against node-opcua and open62541."""

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest

from gateway.errors import Unavailable
from gateway.metrics import Metrics
from gateway.model import Batch
from gateway.opcua.subscription.subscribed import SubscribedSource
from tests.support.opcua_peers import STACKS, node_opcua_server, open62541_server, stack_server
from tests.support.opcua_server import NAMESPACE
from tests.support.opcua_source import COUNTER, config, opened, run
from tests.support.proxy import open_proxy

every_stack = pytest.mark.parametrize("stack", STACKS)


async def batches_until(source: SubscribedSource, last: object) -> list[Batch]:
    seen = []
    async with aclosing(source.batches()) as batches:
        async for batch in batches:
            seen.append(batch)
            if last in list(batch.values):
                return seen
    raise AssertionError("the source ended")


def values(batches: list[Batch]) -> list[object]:
    return [value for batch in batches for value in batch.values]


def causes(batches: list[Batch]) -> list[str]:
    return [gap.cause for batch in batches for gap in batch.gaps]


def test_items_per_call_are_respected_and_all_variables_arrive() -> None:
    async def body() -> None:
        limits = {"maxMonitoredItemsPerCall": 7, "maxNodesPerBrowse": 5, "maxNodesPerRead": 4}
        select = [{"subtree": "i=85", "include": ["line-1/v*"]}]
        async with (
            node_opcua_server(extra=60, operationLimits=limits) as server,
            opened(config(server.url, select=select)) as source,
            aclosing(source.batches()) as batches,
        ):
            assert len(source.table.tags) == 60
            handles: set[int] = set()
            async for batch in batches:
                handles |= set(batch.handles.tolist())
                if len(handles) == 60:
                    break

    run(body)


def test_overflow_of_the_servers_queue_is_announced() -> None:
    async def body() -> None:
        select = [{"node": COUNTER, "queue_size": 3, "sampling_interval": 0}]
        metrics = Metrics()
        async with node_opcua_server() as server:
            made = config(server.url, select=select, publishing_interval=0.5)
            async with opened(made, metrics=metrics.for_source("line")) as source:
                await server.tell("count 1 20 0.01")
                seen = await batches_until(source, 19)
        assert "server_overflow" in causes(seen)
        assert (metrics.registry.get_sample_value("gateway_source_queue_overflows_total", {"source": "line"}) or 0) > 0

    run(body)


def test_deadband_is_the_servers_where_it_has_one_and_left_out_where_not() -> None:
    async def body() -> None:
        nodes = [f"nsu={NAMESPACE};s=press-1.{name}" for name in ("Temperature", "State")]
        select = [{"node": node, "deadband": 1.0, "sampling_interval": 0} for node in nodes]
        async with node_opcua_server() as server, opened(config(server.url, select=select)) as source:
            assert sorted(map(str, values(await batches_until(source, 20.5)))) in (["20.5"], ["20.5", "Idle"])
            for value in (21.0, 23.0, 23.5, 30.0):
                await server.tell(f"set press-1.Temperature {value}")
                await server.tell("count 0 1 0.1")
            seen = [value for value in values(await batches_until(source, 30.0)) if value not in (20.5, "Idle")]
            assert seen == [23.0, 30.0]

    run(body)


@pytest.mark.parametrize("stack", ["node-opcua", "open62541"])
def test_subscription_outlives_a_consumer_that_stalls(stack: str) -> None:
    """The outbox may be full for longer than the server would wait; nothing is lost by it.

    asyncua's server counts nothing but PublishRequests as a sign of life (against Part 4, 5.14.1): there a stall is
    bounded by the lifetime.
    """

    async def body() -> None:
        async with stack_server(stack) as server:
            made = config(server.url, lifetime=3, keep_alive=1, publish_requests=1)
            async with opened(made) as source, aclosing(source.batches()) as batches:
                await anext(batches)
                await server.tell("count 1 25 0.36")  # nearly three lifetimes, in which nobody asks for a batch
                seen: list[object] = []
                while 24 not in seen:
                    batch = await anext(batches)
                    assert not batch.gaps
                    seen += list(batch.values)
                assert [value for value in seen if value] == list(range(1, 25))

    run(body)


def test_a_full_server_is_unavailable_with_its_reason() -> None:
    async def body() -> None:
        async with node_opcua_server(maxSessions=1) as server, opened(config(server.url)):
            with pytest.raises(Unavailable, match="BadTooManySessions"):
                async with opened(config(server.url)):
                    pass

    run(body)


def test_a_refused_transfer_is_announced_and_values_continue() -> None:
    async def body() -> None:
        async with open62541_server(transfers=False) as server:
            async with opened(config(server.url)) as source:
                checkpoint = (await batches_until(source, 0))[-1].checkpoint
            await server.tell("count 1 4 0.12")
            async with opened(config(server.url), checkpoint) as source:
                seen = await batches_until(source, 3)
                assert causes(seen) == ["subscription_recreated"]

    run(body)


@every_stack
def test_a_restarted_server_is_subscribed_again_and_the_gap_announced(stack: str) -> None:
    async def body() -> None:
        async with AsyncExitStack() as first:
            server = await first.enter_async_context(stack_server(stack))
            async with opened(config(server.url)) as source:
                checkpoint = (await batches_until(source, 0))[-1].checkpoint
        async with stack_server(stack, port=server.port) as server, opened(config(server.url), checkpoint) as source:
            seen = await batches_until(source, 0)
            assert causes(seen) == ["subscription_recreated"]

    run(body)


def test_a_session_dropped_by_the_server_is_noticed_and_its_subscription_transferred() -> None:
    async def body() -> None:
        async with node_opcua_server() as server:
            async with opened(config(server.url)) as source:
                first = await batches_until(source, 0)
                await server.tell("drop-sessions")
                with pytest.raises(Unavailable):
                    await batches_until(source, "never")
            await server.tell("count 1 4 0.12")
            async with opened(config(server.url), first[-1].checkpoint) as source:
                assert values(await batches_until(source, 3))[-1] == 3

    run(body)


def test_ten_kills_lose_and_repeat_nothing() -> None:
    """Ten times the link is left without a word in the middle of the flow; the checkpoints make it one whole stream."""

    async def body() -> None:
        async with open62541_server() as server, open_proxy(server.port) as proxy:
            checkpoint, seen = b"", list[object]()
            made = config(f"opc.tcp://127.0.0.1:{proxy.port}/", session_timeout=10)
            for last in range(12, 132, 12):
                writing = asyncio.create_task(server.tell(f"count {last - 11} {last + 1} 0.06"))
                async with opened(made, checkpoint) as source, aclosing(source.batches()) as batches:
                    while not seen or int(str(seen[-1])) < last - 6:
                        batch = await anext(batches)
                        assert not batch.gaps
                        seen += list(batch.values)
                        checkpoint = batch.checkpoint
                    proxy.cut()
                await writing
            async with opened(made, checkpoint) as source:
                await server.tell("count 121 122")
                seen += values(await batches_until(source, 121))
            first = int(str(seen[0]))
            assert seen == list(range(first, 122))

    run(body)
