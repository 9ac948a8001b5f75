"""Presence at a real broker: who subscribes later still learns whether the gateway is there."""

import asyncio
import json
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config import BrokerConfig, PresenceConfig
from gateway.delivery import Verdict
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.model import Message
from gateway.mqtt.connect import open_sink
from gateway.mqtt.sink import Sink
from gateway.payload.presence import presence_of
from tests.support import brokers
from tests.support.mqtt_collect import collecting
from tests.support.mqtt_sessions import message, reason_of

TOPIC = "gateways/edge/presence"
versions = pytest.mark.parametrize("version", ["5", "3.1.1"])


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


def opening(broker: brokers.Process, version: str, heartbeat: float = 30.0) -> AbstractAsyncContextManager[Sink]:
    settings = {"url": broker.url, "version": version, "ack_timeout": 1.5, "presence": {"heartbeat": heartbeat}}
    config = BrokerConfig.model_validate(settings)
    presence = presence_of(config.presence, "edge", "1.2.3", lambda: "sha256:abc", lambda: ["edge.line-1"])
    return open_sink(config, Link("broker", broker.url), "edge", presence)


async def retained(broker: brokers.Process) -> dict[str, object]:
    """What a consumer learns that comes only now."""
    async with collecting(broker.port, TOPIC) as got:
        await got.wait_count(1)
        found: dict[str, object] = json.loads(got.payloads[0])
        return found


@versions
def test_presence_is_online_while_connected_and_offline_after_leaving(version: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with opening(broker, version) as sink:
            await sink.send(message())  # what was told before has arrived when this is acknowledged
            online = await retained(broker)
            assert (online["state"], online["version"], online["config"]) == ("online", "1.2.3", "sha256:abc")
            assert online["streams"] == ["edge.line-1"]
        gone = await retained(broker)
        assert (gone["state"], gone["reason"], gone["since"]) == ("offline", "stopped", online["since"])

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@versions
def test_a_gateway_that_loses_its_connection_is_reported_lost_by_the_broker(version: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with collecting(broker.port, TOPIC) as got:
            async with opening(broker, version) as sink:
                await sink.send(message())
                broker.stall()
                await reason_of(sink.send(message()))
            broker.go_on()
            await got.wait_count(2)
            assert [json.loads(payload)["state"] for payload in got.payloads] == ["online", "offline"]
        assert (await retained(broker))["reason"] == "lost"

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@versions
def test_the_heartbeat_publishes_presence_again(version: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with collecting(broker.port, TOPIC) as got, opening(broker, version, heartbeat=0.05):
            await got.wait_count(4)
            assert {json.loads(payload)["state"] for payload in got.payloads} == {"online"}

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_broker_that_disconnects_because_of_presence_still_gets_the_data(version: str, tmp_path: Path) -> None:
    """mosquitto 2.0.11 cuts the connection over a publish that the access list forbids."""
    access_list = tmp_path / "acl"
    access_list.write_text("topic write a/#\n")
    access_list.chmod(0o600)

    async def body() -> None:
        link = Link("broker", broker.url)
        config = BrokerConfig.model_validate({"url": broker.url, "version": version})
        presence = presence_of(config.presence, "edge", "1.2.3", lambda: "sha256:abc")
        delivered = 0
        while delivered < 10:
            with suppress(Unavailable):
                async with open_sink(config, link, "edge", presence) as sink:
                    link.up()
                    for _ in range(10):
                        delivered += (await sink.send(message())).verdict is Verdict.DELIVERED
            link.down("between two sessions")
            assert link.connects < 5

    with brokers.mosquitto(tmp_path, f"acl_file {access_list}") as broker:
        run(body())


class OnlyAState:
    """The presence of a format that has a status message of its own, told when it changes and never renewed."""

    heartbeat_s = None
    is_will_alone = False
    news = None

    def birth(self, since: datetime) -> Message:
        return message("opcua/json/status/edge", b"up", retain=True)

    def goodbye(self, since: datetime) -> Message:
        return message("opcua/json/status/edge", b"down", retain=True)

    def will(self, since: datetime) -> Message:
        return message("opcua/json/status/edge", b"error", retain=True)


@pytest.mark.parametrize("ends_with", ["down", "error"])
@versions
def test_a_format_can_define_its_own_presence(version: str, ends_with: str, tmp_path: Path) -> None:
    async def body() -> None:
        config = BrokerConfig.model_validate({"url": broker.url, "version": version, "ack_timeout": 1.5})
        async with collecting(broker.port, OnlyAState().birth(datetime.now(UTC)).topic) as got:
            async with open_sink(config, Link("broker", broker.url), "edge", OnlyAState()) as sink:
                if ends_with == "error":
                    broker.stall()
                    await reason_of(sink.send(message()))
            broker.go_on()
            await got.wait_count(2)
            assert got.payloads == [b"up", ends_with.encode()]

    with brokers.mosquitto(tmp_path) as broker:
        run(body())


def test_presence_can_be_turned_off() -> None:
    assert presence_of(PresenceConfig(topic=None), "edge", "1", lambda: "sha256:0") is None
