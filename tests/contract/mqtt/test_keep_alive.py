"""Keep-alive of both sessions: these take the seconds that MQTT counts in."""

import asyncio
from collections.abc import Coroutine

import mqtt5
import pytest

from tests.support.mqtt_fake import fake_broker
from tests.support.mqtt_sessions import SPEAKS_5, Session, opened, reason_of

both = pytest.mark.parametrize("session", SPEAKS_5)


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 240))


@both
def test_a_silent_broker_is_noticed_within_the_keep_alive(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.answers_pings = False
            async with opened(session, broker.url, keep_alive_s=1) as sink:
                assert "silent" in await reason_of(sink.wait_closed())
            assert broker.pings > 0

    run(body())


@both
def test_the_keep_alive_of_the_server_is_used(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.connack = mqtt5.ConnAckPacket(server_keep_alive=1).write()
            async with opened(session, broker.url, keep_alive_s=600) as sink:
                while not broker.pings:
                    broker.heard.clear()
                    await broker.heard.wait()
                assert sink.limits.server_keep_alive_s == 1

    run(body())
