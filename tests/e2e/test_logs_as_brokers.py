"""OPC UA to JetStream and to Kafka, with real programs: both ends are killed, and a consumer finds each value once.

NATS is real; Kafka is librdkafka's mock cluster, which cannot be killed and come back, but be away.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nats as nats_py
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig

from gateway.config import BrokerConfig
from tests.support.kafka_check import read_all
from tests.support.kafka_mock import kafka_mock
from tests.support.load_chain import RATE_HZ
from tests.support.load_checker import LoadChecker
from tests.support.load_server import LoadServer, source_of
from tests.support.nats_cluster import Cluster, nats_cluster
from tests.support.programs import SINK, Gateway, running, wait_until

TAGS, QUIET_S = 100, 2.0
SUBJECTS = [f"load.m-0{number}{below}" for number in range(9) for below in ("", ".>")]
"""Of nine machines out of ten; lists of tags are below."""


async def has_stream(cluster: Cluster, *subjects: str) -> None:
    client = await nats_py.connect(cluster.servers)
    config = StreamConfig(name="values", subjects=[*subjects])
    known = await client.jetstream().streams_info()
    await (client.jetstream().update_stream(config) if known else client.jetstream().add_stream(config))
    await client.close()


@dataclass
class Consumed:
    """What a consumer finds at the end."""

    checker: LoadChecker
    presence: list[bytes] = field(default_factory=list)

    def take(self, topic: str, payload: bytes) -> None:
        if topic.startswith("load"):
            self.checker.take(payload)
        else:
            self.presence.append(payload)


async def from_jetstream(cluster: Cluster, take: Callable[[str, bytes], None]) -> None:
    client = await nats_py.connect(cluster.servers)
    js = client.jetstream(timeout=10)
    left = (await js.stream_info("values")).state.messages
    whole = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
    pulled = await js.pull_subscribe(">", stream="values", config=whole)
    while left:
        for message in await pulled.fetch(min(left, 500), timeout=10):
            left -= 1
            take(message.subject, message.data)
    await client.close()


def from_kafka(config: dict[str, object], take: Callable[[str, bytes], None]) -> None:
    records = read_all(BrokerConfig.model_validate(config))
    for head, payload in sorted(records, key=lambda each: b"/tags/" not in each[0]["topic"]):  # other partitions
        take(head["topic"].decode(), payload)


def test_a_log_has_each_value_in_order_through_a_broker_that_was_away_a_kill_of_the_gateway_and_a_refusal(
    tmp_path: Path,
) -> None:
    """Both at once: JetStream is killed, and at first no stream takes the last machine; Kafka is away."""
    (tmp_path / "nats").mkdir()
    with (
        nats_cluster(tmp_path / "nats", nodes=1) as cluster,
        kafka_mock() as mocked,
        running(LoadServer(tmp_path, TAGS, RATE_HZ)) as server,
    ):
        asyncio.run(has_stream(cluster, "gateways.>", *SUBJECTS))
        mocked.tell("topic factory 4")
        server.wait_said("serving")
        at_kafka: dict[str, object] = {"name": "kafka", "url": mocked.url}
        brokers = [{**SINK, "name": "nats", "url": cluster.servers[0]}, {**SINK, **at_kafka}]
        options: dict[str, object] = {
            "sources": [source_of(server.port)], "payload": {"format": "json-columns", "topic": "load/{machine}"}
        }  # fmt: skip
        with running(Gateway(tmp_path, "", "", broker=None, brokers=brokers, **options)) as gateway:

            def wait_delivered(more: int) -> None:
                before = {name: delivered(gateway, name) for name in ("nats", "kafka")}
                what = f"{more} more values at each broker"
                wait_until(lambda: all(delivered(gateway, n) >= before[n] + more for n in before), what)

            gateway.wait_said("connected", peer="nats")
            gateway.wait_said("connected", peer="kafka")
            wait_delivered(300)
            cluster.nodes[0].kill()
            mocked.tell("down 1")
            wait_until(lambda: gateway.total("gateway_outbox_values") > 1000, "a backlog")
            cluster.nodes[0].begin()
            mocked.tell("up 1")
            wait_delivered(500)
            asyncio.run(has_stream(cluster, "gateways.>", "load.>"))
            gateway.kill()
            gateway.restart()
            gateway.wait_said("connected", peer="nats", times=3)
            wait_delivered(300)
            last = server.finish()
            wait_until(all_is_done(gateway), "everything to be received and delivered")
            assert gateway.total("gateway_sink_held_messages") == 0
            assert gateway.balanced
            assert gateway.stop() == 0
        at_nats, kafkas = (Consumed(LoadChecker(TAGS, server.began_ns / 1e9, 1 / RATE_HZ)) for _ in range(2))
        asyncio.run(from_jetstream(cluster, at_nats.take))
        from_kafka(at_kafka, kafkas.take)
    assert complete(at_nats, last).repeated_messages == 0, "JetStream knows repeats by their ids"
    complete(kafkas, last)


def delivered(gateway: Gateway, broker: str) -> float:
    return sum(v for k, v in gateway.metrics.items() if k.startswith("gateway_values_delivered_total") and broker in k)


def all_is_done(gateway: Gateway) -> Callable[[], bool]:
    """Nothing more comes, and nothing is left."""
    seen, since_s = -1.0, 0.0

    def look() -> bool:
        nonlocal seen, since_s
        received, left = gateway.total("gateway_values_received_total"), gateway.total("gateway_outbox_values")
        if received != seen or left:
            seen, since_s = received, time.monotonic()
        return time.monotonic() - since_s > QUIET_S

    return look


def complete(consumed: Consumed, last: int, *, in_order: bool = True) -> LoadChecker:
    """Every value is there.  In Kafka one run of thirty has a tick of all tags out of order or twice, for a reason that
    is not known yet: the long run insists on its order too."""
    checker = consumed.checker
    assert int(checker.last.min()) == last
    assert (checker.holes, checker.numbers_missing, checker.gaps) == ([], [], [])
    if in_order:
        assert (checker.values, checker.disordered) == (checker.owed, 0), checker.first
    assert checker.values >= checker.owed
    assert not +checker.problems
    assert len(consumed.presence) >= 3, "it came twice, and went"
    return checker
