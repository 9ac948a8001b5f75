"""One contract for every kind of sink: MQTT in its three sessions, NATS, Kafka, and a kind that is made for tests.

A new kind joins by one entry in `KINDS`: where its peer is, what arrived there, and how the peer speaks to us.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import aiomqtt
import nats as nats_py
import pytest
from confluent_kafka import Consumer, TopicPartition
from msgspec.structs import replace
from nats.aio.msg import Msg

from gateway import kafka, mqtt, nats
from gateway.config import BrokerConfig
from gateway.delivery import LateStage, Presence, Session, SinkKind, Verdict, after_prologue
from gateway.errors import Rejected, Unavailable
from gateway.link import Link
from gateway.model import Message
from tests.support import brokers
from tests.support.kafka_mock import MockCluster, kafka_mock
from tests.support.memory_sink import MemoryKind, MemoryPeer
from tests.support.mqtt_collect import Collected, collecting
from tests.support.mqtt_sessions import message
from tests.support.nats_cluster import Node, nats_cluster
from tests.support.ports import free_port


class Peer(Protocol):
    """The other end of a kind."""

    kind: SinkKind
    config: BrokerConfig

    async def wait_got(self, count: int) -> list[tuple[str, bytes]]: ...
    async def say(self, topic: str, payloads: list[bytes]) -> None: ...
    def cut(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.peer = MemoryPeer()
        self.kind: SinkKind = MemoryKind({"memory://a": self.peer})
        self.config = BrokerConfig(url="mqtt://a").model_copy(update={"url": "memory://a"})

    async def wait_got(self, count: int) -> list[tuple[str, bytes]]:
        assert len(self.peer.got) >= count
        return self.peer.got

    async def say(self, topic: str, payloads: list[bytes]) -> None:
        for payload in payloads:
            self.peer.say(topic, payload)

    def cut(self) -> None:
        self.peer.cut()


class Mosquitto:
    kind: SinkKind = mqtt

    def __init__(self, process: brokers.Process, url: str, version: str, collected: Collected) -> None:
        self._process = process
        self._collected = collected
        keys = {"url": url, "version": version, "window": 5, "max_packet": "1000B"}
        self.config = BrokerConfig.model_validate(keys)

    async def wait_got(self, count: int) -> list[tuple[str, bytes]]:
        await self._collected.wait_count(count)
        return self._collected.messages

    async def say(self, topic: str, payloads: list[bytes]) -> None:
        async with aiomqtt.Client("127.0.0.1", self._process.port, identifier="speaker") as client:
            for payload in payloads:
                await client.publish(topic, payload, qos=1)

    def cut(self) -> None:
        self._process.kill()


@asynccontextmanager
async def in_memory(folder: Path) -> AsyncIterator[Peer]:
    yield InMemory()


@asynccontextmanager
async def mosquitto(folder: Path, version: str = "5", web_socket: bool = False) -> AsyncIterator[Peer]:
    port = free_port()
    listener = f"listener {port} 127.0.0.1\nprotocol websockets"
    with brokers.mosquitto(folder, "max_queued_messages 0", listener=listener, more_ports=(port,)) as process:
        url = f"ws://127.0.0.1:{port}/mqtt" if web_socket else process.url
        async with collecting(process.port, "t/#") as collected:
            yield Mosquitto(process, url, version, collected)


class JetStream:
    """A server alone; what arrives is seen by a subscriber that is not ours."""

    kind: SinkKind = nats

    def __init__(self, node: Node, got: list[tuple[str, bytes]], more: asyncio.Event) -> None:
        self._node, self._got, self._more = node, got, more
        self.config = BrokerConfig.model_validate({"url": node.url, "window": 5, "max_packet": "1000B"})

    async def wait_got(self, count: int) -> list[tuple[str, bytes]]:
        while len(self._got) < count:
            self._more.clear()
            await self._more.wait()
        return self._got

    async def say(self, topic: str, payloads: list[bytes]) -> None:
        raise AssertionError("nothing is taken from NATS")

    def cut(self) -> None:
        self._node.kill()


@asynccontextmanager
async def jetstream(folder: Path) -> AsyncIterator[Peer]:
    got, more = list[tuple[str, bytes]](), asyncio.Event()

    async def seen(message: Msg) -> None:
        got.append((message.subject.replace(".", "/"), message.data))
        more.set()

    with nats_cluster(folder, nodes=1) as cluster:
        client = await nats_py.connect(cluster.servers, allow_reconnect=False)
        await client.jetstream().add_stream(name="t", subjects=["t.>"])
        await client.subscribe("t.>", cb=seen)
        await client.flush()
        yield JetStream(cluster.nodes[0], got, more)
        await client.close()


class MockedKafka:
    """librdkafka's mock cluster; what arrives is seen by a consumer."""

    kind: SinkKind = kafka

    def __init__(self, cluster: MockCluster, consumer: Consumer) -> None:
        self._cluster, self._consumer, self._got = cluster, consumer, list[tuple[str, bytes]]()
        keys = {"url": cluster.url, "window": 5, "max_packet": "1000B", "kafka": {"topic": "values"}}
        self.config = BrokerConfig.model_validate(keys)

    async def wait_got(self, count: int) -> list[tuple[str, bytes]]:
        while len(self._got) < count:
            for record in await asyncio.to_thread(self._consumer.consume, 100, 0.1):
                topic = dict(record.headers() or []).get("topic")
                self._got.append((str(topic, "utf-8") if isinstance(topic, bytes) else "", record.value() or b""))
        return self._got

    async def say(self, topic: str, payloads: list[bytes]) -> None:
        raise AssertionError("nothing is taken from Kafka")

    def cut(self) -> None:
        self._cluster.process.kill()


