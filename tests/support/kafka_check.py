"""What a cluster of Kafka must show to our producer, and a command that asks a real one.

    make kafka-check ARGS="--bootstrap host:9092"

It makes a topic of its own, sends, reads back with a consumer, and removes the topic; `--topic` names one that is
there.  Without TLS and login; for those give a configuration with `--broker FILE` (the section `broker` of a gateway,
as YAML).
"""

import argparse
import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import Message as Record
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from gateway import kafka
from gateway.config import BrokerConfig
from gateway.delivery import Outcome, Session, Verdict
from gateway.errors import Unavailable
from gateway.kafka.settings import settings_of
from gateway.link import Link
from gateway.model import Message

STREAMS, EACH, WINDOW = 10, 60, 50
TOPIC_BYTES = 20_000
"""`max.message.bytes` of the topic that the command makes."""


def message(stream: int, seq: int, payload: bytes = b'{"values":[]}') -> Message:
    return Message(f"t/{stream}", payload, stream=f"edge/t/{stream}", seq=seq, values=1, properties=(("k", "v"),))


@asynccontextmanager
async def opened(config: BrokerConfig, **changes: object) -> AsyncIterator[Session]:
    config = config.model_copy(update=changes)
    async with kafka.open_sink(config, Link("kafka", config.url), "check") as session:
        yield session


async def send_all(session: Session, half_way: Callable[[], object] = lambda: None) -> set[Verdict]:
    """Ten streams in turn, a window under way."""
    window, outcomes = asyncio.Semaphore(WINDOW), list[asyncio.Future[Outcome]]()
    for number in range(STREAMS * EACH):
        if number == STREAMS * EACH // 2:
            await asyncio.to_thread(half_way)
        await window.acquire()
        outcomes.append(session.send(message(number % STREAMS, number // STREAMS + 1)))
        outcomes[-1].add_done_callback(lambda _: window.release())
    return {(await outcome).verdict for outcome in outcomes}


Head = dict[str, bytes]


def reading(config: BrokerConfig) -> Consumer:
    """A consumer of the whole topic from its beginning.  Blocks."""
    settings = {k: v for k, v in settings_of(config, "check").items() if k.partition(".")[0] in SHARED}
    consumer = Consumer({**settings, "group.id": "gateway-check", "enable.auto.commit": False})
    topic = config.kafka_or_default.topic
    parts = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, part, 0) for part in parts])
    return consumer


def taken(consumer: Consumer, count: int) -> Iterator[tuple[Head, Record]]:
    """At most so many records, each with its headers."""
    for record in consumer.consume(count, 0.5):
        yield {k: v for k, v in dict(record.headers() or []).items() if isinstance(v, bytes)}, record


def read_all(config: BrokerConfig) -> list[tuple[Head, bytes]]:
    """Headers and payload of every record, in the order of each partition.  Blocks."""
    consumer, found = reading(config), list[tuple[Head, bytes]]()
    ends = [consumer.get_watermark_offsets(part, timeout=30)[1] for part in consumer.assignment()]
    while len(found) < sum(ends):
        found += [(head, record.value() or b"") for head, record in taken(consumer, 500)]
    consumer.close()
    return found


def read_back(config: BrokerConfig, count: int) -> tuple[dict[str, list[int]], dict[str, set[int]], list[bytes]]:
    """By stream: the numbers in the order of their partition, and its partitions; and all payloads.  Blocks."""
    consumer = reading(config)
    numbers, places, payloads = dict[str, list[int]](), dict[str, set[int]](), list[bytes]()
    end_s = time.monotonic() + 30
    while len(payloads) < count:
        assert time.monotonic() < end_s, f"{len(payloads)} of {count} records arrived"
        for head, record in taken(consumer, min(count - len(payloads), 500)):
            stream = head["stream"].decode()
            assert record.key() == head["stream"]
            numbers.setdefault(stream, []).append(int(head["seq"]))
            places.setdefault(stream, set()).add(record.partition() or 0)
            payloads.append(record.value() or b"")
    consumer.close()
    return numbers, places, payloads


SHARED = ("bootstrap", "security", "sasl", "ssl", "log_level")


def check_order(config: BrokerConfig) -> None:
    """Each message once, the streams in order, each in one partition.  Blocks."""
    numbers, places, _ = read_back(config, STREAMS * EACH)
    assert numbers == {f"edge/t/{stream}": [*range(1, EACH + 1)] for stream in range(STREAMS)}
    assert all(len(parts) == 1 for parts in places.values())


async def _order(config: BrokerConfig) -> None:
    async with opened(config) as session:
        assert await send_all(session) == {Verdict.DELIVERED}
    await asyncio.to_thread(check_order, config)


async def _too_large(config: BrokerConfig) -> None:
    async with opened(config) as session:
        outcome = await session.send(message(0, 1000, bytes(2 * TOPIC_BYTES)))
        assert (outcome.verdict, outcome.reason) == (Verdict.NEVER, "too_large"), outcome
        assert (await session.send(message(0, 1001))).verdict is Verdict.DELIVERED


async def _no_topic(config: BrokerConfig) -> None:
    there_is_none = config.kafka_or_default.model_copy(update={"topic": f"none-{uuid.uuid4().hex}"})
    told = "a session opened"
    with contextlib.suppress(Unavailable):
        async with opened(config, kafka=there_is_none):
            raise AssertionError(told)


CHECKS: dict[str, Callable[[BrokerConfig], Coroutine[Any, Any, None]]] = {
    "each message once, streams in order, each in one partition": _order,
    "a record that the topic does not accept is refused for good, the next one gets through": _too_large,
    "a topic that does not exist is waited for": _no_topic,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bootstrap", default="", help="host:port of a broker")
    parser.add_argument("--broker", type=Path, help="YAML file with the section `broker` of a gateway")
    parser.add_argument("--topic", default="", help="an empty topic that is there: none is made, none removed")
    options = parser.parse_args()
    given: dict[str, Any] = {"url": f"kafka://{options.bootstrap}"}
    if options.broker:
        given = yaml.safe_load(options.broker.read_text())
    topic = options.topic or f"gateway-check-{uuid.uuid4().hex[:8]}"
    given["kafka"] = {**given.get("kafka", {}), "topic": topic}
    config = BrokerConfig.model_validate(given)
    with contextlib.nullcontext() if options.topic else made(config, topic):
        return 1 if [name for name, check in CHECKS.items() if not passed(name, check, config)] else 0


@contextlib.contextmanager
def made(config: BrokerConfig, topic: str) -> Iterator[None]:
    """A topic with four partitions and a limit of its own, for as long as this lasts."""
    admin = AdminClient({k: v for k, v in settings_of(config, "check").items() if k.partition(".")[0] in SHARED})
    admin.create_topics([NewTopic(topic, 4, config={"max.message.bytes": str(TOPIC_BYTES)})])[topic].result(30)
    try:
        yield
    finally:
        admin.delete_topics([topic])[topic].result(30)


def passed(name: str, check: Callable[[BrokerConfig], Coroutine[Any, Any, None]], config: BrokerConfig) -> bool:
    try:
        asyncio.run(asyncio.wait_for(check(config), 120))
    except (AssertionError, TimeoutError, Unavailable) as error:
        print(f"FAILED  {name}: {error}")
        return False
    print(f"ok      {name}")
    return True


if __name__ == "__main__":
    raise SystemExit(main())
