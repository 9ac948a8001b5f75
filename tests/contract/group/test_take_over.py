"""A source that another member takes over while history is read, and while rules hold values: nothing in silence."""

import asyncio
from pathlib import Path

from tests.contract.group.test_commands import member_config, wait_with
from tests.contract.group.test_log import in_cluster
from tests.support.brokers import mosquitto
from tests.support.commanded import running as gateway_runs
from tests.support.nats_cluster import Cluster
from tests.support.opcua_server import NAMESPACE, opcua_server
from tests.support.subscriber import Subscriber, subscriber

KEPT, COUNTED = f"nsu={NAMESPACE};s=press-2.Counter", f"nsu={NAMESPACE};s=press-1.Counter"
SHAPE = {"aggregate": {"functions": ["mean"], "window": "1h"}}


def kept_of(seen: Subscriber) -> list[int]:
    return [int(str(value)) for _, name, value, _ in seen.changes if name == "kept"]


async def until_value(seen: Subscriber, value: int) -> None:
    async with asyncio.timeout(30):
        while value not in kept_of(seen):  # noqa: ASYNC110 - it comes in another thread
            await asyncio.sleep(0.02)


def test_history_and_held_values_survive_a_take_over(cluster: Cluster, tmp_path: Path) -> None:
    """The owner is not told: it goes on for as long as its claim lets it."""

    @in_cluster
    async def body(cluster: Cluster) -> None:
        async with opcua_server() as server:
            configs = [member_config(tmp_path, cluster, broker.url, server.url, name, "history") for name in "ab"]
            select = [{"node": KEPT, "name": "kept"}, {"node": COUNTED, "name": "held", "shape": SHAPE}]
            configs = [
                each.model_validate({**each.model_dump(exclude_unset=True), "commands": None, "sources": [
                    {**each.sources[0].model_dump(exclude_unset=True), "select": select, "backfill": "beside"}
                ]}) for each in configs
            ]  # fmt: skip
            async with gateway_runs(configs[0]) as a:
                await wait_with(a, "source/shop")
                await wait_with(a, "broker/broker")
                await server.tell("history 1 3")
                await server.tell("count 1 4")
                await until_value(seen, 2)
                async with gateway_runs(configs[1]) as b:
                    await server.tell("drop-subscriptions")
                    await server.tell("history 3 40")
                    assert b.group is not None
                    await b.group[0]._take(["source/shop"], {"source/shop": ""})  # type: ignore[attr-defined]
                    await wait_with(b, "source/shop")
                    await server.tell("history 40 42")
                    await until_value(seen, 41)
                kept = kept_of(seen)
                first = [kept.index(value) for value in range(1, 42)]
                assert first[2:39] == sorted(first[2:39])  # history, in its order; live values may be beside it
                assert seen.holes == []
                assert "held_lost" in {str(gap["cause"]) for gap in seen.gaps}

    with mosquitto(tmp_path) as broker, subscriber(broker.url, "values/#") as seen:
        body(cluster)
