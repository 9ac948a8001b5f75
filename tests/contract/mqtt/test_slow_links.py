"""Links so slow that a message, or what is in flight, needs longer than `ack_timeout`: everything is delivered.

The same holds for opening a session and `connect_timeout`, and for a subscription behind what was sent before.

The clock of these tests runs faster than the wall's.
"""

import asyncio
import contextlib
from functools import partial
from pathlib import Path

import orjson
import pytest

from gateway import mqtt
from gateway.config import BrokerConfig
from gateway.delivery.line_rate import LineRate
from gateway.errors import Unavailable
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, books_of
from gateway.model import Message
from gateway.mqtt import open_sink
from gateway.pipeline.forward import forward
from tests.support import brokers
from tests.support.composition import MOST_AT_ONCE, Composition
from tests.support.fast_clock import run_fast
from tests.support.forwarding import queue, until
from tests.support.mqtt_certificates import Authority
from tests.support.mqtt_fake import FakeBroker, fake_broker
from tests.support.mqtt_sessions import Session, opened
from tests.support.ports import free_port
from tests.support.proxy import open_proxy

ACK_TIMEOUT_S = 20.0
STRING = 12
lines = pytest.mark.parametrize(
    ("session", "rate"), [("lean", 100), ("lean", 300), ("lean", 1000), ("general", 300)]
)  # in bytes a second


async def deliver(
    folder: Path,
    session: Session,
    rate: float,
    sizes: list[int],
    ack_timeout_s: float = ACK_TIMEOUT_S,
    buffer_bytes: int | None = None,
) -> tuple[FakeBroker, LineRate]:
    """Messages of these sizes through a line that carries so many bytes a second."""
    metrics, leave, line = Metrics(), asyncio.Event(), LineRate()
    async with (
        fake_broker() as broker,
        open_proxy(broker.port, buffer_bytes=buffer_bytes) as proxy,
        queue(folder, metrics) as found,
    ):
        url = f"mqtt://127.0.0.1:{proxy.port}"
        messages = [Message("t", b"x" * size, "s", n, values=1) for n, size in enumerate(sizes, 1)]
        await found.outbox.append(messages)
        metrics.for_source("s").received.inc(len(sizes))
        proxy.slow(rate, every_s=1.0)
        async with asyncio.TaskGroup() as tasks:
            opening = partial(opened, session, url, ack_timeout_s=ack_timeout_s, line=line)
            tasks.create_task(forward(found, opening, Link("b", url), Backoff(0.1, 0.1), leave), name="forward")
            await found.outbox.wait_empty()
            proxy.heal()  # what is left is the goodbye
            leave.set()
        books = books_of(metrics.registry, "b")
        assert (books.delivered, books.balance) == (len(sizes), True)
    return broker, line


@lines
def test_arriving_acknowledgements_keep_the_session_alive(session: Session, rate: int, tmp_path: Path) -> None:
    """All that is in flight needs several times the time-out, each message less."""
    messages = int(3 * ACK_TIMEOUT_S * rate) // 800

    async def body() -> None:
        broker, _ = await deliver(tmp_path, session, rate, [700] * messages)
        assert (len(broker.connects), len(broker.publishes)) == (1, messages), "nothing was sent twice"

    run_fast(body())


@lines
def test_bytes_that_are_sent_keep_the_session_alive(session: Session, rate: int, tmp_path: Path) -> None:
    """One message needs several times the time-out, and the line shows how far it has come."""

    async def body() -> None:
        timeout_s = 3 * ACK_TIMEOUT_S  # the kernel takes it in steps of 2 kB
        size = 8192 + int(2 * timeout_s * rate)
        broker, _ = await deliver(tmp_path, session, rate, [size], timeout_s, buffer_bytes=256)
        assert len(broker.connects) == 1

    run_fast(body())


@lines
def test_a_message_held_in_a_network_buffer_gets_more_time_until_it_is_delivered(
    session: Session, rate: int, tmp_path: Path
) -> None:
    """The line takes it at once and says nothing for several time-outs; what it carries is known from then on."""

    async def body() -> None:
        size = int(3 * ACK_TIMEOUT_S * rate)
        broker, line = await deliver(tmp_path, session, rate, [size, 10])
        assert 2 <= len(broker.connects) <= 4
        most = line.most_bytes(ACK_TIMEOUT_S)
        assert most is not None
        assert most < size / 3, "what comes next is split"

    run_fast(body())


