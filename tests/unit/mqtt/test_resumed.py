"""A session is asked for again where nothing hangs on it, so that a broker can say that it kept what it had."""

import asyncio

import mqtt5

from gateway.config import BrokerConfig
from gateway.link import Link
from gateway.mqtt import open_sink
from tests.support.mqtt_fake import fake_broker


def test_a_session_is_resumed_unless_it_is_the_first_or_follows_a_subscription() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            config, link = BrokerConfig(url=broker.url), Link("b", broker.url)
            forgotten = []
            for subscribes in (False, False, True, False):
                broker.connack = mqtt5.ConnAckPacket(session_present=bool(broker.connects)).write()
                async with open_sink(config, link, "g") as sink:
                    forgotten.append(sink.has_forgotten)
                    if subscribes:
                        arriving = asyncio.ensure_future(anext(sink.arrivals("commands/#")))
                        await broker.wait_subscribed()
                        arriving.cancel()
            assert [connect.clean_start for connect in broker.connects] == [True, False, False, True]
            assert all(connect.session_expiry_interval for connect in broker.connects)
            assert forgotten == [True, False, False, False]

    asyncio.run(asyncio.wait_for(body(), 60))
