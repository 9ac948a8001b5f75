"""How sessions end, on each kind of session: what a real broker or a bad line does is told with its reason, in time."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

import pytest

from gateway.delivery import Verdict
from tests.support import brokers
from tests.support.mqtt_sessions import ALL, Session, message, opened, reason_of
from tests.support.proxy import open_proxy

every_session = pytest.mark.parametrize("session", ALL)


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


@every_session
def test_a_half_open_connection_is_noticed_by_the_missing_puback(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            open_proxy(broker.port) as proxy,
            opened(session, f"mqtt://127.0.0.1:{proxy.port}", ack_timeout_s=1.5) as sink,
        ):
            assert (await sink.send(message())).verdict is Verdict.DELIVERED
            proxy.half_open()
            assert "has not acknowledged" in await reason_of(sink.send(message()))
            assert "has not acknowledged" in await reason_of(sink.wait_closed())

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@every_session
def test_a_half_open_connection_without_data_is_noticed_by_the_keep_alive(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            open_proxy(broker.port) as proxy,
            opened(session, f"mqtt://127.0.0.1:{proxy.port}", keep_alive_s=1) as sink,
        ):
            proxy.half_open()
            assert "silent for" in await reason_of(sink.wait_closed())

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@every_session
def test_a_cut_connection_fails_open_messages(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with open_proxy(broker.port) as proxy, opened(session, f"mqtt://127.0.0.1:{proxy.port}") as sink:
            proxy.stall()
            open_ = [sink.send(message()) for _ in range(3)]
            proxy.cut()
            for future in open_:
                assert "cut the connection" in await reason_of(future)

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@every_session
def test_a_broker_that_stops_is_noticed_at_once(session: Session, tmp_path: Path) -> None:
    """mosquitto 2.0.11 and rumqttd hang up without a DISCONNECT, also when a session is taken over; what a broker that
    sends one says is told by the tests with a scripted broker."""

    async def body() -> None:
        async with opened(session, broker.url) as sink:
            broker.process.terminate()
            assert "cut the connection" in await reason_of(sink.wait_closed())

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@every_session
def test_a_broker_that_acknowledges_nothing_is_disconnected(session: Session, tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(session, broker.url, ack_timeout_s=0.5) as sink:
            broker.stall()
            open_ = [sink.send(message()) for _ in range(sink.window)]
            for future in open_:
                assert "has not acknowledged a publish for 0.5 s" in await reason_of(future)
        broker.go_on()

    with brokers.mosquitto(tmp_path) as broker:
        run(body())
