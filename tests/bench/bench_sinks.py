"""What a value costs on its way to each kind of broker: MQTT 5, NATS JetStream, Kafka, in one run.

    python -m tests.bench.bench_sinks [--messages 20000] [--rounds 3]

The same messages of 20 values (1.4 kB of JSON) go to a server of each kind on this machine, a window of 100 under way.
CPU time of this process alone, the best round of each, taken in turn.  The ratio is to MQTT 5 in the same run.
mosquitto and nats-server (one server, file storage) are real; Kafka is librdkafka's mock cluster, so its CPU here is
that of the producer, and nothing is said about a real cluster's speed.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import nats as nats_py
import orjson
import uvloop

from gateway import kafka, mqtt, nats
from gateway.config import BrokerConfig
from gateway.delivery import Outcome, Session, SinkKind, Verdict
from gateway.link import Link
from gateway.model import Message
from tests.support.brokers import mosquitto
from tests.support.kafka_mock import kafka_mock
from tests.support.nats_cluster import nats_cluster

VALUES = 20
ROW = {"name": "Temperature", "value": 71.25, "time": "2026-01-01T00:00:00.0000000Z"}
Opened = Callable[[], AbstractAsyncContextManager[Session]]


def message(number: int) -> Message:
    body = {"stream": "edge/factory/line-1", "seq": number, "values": [ROW] * VALUES}
    return Message("factory/line-1/press", orjson.dumps(body), f"edge/{time.time_ns()}", number, VALUES)


async def send(opened: Opened, messages: list[Message]) -> float:
    """CPU per value, in microseconds."""
    async with opened() as session:
        room, bad = asyncio.Semaphore(session.window), list[Outcome]()

        def settled(future: "asyncio.Future[Outcome]") -> None:
            room.release()
            if future.result().verdict is not Verdict.DELIVERED:
                bad.append(future.result())

        began_s = time.process_time()
        for each in messages:
            await room.acquire()
            session.send(each).add_done_callback(settled)
        for _ in range(session.window):
            await room.acquire()
        cpu_s = time.process_time() - began_s
    assert not bad, bad[0]
    return cpu_s / len(messages) / VALUES * 1e6


def way(kind: SinkKind, url: str, **keys: object) -> Opened:
    config = BrokerConfig.model_validate({"url": url, **keys})

    @asynccontextmanager
    async def opened() -> AsyncIterator[Session]:
        async with kind.open_sink(config, Link("bench", url), "bench") as session:
            yield session

    return opened


async def has_stream(servers: list[str]) -> None:
    client = await nats_py.connect(servers)
    await client.jetstream().add_stream(name="values", subjects=["factory.>"], max_msgs=1000)
    await client.close()


def figures(folder: Path, messages: int, rounds: int) -> dict[str, float]:
    """By kind: microseconds of CPU per value."""
    with ExitStack() as stack:
        (folder / "nats").mkdir()
        broker = stack.enter_context(mosquitto(folder, "max_queued_messages 0"))
        cluster = stack.enter_context(nats_cluster(folder / "nats", nodes=1, sync='"2m"'))
        mocked = stack.enter_context(kafka_mock())
        mocked.tell("topic factory 4")
        asyncio.run(has_stream(cluster.servers))
        ways = {
            "MQTT 5": way(mqtt, broker.url),
            "NATS JetStream": way(nats, cluster.servers[0]),
            "Kafka (mock cluster)": way(kafka, mocked.url),
        }
        found = dict.fromkeys(ways, float("inf"))
        for _ in range(rounds):
            for name, opened in ways.items():
                made = [message(number) for number in range(messages)]
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    found[name] = min(found[name], runner.run(send(opened, made)))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = figures(Path(folder), options.messages, options.rounds)
    first = next(iter(found.values()))
    for name, us in found.items():
        print(f"{name:22} {us:6.3f} µs of CPU per value  {us / first:5.2f} x")


if __name__ == "__main__":
    main()
