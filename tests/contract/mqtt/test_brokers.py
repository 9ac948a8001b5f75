"""One contract, every session, four brokers: mosquitto, the embedded one, aedes and NATS (the last two: 3.1.1 only)."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.delivery import Outcome, Verdict
from gateway.errors import Unavailable
from gateway.mqtt.sink import Sink
from tests.support import brokers
from tests.support.mqtt_collect import Collected, collecting
from tests.support.mqtt_sessions import Session, message, opened, reason_of
from tests.support.ports import free_port


@dataclass(frozen=True)
class Case:
    """A broker and how it is spoken to."""

    name: str
    session: Session
    web_socket: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.session}{'-ws' if self.web_socket else ''}"


CASES = (
    Case("mosquitto", "lean"),
    Case("mosquitto", "general"),
    Case("mosquitto", "general-3.1.1"),
    Case("mosquitto", "general", web_socket=True),
    Case("iotcore", "lean"),
    Case("iotcore", "general"),
    Case("iotcore", "general-3.1.1"),
    Case("aedes", "general-3.1.1"),
    Case("aedes", "general-3.1.1", web_socket=True),
    Case("nats", "general-3.1.1"),
)
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@dataclass
class Running:
    """A broker that runs, seen by one case."""

    process: brokers.Process
    url: str
    tcp_port: int
    """Where a subscriber connects."""
    login: tuple[str, str] | None = None
    version_5: bool = False

    def collecting(self, topic: str) -> AbstractAsyncContextManager[Collected]:
        """A subscriber in the version of the port.  The embedded broker cuts a 3.1.1 subscriber off when a message
        with MQTT 5 properties comes by."""
        username, password = self.login or (None, None)
        return collecting(self.tcp_port, topic, username=username, password=password, version_5=self.version_5)


@contextmanager
def running(case: Case, folder: Path) -> Iterator[Running]:
    match case:
        case Case("mosquitto", _, web_socket=True):
            port = free_port()
            lines = f"listener {port} 127.0.0.1\nprotocol websockets"
            with brokers.mosquitto(folder, listener=lines, more_ports=(port,)) as process:
                yield Running(process, f"ws://127.0.0.1:{port}/mqtt", process.port)
        case Case("mosquitto"):
            with brokers.mosquitto(folder) as process:
                yield Running(process, process.url, process.port)
        case Case("iotcore"):
            with brokers.iotcore(folder) as process:
                port = process.ports[1 if case.session == "general-3.1.1" else 0]
                yield Running(process, f"mqtt://127.0.0.1:{port}", port, version_5=port == process.port)
        case Case("aedes"):
            with brokers.aedes(folder) as process:
                url = f"ws://127.0.0.1:{process.ports[1]}/mqtt" if case.web_socket else process.url
                yield Running(process, url, process.port)
        case _:
            with brokers.nats(folder) as process:
                yield Running(process, process.url, process.port, ("u", "p"))


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


async def deliver(sink: Sink, topic: str, first: int, count: int) -> list[Outcome]:
    """Send numbered messages with the window kept full."""
    outcomes: list[Outcome] = []
    open_: deque[asyncio.Future[Outcome]] = deque()
    for number in range(first, first + count):
        if len(open_) >= sink.window:
            outcomes.append(await open_.popleft())
        open_.append(sink.send(message(topic, b"%d" % number)))
    return outcomes + [await future for future in open_]


@every_case
def test_acknowledged_messages_arrive_once_and_in_order(case: Case, tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            broker.collecting("a/#") as got,
            opened(case.session, broker.url, login=broker.login) as sink,
        ):
            outcomes = await deliver(sink, "a/b", 0, 500)
            assert {outcome.verdict for outcome in outcomes} == {Verdict.DELIVERED}
            await got.wait_count(500)
            assert got.payloads == [b"%d" % number for number in range(500)]

    with running(case, tmp_path) as broker:
        run(body())


@every_case
def test_a_killed_broker_fails_open_messages_and_is_reconnected_when_it_is_back(case: Case, tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(case.session, broker.url, login=broker.login) as sink:
            await deliver(sink, "a/b", 0, 10)
            broker.process.stall()
            futures = [sink.send(message()) for _ in range(20)]
            broker.process.kill()
            for future in futures:
                assert "cut the connection" in await reason_of(future)
            assert "cut the connection" in await reason_of(sink.wait_closed())
        assert "refuses the connection" in await reason_of(opened(case.session, broker.url).__aenter__())
        broker.process.restart()
        async with opened(case.session, broker.url, login=broker.login) as sink:
            assert len(await deliver(sink, "a/b", 0, 10)) == 10

    with running(case, tmp_path) as broker:
        run(body())


@every_case
def test_a_stalled_broker_is_disconnected_and_reconnected_when_it_continues(case: Case, tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(case.session, broker.url, ack_timeout_s=0.3, login=broker.login) as sink:
            broker.process.stall()
            assert "has not acknowledged" in await reason_of(sink.send(message()))
        opening = opened(case.session, broker.url, within_s=0.3, login=broker.login).__aenter__()
        assert "gave no answer within" in await reason_of(opening)
        broker.process.go_on()
        taken = 0
        while not taken:  # the broker may still find the CONNECT of the one that gave up, and let it take our session
            with suppress(Unavailable):
                async with opened(case.session, broker.url, login=broker.login) as sink:
                    taken = len(await deliver(sink, "a/b", 0, 10))
        assert taken == 10

    with running(case, tmp_path) as broker:
        run(body())


@every_case
def test_the_last_will_is_published_after_a_lost_connection_and_not_after_a_disconnect(
    case: Case, tmp_path: Path
) -> None:
    async def body() -> None:
        will = message("a/will", b"vanished")
        async with broker.collecting("a/#") as got:
            async with opened(case.session, broker.url, will=will, login=broker.login) as sink:
                await sink.send(message("a/b", b"first"))
            # Another name: the embedded broker may take the end of the first session for that of a second of its name.
            async with opened(
                case.session, broker.url, client_id="another", will=will, ack_timeout_s=1.5, login=broker.login
            ) as sink:
                await sink.send(message("a/b", b"second"))
                broker.process.stall()
                await reason_of(sink.send(message("a/b", b"third")))
            broker.process.go_on()
            while got.payloads[-1:] != [b"vanished"]:
                await got.wait_count(len(got.messages) + 1)
            assert got.payloads.count(b"vanished") == 1

    with running(case, tmp_path) as broker:
        run(body())


@every_case
def test_a_second_client_with_the_same_id_ends_the_session(case: Case, tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            opened(case.session, broker.url, login=broker.login) as first,
            opened(case.session, broker.url, login=broker.login) as second,
        ):
            assert broker.url in await reason_of(first.wait_closed())
            assert (await second.send(message())).verdict is Verdict.DELIVERED

    with running(case, tmp_path) as broker:
        run(body())
