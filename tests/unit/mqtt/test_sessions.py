"""The contract of a session, held by both, against a broker that says what a test wants it to say."""

import asyncio
from collections.abc import Coroutine

import mqtt5
import pytest
from msgspec.structs import replace

from gateway.delivery import Verdict
from gateway.mqtt.sink import VersionRefusedError
from tests.support.mqtt_fake import fake_broker, puback
from tests.support.mqtt_sessions import SPEAKS_5, Session, message, open_sockets, opened, reason_of

both = pytest.mark.parametrize("session", SPEAKS_5)


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


@both
@pytest.mark.parametrize(
    ("code", "verdict", "reason"),
    [
        (0x00, Verdict.DELIVERED, "delivered"),
        (0x10, Verdict.DELIVERED, "no_subscribers"),
        (0x80, Verdict.LATER, "unspecified"),
        (0x87, Verdict.LATER, "not_authorized"),
        (0x97, Verdict.LATER, "quota_exceeded"),
        (0x90, Verdict.NEVER, "topic_invalid"),
        (0x99, Verdict.NEVER, "payload_invalid"),
        (0x95, Verdict.NEVER, "too_large"),  # not in the specification, and sent by mosquitto
    ],
)
def test_the_reason_code_of_the_puback_decides(session: Session, code: int, verdict: Verdict, reason: str) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            broker.verdict = lambda publish: code
            outcome = await sink.send(message())
            assert (outcome.verdict, outcome.reason, outcome.code) == (verdict, reason, code)
            broker.verdict = lambda publish: 0
            assert (await sink.send(message())).reason == "delivered", "the session goes on after a refusal"

    run(body())


