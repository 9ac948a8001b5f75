"""What arrives on a session, against a broker that says what a test wants it to say."""

import asyncio
from collections.abc import Coroutine

import mqtt5
import pytest

from gateway.delivery import Packet
from gateway.errors import Rejected, Unavailable
from gateway.mqtt.inbound import MOST_BYTES, WINDOW
from gateway.mqtt.packets import MOST_INCOMING_BYTES
from tests.support.mqtt_fake import fake_broker
from tests.support.mqtt_sessions import SPEAKS_5, Session, message, opened, reason_of

both = pytest.mark.parametrize("session", SPEAKS_5)


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


@both
def test_an_inbound_message_is_complete(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            arriving = sink.arrivals("commands/#", "others/+")
            broker.subacks = [1, 0]
            first = asyncio.ensure_future(anext(arriving))
            await broker.wait_subscribed()
            assert broker.subscribed == ["commands/#", "others/+"]
            packet = mqtt5.PublishPacket(
                "commands/ä", b"\xff", qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=7, retain=True, content_type="x/y",
                response_topic="answers/1", correlation_data=b"\x00\x01", user_properties=[("k", "v")],
                message_expiry_interval=60, payload_format_indicator=0,
            )  # fmt: skip
            broker.say(packet.write())
            assert await first == Packet(
                "commands/ä", b"\xff", "x/y", {"k": "v"}, True, "answers/1", b"\x00\x01", 60, missed_before=0
            )
            await arriving.aclose()

    run(body())


@both
def test_the_puback_is_withheld_until_the_reader_asks_for_the_next(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            arriving = sink.arrivals("commands/#")
            first = asyncio.ensure_future(anext(arriving))
            await broker.wait_subscribed()
            for packet_id in range(1, WINDOW + 1):
                broker.publish("commands/x", b"%d" % packet_id, packet_id)
            await first
            await sink.send(message())  # what had to be said before it has been said
            assert broker.pubacks == []
            for packet_id in range(1, WINDOW):
                await anext(arriving)
                await broker.wait_pubacks(packet_id)
                assert broker.pubacks == list(range(1, packet_id + 1))
            await arriving.aclose()

    run(body())


@both
def test_what_has_arrived_together_is_taken_and_acknowledged_together(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            arriving = sink.arrivals("commands/#")
            first = asyncio.ensure_future(anext(arriving))
            await broker.wait_subscribed()
            for packet_id in range(1, 5):
                broker.publish("commands/x", b"%d" % packet_id, packet_id)
            await first
            await sink.send(message())
            assert [packet.payload for packet in sink.arrived()] == [b"2", b"3", b"4"]
            assert list(sink.arrived()) == []
            await sink.send(message())
            assert broker.pubacks == []
            following = asyncio.ensure_future(anext(arriving))
            await broker.wait_pubacks(4)
            assert broker.pubacks == [1, 2, 3, 4]
            broker.publish("commands/x", b"5", 1)
            assert (await following).payload == b"5"
            await arriving.aclose()

    run(body())


@both
def test_the_broker_is_told_how_much_it_may_send(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url):
            assert broker.connects[0].receive_max == WINDOW
            assert broker.connects[0].max_packet_size == MOST_INCOMING_BYTES

    run(body())


@both
def test_qos_0_messages_without_room_are_counted(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            arriving = sink.arrivals("commands/#")
            first = asyncio.ensure_future(anext(arriving))
            await broker.wait_subscribed()
            for n in range(WINDOW + 11):
                broker.publish("commands/x", b"%d" % n)
            await first
            await sink.send(message())
            broker.publish("commands/x", b"acknowledged", 1)
            got = [await anext(arriving)]
            while got[-1].payload != b"acknowledged":
                got.append(await anext(arriving))
            assert sum(packet.missed_before for packet in got) == WINDOW + 11 - len(got)
            assert len(got) <= WINDOW + 1
            await arriving.aclose()

    run(body())


@both
def test_a_refused_subscription_does_not_end_the_session(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            broker.subacks = [0x87]
            with pytest.raises(Rejected, match="commands/#") as refused:
                await anext(sink.arrivals("commands/#"))
            assert refused.value.reason == "subscription_refused"
            assert (await sink.send(message())).reason == "delivered"

    run(body())


@both
def test_a_subscription_that_is_never_answered_ends_the_session(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url, ack_timeout_s=0.1) as sink:
            broker.subacks = None
            with pytest.raises(Unavailable, match="has not answered a subscription"):
                await anext(sink.arrivals("commands/#"))
            assert "has not answered" in await reason_of(sink.wait_closed())

    run(body())


@both
def test_a_broker_that_exceeds_the_receive_maximum_ends_the_session(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            waiting = asyncio.ensure_future(anext(sink.arrivals("commands/#")))
            await broker.wait_subscribed()
            payload = bytes(MOST_INCOMING_BYTES // 2)
            for packet_id in range(1, 2 + 2 * MOST_BYTES // MOST_INCOMING_BYTES):
                broker.publish("commands/x", payload, packet_id)
            assert "more than fits" in await reason_of(sink.wait_closed())
            await asyncio.wait([waiting])

    run(body())


@both
def test_a_message_read_when_the_session_breaks_is_not_acknowledged(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            arriving = sink.arrivals("commands/#")
            first = asyncio.ensure_future(anext(arriving))
            await broker.wait_subscribed()
            broker.publish("commands/x", b"1", 1)
            broker.publish("commands/x", b"2", 2)
            await first
            broker.abort()
            await reason_of(sink.wait_closed())
            with pytest.raises(Unavailable):
                await anext(arriving)
            assert broker.pubacks == []

    run(body())
