"""What a broker must not send to a client that never asked: bounded in what it costs, and it ends the session."""

import asyncio
from collections.abc import Coroutine

import pytest

from gateway.delivery.inflight import MOST_STRAYS
from gateway.mqtt.packets import MOST_INCOMING_BYTES
from tests.support.mqtt_fake import fake_broker, puback, suback
from tests.support.mqtt_sessions import SPEAKS_5, Session, message, opened, reason_of

both = pytest.mark.parametrize("session", SPEAKS_5)

AT_ONCE = {
    "publish with qos 0": b"\x30\x04\x00\x01a\x00",
    "publish with qos 1": b"\x32\x06\x00\x01a\x00\x01\x00",
    "publish with qos 2": b"\x34\x06\x00\x01a\x00\x01\x00",
    "suback": suback(1, 0),
    "unsuback": b"\xb0\x04\x00\x01\x00\x00",
    "pubrec": b"\x50\x02\x00\x01",
    "pubrel": b"\x62\x02\x00\x01",
    "pubcomp": b"\x70\x02\x00\x01",
    "connect": b"\x10\x02\x00\x01",
    "connack": b"\x20\x03\x00\x00\x00",
    "subscribe": b"\x82\x06\x00\x01\x00\x01a\x00",
    "unsubscribe": b"\xa2\x06\x00\x01\x00\x00\x01a",
    "pingreq": b"\xc0\x00",
    "auth": b"\xf0\x02\x18\x00",
    "type 0": b"\x00\x00",
    "a packet that is announced as 256 MB": b"\x30\xff\xff\xff\x7f",
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "a packet longer than we take": b"\x40" + (MOST_INCOMING_BYTES | 0).to_bytes(3, "little"),
}
REPEATS = {"pingresp": b"\xd0\x00", "puback": puback(60_000, 0), "puback with a reason": puback(60_000, 0x87, "no")}


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


@both
@pytest.mark.parametrize("what", AT_ONCE)
def test_an_uninvited_packet_ends_the_session_at_once(session: Session, what: str) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            broker.say(AT_ONCE[what])
            assert await reason_of(sink.wait_closed())
            await broker.ended.wait()

    run(body())


@both
@pytest.mark.parametrize("what", REPEATS)
def test_few_answers_without_a_request_are_tolerated_and_many_end_the_session(session: Session, what: str) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            broker.say(REPEATS[what] * MOST_STRAYS)
            assert (await sink.send(message())).reason == "delivered", "repeats are no harm"
            broker.say(REPEATS[what] * 100_000)
            assert "to nothing" in await reason_of(sink.wait_closed())
            await broker.ended.wait()

    run(body())
