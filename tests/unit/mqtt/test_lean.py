"""The lean session's reading of the wire, without a wire: any split of the bytes, any bytes at all."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import mqtt5
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mqtt.dial import parse
from gateway.mqtt.lean import LeanSink
from gateway.mqtt.sink import SessionSettings
from tests.support.mqtt_fake import puback
from tests.support.mqtt_sessions import Wire, message

TERMS = SessionSettings("tested", None, None, keep_alive_s=60, ack_timeout_s=60.0, window=1000)


def on_a_session(body: Callable[[LeanSink], None]) -> None:
    async def run() -> None:
        unused = socket.socket()
        unused.close()
        sink = LeanSink(unused, parse("mqtt://broker"), TERMS)
        sink.connection_made(Wire())
        sink.data_received(mqtt5.ConnAckPacket().write())
        try:
            body(sink)
        finally:
            sink.connection_lost(None)
            with contextlib.suppress(asyncio.InvalidStateError):
                sink.in_flight.break_off("the test is over")

    asyncio.run(run())


@settings(max_examples=50, deadline=None)
@given(
    codes=st.lists(st.sampled_from([0x00, 0x10, 0x80, 0x87, 0x95, 0x97, 0x99, 0xEE]), min_size=1, max_size=50),
    reasons=st.lists(st.sampled_from(["", "no", "x" * 200]), min_size=1),
    cuts=st.lists(st.integers(1, 7), min_size=1),
)
def test_verdicts_do_not_depend_on_how_tcp_splits_them(codes: list[int], reasons: list[str], cuts: list[int]) -> None:
    def body(sink: LeanSink) -> None:
        futures = [sink.send(message()) for _ in codes]
        answers = b"".join(puback(n, code, reasons[n % len(reasons)]) for n, code in enumerate(codes, 1))
        position = 0
        while position < len(answers):
            step = cuts[position % len(cuts)]
            sink.data_received(answers[position : position + step])
            position += step
        assert [future.result().code for future in futures] == codes

    on_a_session(body)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(puback, st.integers(0, 65535), st.integers(0, 255), st.sampled_from(["", "why"])),
            st.just(mqtt5.ConnAckPacket().write()),
            st.just(mqtt5.PingRespPacket().write()),
            st.just(mqtt5.DisconnectPacket().write()),
            st.just(mqtt5.PublishPacket("a", b"b").write()),
        ),
        max_size=10,
    )
)
def test_no_bytes_of_a_broker_raise_anything(chunks: list[bytes]) -> None:
    def body(sink: LeanSink) -> None:
        sink.send(message())
        for chunk in chunks:
            sink.data_received(chunk)

    on_a_session(body)


def test_packet_ids_wrap_and_skip_those_in_flight() -> None:
    def body(sink: LeanSink) -> None:
        first = sink.send(message())
        sink._last_id = 65_533  # as after very many publishes
        last = sink.send(message())
        sink.data_received(puback(65_534, 0))
        assert last.result().code == 0
        second = sink.send(message())  # 1 is still open: 2 is next
        sink.data_received(puback(2, 0x87))
        assert second.result().code == 0x87
        assert not first.done()

    on_a_session(body)


def test_a_packet_larger_than_announced_ends_the_session_before_it_is_kept() -> None:
    def body(sink: LeanSink) -> None:
        sink.data_received(bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F]))
        assert sink.in_flight.is_broken

    on_a_session(body)


def test_what_waits_for_the_end_of_the_turn_is_not_written_to_a_connection_that_was_cut() -> None:
    def body(sink: LeanSink) -> None:
        sink.send(message())
        assert sink._transport is not None
        sink._transport.abort()
        sink._flush()

    on_a_session(body)


def test_no_text_contains_the_password() -> None:
    assert "hunter2" not in f"{SessionSettings('c', 'u', 'hunter2', 1, 1.0, 1)!r}"
