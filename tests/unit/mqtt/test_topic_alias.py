"""Topic aliases of the lean session: used where the broker allows them, and never where it might not know them."""

import asyncio
from collections.abc import Coroutine

import mqtt5
import pytest

from gateway.delivery import Verdict
from gateway.mqtt.limits import packet_bytes
from tests.support.mqtt_fake import FakeBroker, fake_broker
from tests.support.mqtt_sessions import message, opened

TOPICS = [f"factory/hall-2/press/press-{n}/hydraulics/unit" for n in range(3)]


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


async def sent(
    broker: FakeBroker, most_aliases: int, rounds: int, topics: list[str] | None = None, wanted: int = 65_535
) -> None:
    """Every topic once a round, each publish after the PUBACK of the one before."""
    broker.connack = mqtt5.ConnAckPacket(topic_alias_max=most_aliases).write()
    async with opened("lean", broker.url, topic_aliases=wanted) as sink:
        for _ in range(rounds):
            for topic in topics or TOPICS:
                await sink.send(message(topic, bytes(100)))


def seen(broker: FakeBroker) -> list[tuple[str, int | None]]:
    return [(publish.topic, publish.topic_alias) for publish in broker.publishes]


def test_the_first_topics_get_an_alias_and_use_it() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            await sent(broker, most_aliases=2, rounds=2)
            first, second = seen(broker)[:3], seen(broker)[3:]
            assert first == [(TOPICS[0], 1), (TOPICS[1], 2), (TOPICS[2], None)]
            assert second == [("", 1), ("", 2), (TOPICS[2], None)]

    run(body())


def test_a_broker_that_allows_none_gets_none() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            await sent(broker, most_aliases=0, rounds=2)
            assert seen(broker) == [(topic, None) for topic in TOPICS * 2]

    run(body())


@pytest.mark.parametrize("wanted", [0, 1])
def test_no_more_are_used_than_are_wanted(wanted: int) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            await sent(broker, most_aliases=10, rounds=2, wanted=wanted)
            assert {alias for _, alias in seen(broker)} == {None, *range(1, wanted + 1)}

    run(body())


def test_a_new_session_begins_with_whole_topics() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            await sent(broker, most_aliases=1, rounds=2, topics=TOPICS[:1])
            await sent(broker, most_aliases=1, rounds=2, topics=TOPICS[:1])
            assert seen(broker) == [(TOPICS[0], 1), ("", 1)] * 2

    run(body())


def test_an_alias_is_not_used_before_the_broker_took_the_publish_that_sets_it() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.connack = mqtt5.ConnAckPacket(topic_alias_max=5).write()
            broker.verdict = lambda publish: None
            async with opened("lean", broker.url) as sink:
                for _ in range(3):
                    sink.send(message(TOPICS[0]))
                await broker.wait_publishes(3)
            assert seen(broker) == [(TOPICS[0], 1), (TOPICS[0], None), (TOPICS[0], None)]

    run(body())


def test_a_refused_publish_sets_no_alias() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.verdict = lambda publish: 0x87
            await sent(broker, most_aliases=5, rounds=2, topics=TOPICS[:1])
            assert seen(broker) == [(TOPICS[0], 1), (TOPICS[0], None)]

    run(body())


def test_a_packet_that_just_fits_goes_without() -> None:
    async def body() -> None:
        exact = message(TOPICS[0], bytes(100))
        async with fake_broker() as broker:
            broker.connack = mqtt5.ConnAckPacket(topic_alias_max=5, max_packet_size=packet_bytes(exact)).write()
            async with opened("lean", broker.url) as sink:
                assert (await sink.send(exact)).verdict is Verdict.DELIVERED
            assert seen(broker) == [(TOPICS[0], None)]

    run(body())


def test_a_topic_that_is_shorter_than_an_alias_gets_none() -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            await sent(broker, most_aliases=5, rounds=2, topics=["a/b"])
            assert seen(broker) == [("a/b", None)] * 2

    run(body())


def test_small_messages_become_a_quarter_smaller() -> None:
    """100 bytes of payload on a topic of 44: measured 180 bytes a message with the whole topic, 140 with an alias."""

    async def bytes_with(most_aliases: int) -> int:
        async with fake_broker() as broker:
            await sent(broker, most_aliases, rounds=100)
            return broker.received_bytes

    async def body() -> None:
        assert await bytes_with(10) < 0.8 * await bytes_with(0)

    run(body())