@both
def test_a_refusal_has_the_brokers_reason_string(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            broker.verdict = lambda publish: None
            future = sink.send(message())
            await broker.wait_publishes(1)
            broker.say(puback(broker.publishes[0].packet_id or 0, 0x97, "10 MB a day are used up"))
            assert "10 MB a day are used up" in (await future).detail

    run(body())


@both
def test_every_property_of_a_message_arrives(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            await sink.send(replace(message("x/ü", b"payload", retain=True), expiry_s=7))
            got = broker.publishes[0]
            assert (got.topic, got.payload, got.retain, got.qos) == ("x/ü", b"payload", True, 1)
            assert (got.content_type, got.user_properties) == ("application/json", [("k", "v")])
            assert (got.payload_format_indicator, got.message_expiry_interval) == (1, 7)


@both
def test_without_expiry_and_text_the_packet_omits_them(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            await sink.send(replace(message(), content_type="application/msgpack"))
            got = broker.publishes[0]
            assert (got.payload_format_indicator, got.message_expiry_interval) == (0, None)

    run(body())


@both
def test_pubacks_in_any_order_reach_their_own_publish(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            broker.verdict = lambda publish: None
            futures = [sink.send(message(seq=n)) for n in range(5)]
            await broker.wait_publishes(5)
            codes = [0x00, 0x87, 0x00, 0x99, 0x10]
            answers = [puback(p.packet_id or 0, code) for p, code in zip(broker.publishes, codes, strict=True)]
            broker.say(b"".join(reversed(answers)))
            assert [(await future).code for future in futures] == codes

    run(body())


@both
def test_a_repeated_puback_changes_nothing(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            assert (await sink.send(message())).code == 0
            broker.say(puback(broker.publishes[0].packet_id or 0, 0x87))
            assert (await sink.send(message())).code == 0

    run(body())


@both
def test_receive_maximum_bounds_the_window(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.connack = mqtt5.ConnAckPacket(receive_max=2).write()
            broker.verdict = lambda publish: None
            async with opened(session, broker.url) as sink:
                assert sink.window == 2
                futures = [sink.send(message()), sink.send(message())]
                with pytest.raises(RuntimeError):
                    sink.send(message())
                assert not any(future.done() for future in futures)

    run(body())


@both
def test_a_message_larger_than_the_broker_accepts_is_never_sent(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.connack = mqtt5.ConnAckPacket(max_packet_size=200).write()
            async with opened(session, broker.url) as sink:
                outcome = await sink.send(message(payload=bytes(200)))
                assert (outcome.verdict, outcome.reason, outcome.code) == (Verdict.NEVER, "too_large", None)
                await sink.send(message())
                assert len(broker.publishes) == 1
                assert sink.limits.maximum_packet_bytes == 200

    run(body())


@both
def test_a_broker_without_retained_messages_is_not_asked_for_one(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.connack = mqtt5.ConnAckPacket(retain_available=False).write()
            async with opened(session, broker.url) as sink:
                await sink.send(message(retain=True))
                assert not broker.publishes[0].retain

    run(body())


@both
def test_a_message_never_acknowledged_breaks_the_session(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url, ack_timeout_s=0.1) as sink:
            broker.verdict = lambda publish: None
            future = sink.send(message())
            assert "has not acknowledged a publish for 0.1 s" in await reason_of(future)
            assert "has not acknowledged" in await reason_of(sink.wait_closed())
            assert "has not acknowledged" in await reason_of(sink.send(message()))

    run(body())


@both
def test_acknowledgements_of_later_ones_do_not_keep_a_forgotten_one_open(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url, ack_timeout_s=0.2) as sink:
            broker.verdict = lambda publish: None if publish.topic == "forgotten" else 0
            future = sink.send(message("forgotten"))
            while not future.done():
                await asyncio.wait([sink.send(message())])
            assert "has not acknowledged" in await reason_of(future)

    run(body())


@pytest.mark.slow
@both
def test_slow_acknowledgements_do_not_break_the_session(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url, ack_timeout_s=1.0) as sink:
            for _ in range(3):  # the oldest open publish counts, not the first of the session
                broker.verdict = lambda publish: None
                broker.publishes.clear()
                future = sink.send(message())
                await broker.wait_publishes(1)
                asyncio.get_running_loop().call_later(0.4, broker.say, puback(broker.publishes[0].packet_id or 0, 0))
                assert (await future).code == 0

    run(body())


@both
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER, "took the session over"),
        (mqtt5.DisconnectReasonCode.SERVER_SHUTTING_DOWN, "shutting down"),
        (mqtt5.DisconnectReasonCode.KEEP_ALIVE_TIMEOUT, "keep-alive"),
        (mqtt5.DisconnectReasonCode.QUOTA_EXCEEDED, "quota"),
        (mqtt5.DisconnectReasonCode.ADMINISTRATIVE_ACTION, "administrator"),
    ],
)
def test_the_reason_of_a_disconnect_is_reported(session: Session, code: mqtt5.DisconnectReasonCode, words: str) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            broker.verdict = lambda publish: None
            future = sink.send(message())
            await broker.wait_publishes(1)
            broker.disconnect(code, "and in its own words")
            for text in (await reason_of(future), await reason_of(sink.wait_closed())):
                assert words in text
                assert "and in its own words" in text
                assert broker.url in text

    run(body())


@both
def test_a_cut_connection_fails_every_open_publish(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            broker.verdict = lambda publish: None
            futures = [sink.send(message()) for _ in range(10)]
            await broker.wait_publishes(10)
            broker.cut()
            for future in futures:
                assert "cut the connection" in await reason_of(future)

    run(body())


@both
def test_a_refused_session_says_why(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            code = mqtt5.ConnAckReasonCode.NOT_AUTHORIZED
            broker.connack = mqtt5.ConnAckPacket(reason_code=code, reason_str="key 7 is revoked").write()
            text = await reason_of(opened(session, broker.url).__aenter__())
            assert "refuses the session: this client is not authorized (0x87): key 7 is revoked" in text

    run(body())


@both
@pytest.mark.parametrize(
    "connack",
    [
        mqtt5.ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION).write(),
        bytes([0x20, 2, 0, 1]),  # what a broker that only knows 3.1.1 answers
    ],
)
def test_a_broker_that_does_not_speak_5_is_recognised(session: Session, connack: bytes) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            broker.connack = connack
            with pytest.raises(VersionRefusedError):
                await opened(session, broker.url).__aenter__()

    run(body())


@both
def test_a_broker_that_never_answers_is_given_up(session: Session) -> None:
    async def body() -> None:
        before = open_sockets()
        async with fake_broker() as broker:
            broker.connack = None
            text = await reason_of(opened(session, broker.url, within_s=0.2).__aenter__())
            assert text == f"{broker.url} gave no answer within 0.2 s"
            await broker.ended.wait()
        await settled()
        assert open_sockets() <= before

    run(body())


@both
def test_cancelled_while_it_connects_nothing_is_left(session: Session) -> None:
    async def body() -> None:
        before = open_sockets()
        async with fake_broker() as broker:
            broker.connack = None
            entering = asyncio.ensure_future(opened(session, broker.url).__aenter__())
            await broker.heard.wait()
            entering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await entering
            await broker.ended.wait()
        await settled()
        assert open_sockets() <= before

    run(body())


@both
def test_leaving_sends_a_disconnect_and_leaves_no_socket(session: Session) -> None:
    async def body() -> None:
        before = open_sockets()
        async with fake_broker() as broker:
            broker.verdict = lambda publish: None
            async with opened(session, broker.url) as sink:
                future = sink.send(message())
                await broker.wait_publishes(1)
            assert "was closed" in await reason_of(future)
            await broker.ended.wait()
            assert [packet.reason_code for packet in broker.goodbyes] == [0]
        await settled()
        assert open_sockets() <= before

    run(body())


@both
def test_a_broken_session_sends_no_disconnect_so_that_the_last_will_is_published(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            async with opened(session, broker.url, ack_timeout_s=0.1) as sink:
                broker.verdict = lambda publish: None
                await reason_of(sink.send(message()))
            await broker.ended.wait()
            assert broker.goodbyes == []

    run(body())


@both
def test_the_last_will_is_announced(session: Session) -> None:
    async def body() -> None:
        async with fake_broker() as broker:
            async with opened(session, broker.url, will=message("gone", b"offline", retain=True)):
                pass
            will = broker.connects[0].will
            assert will is not None
            assert (will.topic, will.payload, will.retain, will.qos) == ("gone", b"offline", True, 1)
            assert (will.content_type, will.user_properties) == ("application/json", [("k", "v")])
            assert will.payload_format_indicator == 1

    run(body())


@both
@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x40\xff\xff\xff\xff\xff", b"\x00" * 40])
def test_malformed_packets_are_unavailable_and_not_a_bug(session: Session, nonsense: bytes) -> None:
    async def body() -> None:
        async with fake_broker() as broker, opened(session, broker.url) as sink:
            broker.say(nonsense)
            broker.cut()
            assert broker.url in await reason_of(sink.wait_closed())

    run(body())


async def settled() -> None:
    """Give closed transports the turns of the loop that they need to close their sockets."""
    for _ in range(5):
        await asyncio.sleep(0)
