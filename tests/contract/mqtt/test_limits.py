"""What a real broker says in its CONNACK is respected from the first message on."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.config import BrokerConfig
from gateway.delivery import Verdict
from gateway.link import Link
from gateway.mqtt.connect import open_sink
from gateway.payload.presence import presence_of
from tests.support import brokers
from tests.support.mqtt_collect import collecting
from tests.support.mqtt_sessions import SPEAKS_5, Session, message, opened, reason_of

Starting = Callable[[Path], AbstractContextManager[brokers.Process]]
speaks_5 = pytest.mark.parametrize("session", SPEAKS_5)


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


@pytest.mark.parametrize(
    ("starting", "aliases"), [(brokers.mosquitto, 10), (brokers.iotcore, 4096)], ids=["mosquitto", "rumqttd"]
)
@speaks_5
def test_with_aliases_every_message_reaches_its_own_topic(
    session: Session, starting: Starting, aliases: int, tmp_path: Path
) -> None:
    """mosquitto has fewer aliases than there are topics here, rumqttd more."""
    topics = [f"factory/machine-{n}/temperature" for n in range(25)]

    async def body() -> None:
        async with collecting(broker.port, version_5=True) as got:
            for _ in range(2):  # a new session must not count on the aliases of the last one
                async with opened(session, broker.url, window=20) as sink:
                    assert sink.limits.topic_alias_maximum == aliases
                    for round_ in range(4):
                        for topic in topics:
                            outcome = await sink.send(message(topic, f"{topic} {round_}".encode()))
                            assert outcome.verdict is Verdict.DELIVERED
            await got.wait_count(200)
            assert all(payload.startswith(f"{topic} ".encode()) for topic, payload in got.messages)

    with starting(tmp_path) as broker:
        run(body())


@speaks_5
def test_a_message_past_its_expiry_is_not_delivered_to_a_later_subscriber(session: Session, tmp_path: Path) -> None:
    async def kept() -> set[bytes]:
        async with collecting(broker.port) as got:
            async with opened("general", broker.url, client_id="other") as other:
                await other.send(message("now", b"now"))
            await got.wait_count(1)
            while b"now" not in got.payloads:
                await got.wait_count(len(got.payloads) + 1)
            return set(got.payloads) - {b"now"}

    async def body() -> None:
        async with opened(session, broker.url) as sink:
            await sink.send(message("kept", b"kept", retain=True))
            await sink.send(replace(message("short", b"short", retain=True), expiry_s=6))
        assert await kept() == {b"kept", b"short"}
        while await kept() != {b"kept"}:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.1)

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@pytest.mark.parametrize("most", [1, 0])
def test_a_broker_that_cannot_acknowledge_gets_no_data(most: int, tmp_path: Path) -> None:
    async def body() -> None:
        config = BrokerConfig.model_validate({"url": broker.url})
        presence = presence_of(config.presence, "edge", "1", lambda: "sha256:0")
        opening = open_sink(config, Link("broker", broker.url), "edge", presence)
        if most == 0:
            assert "does not support this QoS" in await reason_of(opening.__aenter__())
            return
        async with opening as sink:
            assert (await sink.send(message())).verdict is Verdict.DELIVERED

    with brokers.mosquitto(tmp_path, listener=f"max_qos {most}") as broker:
        run(body())


@pytest.mark.parametrize("version", ["5", "auto"])
def test_a_broker_without_retained_messages_gets_data_and_an_unretained_presence(version: str, tmp_path: Path) -> None:
    """It refuses the whole session over a last will that asks to be retained (MQTT 5, 3.2.2.3.5)."""

    async def body() -> None:
        link = Link("broker", broker.url)
        config = BrokerConfig.model_validate({"url": broker.url, "version": version})
        presence = presence_of(config.presence, "edge", "1", lambda: "sha256:0")
        async with collecting(broker.port) as got, open_sink(config, link, "edge", presence) as sink:
            assert sink.version == "5"
            assert (await sink.send(message(retain=True))).verdict is Verdict.DELIVERED
            await got.wait_count(2)
            assert [topic for topic, _ in got.messages] == ["gateways/edge/presence", "a/b"]

    with brokers.mosquitto(tmp_path, "retain_available false") as broker:
        run(body())
