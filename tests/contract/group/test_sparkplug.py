"""An edge node of a group on a real cluster and broker: its broker and its source change hands, and a host judges."""

import asyncio
from pathlib import Path

from gateway.config import Config
from gateway.run.gateway import Gateway
from tests.contract.group.test_commands import member_config, wait_with
from tests.contract.group.test_log import in_cluster
from tests.contract.group.test_take_over import KEPT
from tests.support.brokers import mosquitto
from tests.support.commanded import running as gateway_runs
from tests.support.nats_cluster import Cluster
from tests.support.opcua_server import opcua_server
from tests.support.sparkplug import SparkplugHost, tahu
from tests.support.sparkplug_client import HostClient, host_client


def sparkplug_config(folder: Path, cluster: Cluster, broker: str, server: str, member: str) -> Config:
    config = member_config(folder, cluster, broker, server, member, "edge")
    source = {**config.sources[0].model_dump(exclude_unset=True), "select": [{"node": KEPT, "name": "kept"}]}
    told = {**config.model_dump(exclude_unset=True), "commands": None, "sources": [source]}
    return Config.model_validate({**told, "payload": {"format": "sparkplug", "topic": "x"}})


def got(host: HostClient) -> set[int]:
    with host.lock:
        return {int(str(each.value)) for each in host.judge.values.get("shop/kept", []) if each.value is not None}


async def until_value(host: HostClient, value: int) -> None:
    async with asyncio.timeout(30):
        while value not in got(host):  # noqa: ASYNC110 - it comes in another thread
            await asyncio.sleep(0.02)


async def take(gateway: Gateway, work: str) -> None:
    """The owner is not told: it goes on for as long as its claim lets it."""
    assert gateway.group is not None
    await gateway.group[0]._take([work], {work: ""})  # type: ignore[attr-defined]
    await wait_with(gateway, work)


def test_a_host_misses_no_value_and_finds_no_violation_when_broker_and_source_change_hands(
    cluster: Cluster, tmp_path: Path
) -> None:
    @in_cluster
    async def body(cluster: Cluster) -> None:
        async with opcua_server() as server:
            configs = [sparkplug_config(tmp_path, cluster, broker.url, server.url, name) for name in "ab"]
            async with gateway_runs(configs[0]) as a:
                await wait_with(a, "source/shop")
                await wait_with(a, "broker/broker")
                await server.tell("history 1 4")
                await until_value(host, 3)
                async with gateway_runs(configs[1]) as b:
                    await take(b, "broker/broker")
                    await server.tell("history 4 6")
                    await until_value(host, 5)
                    assert not a.owns("broker/broker")
                    await take(b, "source/shop")
                    await server.tell("history 6 8")
                    await until_value(host, 7)

    with mosquitto(tmp_path) as broker, tahu() as reader, host_client(broker.url, SparkplugHost(reader)) as host:
        body(cluster)
        numbers = [int(metric["value"]) for birth in host.judge.births for metric in birth["metrics"]
                   if metric["name"] == "bdSeq"]  # fmt: skip
    assert got(host) >= set(range(1, 8))
    assert host.judge.violations == []
    assert numbers[0] == 0
    assert sorted(set(numbers)) == list(range(len(set(numbers))))
    assert len(set(numbers)) >= 2