@asynccontextmanager
async def mocked_kafka(folder: Path) -> AsyncIterator[Peer]:
    with kafka_mock() as cluster:
        cluster.tell("topic values 1")
        consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "test", "log_level": 0})
        consumer.assign([TopicPartition("values", 0, 0)])
        yield MockedKafka(cluster, consumer)
        consumer.close()


KINDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Peer]]] = {
    "memory": in_memory,
    "mqtt-5": mosquitto,
    "mqtt-5-web-socket": partial(mosquitto, web_socket=True),
    "mqtt-3.1.1": partial(mosquitto, version="3.1.1"),
    "nats": jetstream,
    "kafka": mocked_kafka,
}
DEAF = {"nats", "kafka"}
"""Kinds from which no commands are taken."""
every_kind = pytest.mark.parametrize("kind", KINDS)
every_kind_that_hears = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in DEAF])


def run(kind: str, folder: Path, body: Callable[[Peer], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        async with KINDS[kind](folder) as peer:
            await body(peer)

    asyncio.run(asyncio.wait_for(whole(), 60))


def opened(
    peer: Peer, presence: Presence | None = None, late: Callable[[], LateStage] | None = None
) -> AbstractAsyncContextManager[Session]:
    return peer.kind.open_sink(peer.config, Link("peer", peer.config.url), "tested", presence, late)


def to(topic: str, payload: bytes) -> Message:
    return message(f"t/{topic}", payload)


async def delivered(session: Session, *messages: Message) -> None:
    for each in messages:
        assert (await session.send(each)).verdict is Verdict.DELIVERED


@every_kind
def test_messages_arrive_in_order_and_each_gets_its_verdict(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer) as session:
            futures = [session.send(to("a", b"%d" % n)) for n in range(session.window)]
            assert {(await future).verdict for future in futures} == {Verdict.DELIVERED}
            assert await peer.wait_got(5) == [("t/a", b"%d" % n) for n in range(5)]

    run(kind, tmp_path, body)


@every_kind
def test_sending_more_than_a_window_is_a_bug_of_the_caller(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer) as session:
            for _ in range(session.window):
                session.send(to("a", b""))
            with pytest.raises(RuntimeError):
                session.send(to("a", b""))

    run(kind, tmp_path, body)


@every_kind
def test_a_message_longer_than_the_peer_accepts_is_not_sent(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer) as session:
            outcome = await session.send(to("a", bytes(session.most_bytes + 1)))
            assert outcome.verdict is Verdict.NEVER
            assert not outcome.is_answer
            await delivered(session, to("a", b"short"))
            assert await peer.wait_got(1) == [("t/a", b"short")]

    run(kind, tmp_path, body)


@every_kind
def test_a_broken_session_raises_and_stays_broken(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer) as session:
            arriving = session.arrivals("commands/#")
            waiting = asyncio.ensure_future(anext(arriving))
            await delivered(session, to("a", b""))
            peer.cut()
            with pytest.raises(Unavailable):
                await session.wait_closed()
            with pytest.raises(Unavailable):
                await session.send(to("a", b""))
            with pytest.raises(Rejected if kind in DEAF else Unavailable):
                await waiting

    run(kind, tmp_path, body)


class Told:
    """A presence that is told by words."""

    heartbeat_s = None
    is_will_alone = False
    news = None

    def birth(self, since: datetime) -> Message:
        return to("presence", b"here")

    def goodbye(self, since: datetime) -> Message:
        return to("presence", b"gone")

    def will(self, since: datetime) -> Message:
        return to("presence", b"lost")


@every_kind
def test_presence_is_published_first_and_last(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer, Told()) as session:
            await delivered(session, to("a", b""))
        assert [payload for _, payload in await peer.wait_got(3)] == [b"here", b"", b"gone"]

    run(kind, tmp_path, body)


class Numbered:
    """A late stage: what goes out on a session is numbered from 0, in front of the payload."""

    def __init__(self) -> None:
        self._next = 0

    def dress(self, message: Message) -> Message:
        return replace(message, payload=b"%d:%s" % (self._next, message.payload))

    def sent(self, message: Message) -> None:
        assert message.payload.startswith(b"%d:" % self._next), "it is told of what went out"
        self._next += 1


@every_kind
def test_a_late_stage_numbers_messages_from_one_in_each_session(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        stored = to("a", b"x")
        for _ in range(2):
            async with opened(peer, Told(), Numbered) as session:
                await delivered(session, stored, stored)
        assert [payload for _, payload in await peer.wait_got(8)] == [b"0:here", b"1:x", b"2:x", b"3:gone"] * 2
        assert stored.payload == b"x", "what is stored stays as it is"

    run(kind, tmp_path, body)


@every_kind
def test_a_message_that_becomes_too_long_takes_no_number(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer, late=Numbered) as session:
            await delivered(session, to("a", b"x"))
            assert (await session.send(to("a", bytes(session.most_bytes)))).verdict is Verdict.NEVER
            await delivered(session, to("a", b"x"))
            assert [payload for _, payload in await peer.wait_got(2)] == [b"0:x", b"1:x"]

    run(kind, tmp_path, body)


@dataclass
class Births:
    """A prologue longer than a window; its messages say how often it was asked for."""

    count: int = 7
    asked: int = 0

    def __call__(self) -> list[Message]:
        self.asked += 1
        return [to("birth", b"birth %d.%d" % (self.asked, n)) for n in range(self.count)]


@every_kind
def test_a_prologue_comes_first(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer, Told()) as plain:
            session = await after_prologue(plain, Births())
            await delivered(session, to("a", b"data"))
            expected = [b"here", *(b"birth 1.%d" % n for n in range(7)), b"data"]
            assert [payload for _, payload in await peer.wait_got(9)] == expected

    run(kind, tmp_path, body)


@every_kind
def test_a_prologue_is_sent_again_on_request_without_interruption(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer, late=Numbered) as plain:
            session = await after_prologue(plain, Births())
            before = [session.send(to("a", b"before %d" % n)) for n in range(3)]
            session.begin_again()
            after = [session.send(to("a", b"after %d" % n)) for n in range(2)]
            assert {(await future).verdict for future in (*before, *after)} == {Verdict.DELIVERED}
            parts = [
                *(b"birth 1.%d" % n for n in range(7)), *(b"before %d" % n for n in range(3)),
                *(b"birth 2.%d" % n for n in range(7)), *(b"after %d" % n for n in range(2)),
            ]  # fmt: skip
            expected = [b"%d:%s" % (number, part) for number, part in enumerate(parts)]
            assert [payload for _, payload in await peer.wait_got(len(expected))] == expected

    run(kind, tmp_path, body)


@every_kind
def test_a_prologue_requested_again_while_it_is_sent_starts_again(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer) as plain:
            session = await after_prologue(plain, Births())
            session.begin_again()
            session.begin_again()
            await delivered(session, to("a", b"data"))
            got = [payload for _, payload in await peer.wait_got(7 + 5 + 7 + 1)]
            assert got[-8:] == [*(b"birth 3.%d" % n for n in range(7)), b"data"]

    run(kind, tmp_path, body)


@every_kind
def test_a_refused_prologue_ends_the_session(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer) as plain:
            too_long = to("birth", bytes(plain.most_bytes + 1))
            with pytest.raises(Unavailable, match="a message that must come first is refused"):
                await after_prologue(plain, lambda: [too_long])
            session = await after_prologue(plain, list)
            session._prologue = lambda: [too_long]
            session.begin_again()
            with pytest.raises(Unavailable, match="a message that must come first is refused"):
                await session.wait_closed()

    run(kind, tmp_path, body)


@every_kind
def test_messages_waiting_behind_a_prologue_fail_with_the_session(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer) as plain:
            session = await after_prologue(plain, Births())
            session.begin_again()
            waiting = [session.send(to("a", b"data")) for _ in range(session.window)]
            with pytest.raises(RuntimeError):
                session.send(to("a", b"one too many"))
            peer.cut()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(result, Unavailable) or result for result in results)
            with pytest.raises(Unavailable):
                await session.wait_closed()

    run(kind, tmp_path, body)


@every_kind_that_hears
def test_inbound_messages_keep_their_order_and_none_is_lost_while_the_reader_is_busy(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer) as session:
            arriving = session.arrivals("commands/#")
            first = asyncio.ensure_future(anext(arriving))
            await delivered(session, to("a", b""))  # the subscription is on its way before this
            payloads = [b"%d" % n for n in range(100)]
            await peer.say("commands/x", payloads)  # far more than may be on the way at once
            assert (await first).topic == "commands/x"
            await delivered(session, to("a", b"data flows meanwhile"))
            rest = [(await anext(arriving)).payload for _ in range(99)]
            assert rest == payloads[1:]
            await arriving.aclose()

    run(kind, tmp_path, body)


@every_kind_that_hears
def test_a_session_subscribes_once(kind: str, tmp_path: Path) -> None:
    async def body(peer: Peer) -> None:
        async with opened(peer) as session:
            first = asyncio.ensure_future(anext(session.arrivals("commands/#")))
            await delivered(session, to("a", b""))
            with pytest.raises(RuntimeError):
                await anext(session.arrivals("others/#"))
            first.cancel()
            await asyncio.wait([first])

    run(kind, tmp_path, body)
