"""What comes to a selected subtree while we are connected is subscribed to, what goes is announced."""

import pytest

from gateway.metrics import Metrics
from tests.support.opcua_peers import node_opcua_server
from tests.support.opcua_server import NAMESPACE, opcua_server
from tests.support.opcua_source import any_source, config, opened, reading, run

LINE = [
    {"subtree": "/Objects/line-1", "include": ["*/Counter"], "publishing_interval": 0.1},
    {"subtree": "/Objects/line-1"},
]
"""Two subscriptions."""
NEW = "press-3/Counter"


@pytest.mark.parametrize("way", ["told", "looked for"])
def test_new_machines_are_subscribed_to_and_their_handles_survive_a_reconnection(way: str) -> None:
    async def body() -> None:
        async with node_opcua_server() as server:
            made = config(server.url, select=LINE, rebrowse=600 if way == "told" else 0.3)
            async with opened(made) as source, reading(source) as seen:
                await seen.until_value("Idle")
                await server.tell("add 3 yes" if way == "told" else "add 3")
                await seen.until(lambda seen: seen.of(NEW) == [0])
                checkpoint, names = seen.batches[-1].checkpoint, [tag.name for tag in source.table.tags]
            await server.tell("count 1 3 0.1")
            async with opened(made, checkpoint) as source, reading(source) as again:
                assert [tag.name for tag in source.table.tags] == names
                await again.until_value(2)
            assert again.causes == []

    run(body)


def test_removed_machines_are_announced_once_and_come_back() -> None:
    async def body() -> None:
        async with node_opcua_server() as server:
            made = config(server.url, select=LINE, rebrowse=0.3, retry_failed=0.3)
            async with opened(made) as source, reading(source) as seen:
                await seen.until_value("Idle")
                await server.tell("add 3")
                await seen.until(lambda seen: seen.of(NEW) == [0])
                await server.tell("remove 3")
                await seen.until(lambda seen: seen.causes == 2 * ["node_removed"])
                gone = [h for batch in seen.batches for gap in batch.gaps for h in gap.handles]
                assert sorted(source.table.tags[handle].name for handle in gone) == [
                    f"press-3/{name}" for name in ("Counter", "Running", "State", "Temperature")
                ]
                await server.tell("add 3")
                await seen.until(lambda seen: seen.of(NEW)[-1] == 0 and len(seen.of(NEW)) > 2)
                assert seen.causes == 2 * ["node_removed"]  # one for each subscription

    run(body)


def test_growth_is_seen_without_a_subscription_too() -> None:
    async def body() -> None:
        async with node_opcua_server(subscriptions=False) as server:
            made = config(server.url, select=LINE, rebrowse=0.3)
            async with any_source(made) as source, reading(source) as seen:
                await seen.until_value("Idle")
                await server.tell("add 3")
                await seen.until(lambda seen: seen.of(NEW) == [0])
                await server.tell("remove 3")
                await seen.until_cause("node_removed")

    run(body)


def test_a_subtree_that_appears_is_subscribed_to_without_a_gap() -> None:
    async def body() -> None:
        select = [{"node": f"nsu={NAMESPACE};s=press-1.Counter"}, {"subtree": "/Objects/line-1/press-3"}]
        async with node_opcua_server() as server:
            made, metrics = config(server.url, select=select, retry_failed=0.3), Metrics()
            async with opened(made, metrics=metrics.for_source("line")) as source, reading(source) as seen:
                await seen.until_value(0)
                assert metrics.registry.get_sample_value("gateway_source_empty_selections", {"source": "line"}) == 1
                await server.tell("add 3")
                await seen.until_value("Idle")
                assert seen.causes == []
                assert metrics.registry.get_sample_value("gateway_source_empty_selections", {"source": "line"}) == 0

    run(body)


def test_instances_of_a_type_that_appear_are_subscribed_to() -> None:
    async def body() -> None:
        select = [{"type": f"nsu={NAMESPACE};s=PressType", "levels": ["machine"]}]
        async with opcua_server() as server:
            made = config(server.url, select=select, rebrowse=0.3)
            async with opened(made) as source, reading(source) as seen:
                await seen.until(lambda seen: len(seen.values) == 2)
                await server.tell("instance typed-3")
                await seen.until_value(2.5)
                assert source.table.tags[-1].fields == {"machine": "typed-3"}

    run(body)
