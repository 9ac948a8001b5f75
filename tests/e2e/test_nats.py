"""OPC UA to JetStream, with real programs: NATS and the gateway are killed, and a consumer finds each value once."""

import asyncio
from pathlib import Path

import nats as nats_py
from nats.js.api import ConsumerConfig, DeliverPolicy

from tests.support.load_chain import RATE_HZ
from tests.support.load_checker import LoadChecker
from tests.support.load_server import LoadServer, source_of
from tests.support.nats_cluster import Cluster, nats_cluster
from tests.support.programs import Gateway, running, wait_until

TAGS = 100


async def has_stream(cluster: Cluster) -> None:
    client = await nats_py.connect(cluster.servers)
    await client.jetstream().add_stream(name="values", subjects=["load.>", "gateways.>"])
    await client.close()


async def consumed(cluster: Cluster, checker: LoadChecker) -> int:
    """Give everything that the stream has to the checker.  Returns how many presence messages there are."""
    client = await nats_py.connect(cluster.servers)
    js = client.jetstream(timeout=10)
    info = await js.stream_info("values")
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    pulled = await js.pull_subscribe(">", stream="values", config=config)
    left, presence = info.state.messages, 0
    while left:
        for message in await pulled.fetch(min(left, 500), timeout=10):
            left -= 1
            if message.subject.startswith("load."):
                checker.take(message.data)
            else:
                presence += 1
    await client.close()
    return presence


def test_each_value_arrives_once_in_order_through_a_restart_of_nats_and_of_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    with nats_cluster(tmp_path / "nats", nodes=1) as cluster, running(LoadServer(tmp_path, TAGS, RATE_HZ)) as server:
        asyncio.run(has_stream(cluster))
        server.wait_said("serving")
        options: dict[str, object] = {
            "sources": [source_of(server.port)], "payload": {"format": "json-columns", "topic": "load/{machine}"}
        }  # fmt: skip
        with running(Gateway(tmp_path, "", cluster.servers[0], **options)) as gateway:

            def wait_delivered(more: int) -> None:
                enough = gateway.total("gateway_values_delivered_total") + more
                wait_until(lambda: gateway.total("gateway_values_delivered_total") >= enough, f"{more} more values")

            gateway.wait_said("connected", peer="broker")
            wait_delivered(1000)
            cluster.nodes[0].kill()
            wait_until(lambda: gateway.total("gateway_outbox_values") > 500, "a backlog")
            cluster.nodes[0].begin()
            wait_delivered(1500)
            gateway.kill()
            gateway.restart()
            gateway.wait_said("connected", peer="broker", times=3)
            wait_delivered(1000)
            last = server.finish()
            wait_until(lambda: gateway.total("gateway_outbox_values") == 0, "the outbox to be empty")
            assert gateway.balanced
            assert gateway.stop() == 0
        checker = LoadChecker(TAGS, server.began_ns / 1e9, 1 / RATE_HZ)
        presence = asyncio.run(consumed(cluster, checker))
    assert int(checker.last.min()) == last
    assert checker.values == checker.owed
    assert (checker.holes, checker.disordered, checker.numbers_missing) == ([], 0, [])
    assert (checker.repeated_messages, checker.gaps) == (0, []), "JetStream knows repeats by their ids"
    assert not +checker.problems
    assert presence >= 4, "two sessions before, one goodbye after"
