"""What a lost subscription missed comes from the server's history, before the live values or beside them."""

from contextlib import AbstractAsyncContextManager

import pytest

from tests.support.opcua_peers import node_opcua_server
from tests.support.opcua_server import NAMESPACE, OpcuaServer, opcua_server
from tests.support.opcua_source import COUNTER, Seen, config, opened, reading, run

KEPT = f"nsu={NAMESPACE};s=press-2.Counter"
SELECT = [{"node": KEPT, "name": "kept"}, {"node": COUNTER, "name": "not kept"}]
both_stacks = pytest.mark.parametrize("stack", ["asyncua", "node-opcua"])


def server_with_history(stack: str) -> AbstractAsyncContextManager[OpcuaServer]:
    return opcua_server() if stack == "asyncua" else node_opcua_server(history=True)


async def lost(server: OpcuaServer, url: str, backfill: str) -> bytes:
    """Read 1 and 2; then the subscription is lost, and 3 to 7 are written.  The checkpoint of before."""
    async with opened(config(url, select=SELECT, backfill=backfill)) as source, reading(source) as seen:
        await server.tell("history 1 3")
        await seen.until_value(2)
        await server.tell("drop-subscriptions")
    await server.tell("history 3 8")
    return seen.batches[-1].checkpoint


def positions(seen: Seen, values: list[object]) -> list[int]:
    return [seen.historical.index(value) for value in values]


@both_stacks
def test_with_backfill_beside_live_values_do_not_wait_and_history_follows_in_order(stack: str) -> None:
    async def body() -> None:
        async with server_with_history(stack) as server:
            checkpoint = await lost(server, server.url, "beside")
            made = config(server.url, select=SELECT, backfill="beside")
            async with opened(made, checkpoint) as source, reading(source) as seen:
                await seen.until(lambda seen: 7 in seen.historical and 7 in seen.live)
                first = seen.batches[0]
                # what has no history is announced at once, before any value; the rest is pending, and needs no gap
                assert [(gap.cause, gap.handles) for gap in first.gaps] == [("subscription_recreated", (1,))]
                assert positions(seen, [3, 4, 5, 6, 7]) == sorted(positions(seen, [3, 4, 5, 6, 7]))
                await server.tell("history 8 10")
                await seen.until(lambda seen: 9 in seen.live)
            assert len([gap for batch in seen.batches for gap in batch.gaps]) == 1
            assert set(seen.historical) <= {2, 3, 4, 5, 6, 7}  # 2 was the last one before

    run(body)


def test_with_backfill_beside_a_crash_leaves_the_backfill_pending() -> None:
    async def body() -> None:
        async with server_with_history("node-opcua") as server:
            checkpoint = await lost(server, server.url, "beside")
            made = config(server.url, select=SELECT, backfill="beside")
            async with opened(made, checkpoint) as source, reading(source) as seen:
                await seen.more(1)
                if seen.batches[-1].historical:
                    await seen.more(1)
                checkpoint = seen.batches[0].checkpoint  # the gap is durable, nothing of the history is
            async with opened(made, checkpoint) as source, reading(source) as again:
                await again.until(lambda seen: 7 in seen.historical)
                await again.until(lambda seen: bool(seen.batches[-1].checkpoint) and not seen.batches[-1].historical)
                await server.tell("history 8 9")
                await again.until(lambda seen: 8 in seen.live)
            assert again.causes == []  # announced already
            async with opened(made, again.batches[-1].checkpoint) as source, reading(source) as settled:
                await server.tell("history 9 10")
                await settled.until_value(9)
            assert settled.historical == []

    run(body)


def test_with_backfill_before_history_comes_first_from_another_stack_too() -> None:
    async def body() -> None:
        async with server_with_history("node-opcua") as server:
            checkpoint = await lost(server, server.url, "before")
            made = config(server.url, select=SELECT, backfill="before")
            async with opened(made, checkpoint) as source, reading(source) as seen:
                await seen.until(lambda seen: 7 in seen.live)
            gap, first, *_ = seen.batches
            assert [gap.handles for gap in gap.gaps] == [(1,)]
            assert first.historical
            assert [value for value in seen.historical if value != 2] == [3, 4, 5, 6, 7]
            assert not [batch for batch in seen.batches[1:] if batch.gaps]

    run(body)
