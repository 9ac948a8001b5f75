"""Presence on bad links and at brokers that do not want it: what is retained is true, and the data flows."""

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress

import mqtt5
import pytest

from gateway.config import BrokerConfig
from gateway.delivery import Verdict
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.mqtt import open_sink
from gateway.mqtt.disconnect_guard import BrokerHistory
from gateway.mqtt.presence import NOT_WANTED_S, PRESENCES_NOT_SURVIVED, PresenceHistory
from gateway.payload.health import Health
from gateway.payload.presence import presence_of
from tests.support.mqtt_fake import FakeBroker, fake_broker
from tests.support.mqtt_sessions import message, reason_of


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


class Gateway:
    """Opens one session after another with one broker, as a gateway does."""

    def __init__(self, broker: FakeBroker, held_after_s: float = 0.05) -> None:
        self.broker = broker
        self.config = BrokerConfig.model_validate({"url": broker.url, "version": "5"})
        self.presence = presence_of(self.config.presence, "edge", "1.2.3", lambda: "sha256:abc")
        assert self.presence is not None
        self.topic = self.presence.topic
        self.link = Link("broker", broker.url)
        self.history = PresenceHistory(held_after_s=held_after_s)
        self.link.memory = BrokerHistory(presence=self.history)

    def is_presence(self, publish: mqtt5.PublishPacket) -> bool:
        return publish.topic == self.topic

    @property
    def states(self) -> list[str]:
        told = [each for each in self.broker.publishes if self.is_presence(each)]
        return [json.loads(bytes(each.payload or b""))["state"] for each in told]

    async def wait_states(self, count: int) -> list[str]:
        while len(self.states) < count:
            self.broker.heard.clear()
            await self.broker.heard.wait()
        return self.states

    async def cut_over_presence(self, times: int) -> None:
        """So many sessions end in the moment of the presence."""
        self.broker.cuts_on = self.is_presence
        for _ in range(times):
            with suppress(Unavailable):
                async with open_sink(self.config, self.link, "edge", self.presence) as sink:
                    await reason_of(sink.wait_closed())
        self.broker.cuts_on = lambda publish: False


def test_after_quick_disconnects_data_is_sent_first_and_presence_when_the_session_is_stable() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            gateway = Gateway(broker)
            await gateway.cut_over_presence(PRESENCES_NOT_SURVIVED)
            before = len(gateway.states)
            async with open_sink(gateway.config, gateway.link, "edge", gateway.presence) as sink:
                assert len(gateway.states) == before
                assert (await sink.send(message())).verdict is Verdict.DELIVERED
                assert (await gateway.wait_states(before + 1))[-1] == "online"
            assert (await gateway.wait_states(before + 2))[-1] == "offline"

    run(body())


def test_after_a_session_that_survived_presence_the_next_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.mqtt.presence.SOON_S", 0.0)

    async def body() -> None:
        async with fake_broker() as broker:
            gateway = Gateway(broker)
            gateway.history.cuts = PRESENCES_NOT_SURVIVED
            async with open_sink(gateway.config, gateway.link, "edge", gateway.presence):
                assert broker.connects[-1].will is None
                await gateway.wait_states(1)
            async with open_sink(gateway.config, gateway.link, "edge", gateway.presence):
                assert gateway.states[-1] == "online"
                assert broker.connects[-1].will is not None

    run(body())


def test_news_are_told_soon_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.mqtt.presence.LOOK_S", 0.02)

    async def body() -> None:
        up, looks = 0, asyncio.Semaphore(0)

        def health() -> Health:
            looks.release()
            return Health((up, 2), (1, 1))

        async with fake_broker() as broker:
            gateway = Gateway(broker)
            settings = gateway.config.presence
            presence = gateway.presence = presence_of(settings, "edge", "1.2.3", lambda: "sha256:abc", health=health)
            async with open_sink(gateway.config, gateway.link, "edge", presence) as sink:
                for up in (1, 2):
                    await gateway.wait_states(1 + up)
                for _ in range(20):  # there is nothing new
                    await looks.acquire()
                await sink.send(message())
                told = [json.loads(bytes(p.payload or b"")) for p in broker.publishes if gateway.is_presence(p)]
                assert [each["health"]["sources"]["up"] for each in told] == [0, 1, 2]

    run(body())


def test_a_clean_stop_is_published_even_if_the_session_began_without_presence() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            gateway = Gateway(broker, held_after_s=60.0)
            await gateway.cut_over_presence(PRESENCES_NOT_SURVIVED)
            async with open_sink(gateway.config, gateway.link, "edge", gateway.presence) as sink:
                await sink.send(message())
            assert (await gateway.wait_states(PRESENCES_NOT_SURVIVED + 1))[-1] == "offline"

    run(body())


def test_a_broker_that_disconnects_a_stable_session_because_of_presence_gets_none() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            gateway = Gateway(broker)
            broker.cuts_on = gateway.is_presence
            for _ in range(PRESENCES_NOT_SURVIVED + 1):
                with suppress(Unavailable):
                    async with open_sink(gateway.config, gateway.link, "edge", gateway.presence) as sink:
                        await reason_of(sink.wait_closed())
            async with open_sink(gateway.config, gateway.link, "edge", gateway.presence) as sink:
                assert (await sink.send(message())).verdict is Verdict.DELIVERED
            assert gateway.states.count("online") == PRESENCES_NOT_SURVIVED + 1
            assert gateway.history.not_wanted_until_s > asyncio.get_running_loop().time() + NOT_WANTED_S / 2

    run(body())


def test_a_refused_presence_is_offered_again_in_the_same_session_when_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.mqtt.presence.NOT_WANTED_S", 0.2)

    async def body() -> None:
        async with fake_broker() as broker:
            gateway = Gateway(broker)
            broker.verdict = lambda publish: 0x87 if gateway.is_presence(publish) else 0
            async with open_sink(gateway.config, gateway.link, "edge", gateway.presence):
                assert gateway.states == ["online"]
                assert await gateway.wait_states(2) == ["online", "online"]

    run(body())
