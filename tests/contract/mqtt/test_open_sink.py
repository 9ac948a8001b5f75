"""`open_sink` as the pipeline uses it: versions, fail-over, links, half-open lines, secrets."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

import pytest
import structlog

from gateway.config import BrokerConfig
from gateway.delivery import Verdict
from gateway.link import Link
from gateway.mqtt.connect import open_sink
from tests.support import brokers
from tests.support.addresses import black_hole, resolve_to
from tests.support.mqtt_fake import fake_broker
from tests.support.mqtt_sessions import message, open_sockets, reason_of
from tests.support.ports import free_port
from tests.support.proxy import open_proxy


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


def config(url: str, **more: object) -> BrokerConfig:
    return BrokerConfig.model_validate({"url": url, "ack_timeout": 30, "connect_timeout": 30, **more})


def link() -> Link:
    return Link("broker", "mqtt://somewhere")


def test_version_5_is_tried_first() -> None:
    async def body() -> None:
        async with fake_broker() as broker, open_sink(config(broker.url), link(), "edge") as sink:
            assert sink.version == "5"
            assert broker.connects[0].client_id == "edge"
            assert broker.connects[0].clean_start

    run(body())


def test_a_broker_with_needs_of_format_3_only_is_used_and_the_consequence_logged_once(tmp_path: Path) -> None:
    async def body() -> None:
        one = link()
        for _ in range(2):
            async with open_sink(config(broker.url), one, "edge") as sink:
                one.up()
                assert sink.version == "3.1.1"
                assert (await sink.send(message())).verdict is Verdict.DELIVERED

    with brokers.aedes(tmp_path) as broker, structlog.testing.capture_logs() as logs:
        run(body())
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert len(warnings) == 1
    assert "cannot report refusals" in warnings[0]["what"]


def test_a_pinned_version_is_not_changed(tmp_path: Path) -> None:
    async def body() -> None:
        entering = open_sink(config(broker.url, version="5"), link(), "edge").__aenter__()
        assert "version of MQTT" in await reason_of(entering)

    with brokers.nats(tmp_path) as broker:
        run(body())


def test_a_sink_is_open_only_after_the_connack() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            one = link()
            broker.connack = None
            assert broker.url in await reason_of(
                open_sink(config(broker.url, connect_timeout=0.2), one, "edge").__aenter__()
            )
            broker.connack = b"\x20\x03\x00\x00\x00"
            async with open_sink(config(broker.url), one, "edge"):
                assert len(broker.connects) == 2

    run(body())


def test_the_next_address_is_tried_when_the_first_refuses_the_connection() -> None:
    async def body() -> None:
        dead = f"mqtt://127.0.0.1:{free_port()}"
        async with (
            fake_broker() as broker,
            open_sink(config(dead, fallback=[broker.url]), link(), "edge") as sink,
        ):
            assert sink.address == broker.url
        text = await reason_of(open_sink(config(dead, fallback=[broker.url]), link(), "edge").__aenter__())
        assert f"{dead} refuses the connection" in text
        assert f"{broker.url} refuses the connection" in text

    run(body())


def test_a_name_that_does_not_resolve_is_reported() -> None:
    async def body() -> None:
        text = await reason_of(open_sink(config("mqtt://no-such-host.invalid"), link(), "edge").__aenter__())
        assert "no-such-host.invalid does not resolve" in text

    run(body())


def test_a_slow_connection_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            open_proxy(broker.port) as proxy,
            open_sink(config(f"mqtt://127.0.0.1:{proxy.port}"), link(), "edge") as sink,
        ):
            proxy.slow(20_000.0)
            futures = [sink.send(message(payload=bytes(200))) for _ in range(10)]
            assert {(await future).verdict for future in futures} == {Verdict.DELIVERED}

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


def test_a_password_is_read_at_every_attempt_and_a_missing_one_is_retried(tmp_path: Path) -> None:
    async def body() -> None:
        secret = tmp_path / "password"
        async with fake_broker() as broker:
            settings = config(broker.url, username="u", password={"file": str(secret)})
            text = await reason_of(open_sink(settings, link(), "edge").__aenter__())
            assert str(secret) in text
            for password in ("first", "second"):
                secret.write_text(password + "\n")
                secret.chmod(0o600)
                async with open_sink(settings, link(), "edge"):
                    assert broker.connects[-1].password == password.encode()

    run(body())


def test_a_broker_that_offers_only_qos_0_gets_no_data() -> None:
    async def body() -> None:
        before = open_sockets()
        async with fake_broker() as broker:
            broker.connack = b"\x20\x05\x00\x00\x02\x24\x00"
            text = await reason_of(open_sink(config(broker.url), link(), "edge").__aenter__())
            assert "QoS 0 only" in text
            await broker.ended.wait()
        await asyncio.sleep(0)
        assert open_sockets() <= before

    run(body())


def test_max_packet_applies_if_the_broker_announces_no_maximum() -> None:
    async def body() -> None:
        async with (
            fake_broker() as broker,
            open_sink(config(broker.url, max_packet="500B"), link(), "edge") as sink,
        ):
            outcome = await sink.send(message(payload=bytes(500)))
            assert (outcome.verdict, outcome.reason) == (Verdict.NEVER, "too_large")
            assert broker.publishes == []

    run(body())


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_first_address_that_does_not_answer_does_not_prevent_the_second(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As IPv6 of a host that only IPv4 reaches."""

    async def body() -> None:
        with black_hole() as hole:
            resolve_to(monkeypatch, "broker.example", hole, hole, broker.port)
            async with open_sink(config("mqtt://broker.example", version=version), link(), "edge") as sink:
                assert (await sink.send(message())).verdict is Verdict.DELIVERED

    with brokers.mosquitto(tmp_path) as broker:
        run(body())
