"""What is decided before anything is sent: sizes to the byte, topics no broker may accept."""

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Message
from gateway.mqtt.limits import BrokerLimits, is_text, packet_bytes, refusal, topic_problem

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)


def message(topic: str = "a/b", payload: bytes = b"", **more: object) -> Message:
    return Message(topic, payload, "s", 1, 1, **more)  # type: ignore[arg-type]  # tests name the fields they mean


@given(
    topic=TEXT.filter(lambda t: topic_problem(t) == ""),
    length=st.integers(0, 20_000),
    content_type=st.sampled_from(["", "application/json", "text/plain; charset=utf-8"]),
    properties=st.lists(st.tuples(TEXT, TEXT), max_size=4),
    expiry_s=st.sampled_from([0, 1, 2**32 - 1]),
)
def test_the_size_is_that_of_an_independent_encoder(
    topic: str, length: int, content_type: str, properties: list[tuple[str, str]], expiry_s: int
) -> None:
    made = message(topic, bytes(length), content_type=content_type, properties=tuple(properties), expiry_s=expiry_s)
    packet = mqtt5.PublishPacket(
        topic,
        bytes(length),
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        packet_id=1,
        payload_format_indicator=int(bool(content_type) and "content-encoding" not in dict(properties)),
        message_expiry_interval=expiry_s or None,
        content_type=content_type or None,
        user_properties=properties,
    )
    assert packet_bytes(made) == len(packet.write())


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "a\0b", "x" * 65_536, "\ud800"])
def test_a_topic_no_broker_may_accept_is_refused_before_sending(topic: str) -> None:
    outcome = refusal(message(topic), BrokerLimits(), "5")
    assert outcome is not None
    assert outcome.reason == "topic_invalid"
    assert outcome.code is None


def test_a_packet_of_the_very_maximum_is_sent_and_one_byte_more_is_not() -> None:
    exact = message(payload=bytes(1000))
    limits = BrokerLimits(maximum_packet_bytes=packet_bytes(exact))
    assert refusal(exact, limits, "5") is None
    larger = refusal(message(payload=bytes(1001)), limits, "5")
    assert larger is not None
    assert larger.reason == "too_large"


@pytest.mark.parametrize("maximum", [60, 127, 128, 200, 16_383, 16_400, 2_097_200])
def test_a_payload_split_to_the_available_size_fits(maximum: int) -> None:
    limits = BrokerLimits(maximum_packet_bytes=maximum)
    room = limits.payload_bytes(message(payload=bytes(10)))
    assert refusal(message(payload=bytes(room)), limits, "5") is None
    assert refusal(message(payload=bytes(room + 5)), limits, "5") is not None


@pytest.mark.parametrize(
    ("content_type", "properties", "text"),
    [
        ("application/json", (), True),
        ("application/cloudevents+json; charset=utf-8", (("id", "1"),), True),
        ("application/json", (("content-encoding", "gzip"),), False),
        ("application/msgpack", (), False),
        ("", (), False),
    ],
)
def test_only_valid_utf_8_is_marked_as_text(
    content_type: str, properties: tuple[tuple[str, str], ...], text: bool
) -> None:
    assert is_text(message(content_type=content_type, properties=properties)) == text