@pytest.mark.parametrize("way", ["mqtt-5", "mqtts-5", "mqtts-3.1.1", "wss-5"])
def test_opening_may_take_several_time_outs_while_bytes_move(way: str, tmp_path: Path) -> None:
    """The certificates of TLS, or a token of 10 kB as a password."""

    async def body(broker: brokers.Process, settings: dict[str, object]) -> None:
        async with open_proxy(broker.port if "wss" not in way else broker.ports[1], buffer_bytes=256) as proxy:
            proxy.slow(400, every_s=1.0)
            scheme, version = way.split("-")
            path = "/mqtt" if scheme == "wss" else ""
            config = BrokerConfig.model_validate(
                {
                    "url": f"{scheme}://127.0.0.1:{proxy.port}{path}",
                    "version": version,
                    "connect_timeout": 8,
                    **settings,
                }
            )
            began_s = asyncio.get_running_loop().time()
            async with open_sink(config, Link("b", config.url), "g"):
                assert asyncio.get_running_loop().time() - began_s > 8
                proxy.heal()

    authority = Authority(tmp_path)
    pair = authority.issue("broker", "127.0.0.1", *[f"name-{n}.example.com" for n in range(400)])
    (tmp_path / "token").write_text("x" * 10_000)
    (tmp_path / "token").chmod(0o600)
    if way.startswith("mqtt-"):
        settings: dict[str, object] = {"username": "u", "password": {"file": str(tmp_path / "token")}}
        with brokers.mosquitto(tmp_path) as broker:
            run_fast(body(broker, settings))
        return
    lines, web_port = authority.listener(pair), free_port()
    web = f"listener {web_port} 127.0.0.1\nprotocol websockets\n{lines}"
    with brokers.mosquitto(tmp_path, listener=f"{lines}\n{web}", more_ports=(web_port,)) as broker:
        run_fast(body(broker, {"tls": {"ca": str(authority.path)}}))


def test_a_broker_that_drips_bytes_does_not_hold_the_attempt_for_ever() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            for byte in b"\x20\xff\x7f" + bytes(10_000):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.5)
        is_over.set()

    is_over = asyncio.Event()

    async def body() -> None:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = BrokerConfig.model_validate({"url": url, "version": "5", "connect_timeout": 3})
        with pytest.raises(Unavailable, match="gave no answer within 36 s"):
            async with open_sink(config, Link("b", url), "g"):
                pass
        server.close()
        await is_over.wait()

    run_fast(body())


@pytest.mark.parametrize("session", ["lean", "general"])
def test_a_subscription_may_wait_behind_what_was_sent_before(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, open_proxy(broker.port) as proxy:
            url = f"mqtt://127.0.0.1:{proxy.port}"
            async with opened(session, url, ack_timeout_s=ACK_TIMEOUT_S) as sink, asyncio.TaskGroup() as tasks:
                proxy.slow(100, every_s=1.0)
                sent = [sink.send(Message("t", b"x" * 600, "s", n, values=1)) for n in range(12)]
                arriving = tasks.create_task(anext(sink.arrivals("commands")), name="arrivals")
                await asyncio.gather(*sent)
                await broker.wait_subscribed()
                broker.publish("commands", b"go")
                assert (await arriving).payload == b"go"
                proxy.heal()
                assert len(broker.connects) == 1

    run_fast(body())


@pytest.mark.parametrize("rate", [100, 1000])
def test_a_whole_gateway_splits_its_messages_to_what_the_link_can_do(rate: int, tmp_path: Path) -> None:
    """From the batch of a source to the broker: the first messages are too long, and the line says so."""

    async def body() -> None:
        async with fake_broker() as broker, open_proxy(broker.port) as proxy:
            composition = Composition(tmp_path, ["s"], ["a"])
            composition.kinds["a"] = mqtt
            server = composition.servers["s"]
            server.row = lambda number: (STRING, f"{number} ".ljust(4 * rate, "."))
            changes = {
                "url": f"mqtt://127.0.0.1:{proxy.port}",
                "presence": {"topic": None},
                "ack_timeout": ACK_TIMEOUT_S,
            }
            async with composition.running(composition.config(None, {"a": changes})):
                await until(lambda: composition.gateway.brokers["a"].is_up)
                proxy.slow(rate, every_s=1.0)
                server.produce(MOST_AT_ONCE)
                await until(lambda: "s" in composition.gateway.routing.packet_bytes or len(values(broker)) > 0)
                await composition.gateway.outbox.wait_empty()
                whole = len(broker.publishes)
                server.produce(MOST_AT_ONCE)
                await until(lambda: len(values(broker)) == server.produced)
                proxy.heal()
                later = [publish for publish in broker.publishes[whole:] if publish.topic.startswith("x/")]
                assert len(later) > 1, "the second batch is split"
                assert max(len(publish.payload) for publish in later) < rate * ACK_TIMEOUT_S
                assert values(broker) == list(range(1, server.produced + 1))
                assert composition.imbalance("a") == 0

    run_fast(body())


def values(broker: FakeBroker) -> list[int]:
    """The numbers that have come, once each, in the order of their first arrival."""
    rows = [row for publish in broker.publishes for row in orjson.loads(publish.payload).get("values", [])]
    return list(dict.fromkeys(int(row["value"].split()[0]) for row in rows))
