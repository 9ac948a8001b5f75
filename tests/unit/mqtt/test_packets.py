"""PUBLISH packets from kept pieces are those of the codec."""

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.model import Message
from gateway.mqtt.packets import Publishes, encoded_length, publish_packet
from gateway.mqtt.properties import variable_integer

MESSAGES = st.builds(
    Message,
    topic=st.text(st.characters(exclude_characters="+#\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
    payload=st.binary(max_size=300),
    stream=st.just("s"),
    seq=st.just(1),
    values=st.just(1),
    content_type=st.sampled_from(["application/json", "application/octet-stream", ""]),
    properties=st.sampled_from([(), (("a", "ä"), ("a", "b"))]),
    expiry_s=st.sampled_from([0, 0, 7]),
    response_topic=st.sampled_from(["", "", "answers"]),
    correlation=st.sampled_from([b"", b"x"]),
)
PUBLISHES = Publishes()


@given(MESSAGES, st.integers(1, 65_535), st.booleans(), st.integers(0, 3), st.booleans())
@example(Message("t", b"x" * 97, "s", 1, 1), 65_535, True, 0, True)  # lengths of one byte, of two, of three
@example(Message("t", b"x" * 98, "s", 1, 1), 1, False, 0, True)
@example(Message("t", b"x" * 16_352, "s", 1, 1), 2, False, 0, True)
@example(Message("t", b"x" * 16_353, "s", 1, 1), 3, False, 2, False)
@example(Message("t", b"x" * 2_100_000, "s", 1, 1), 4, False, 2, False)
def test_a_packet_from_kept_pieces_is_that_of_the_codec(
    message: Message, packet_id: int, retain: bool, alias: int, has_topic: bool
) -> None:
    has_topic = has_topic or not alias
    for _ in range(2):  # learnt, and known
        made = PUBLISHES.packet(message, packet_id, retain, alias, has_topic)
        assert made == publish_packet(message, packet_id, retain, alias, has_topic)


@given(st.integers(0, 268_435_455))
def test_a_length_is_read_as_it_was_written(length: int) -> None:
    assert variable_integer(encoded_length(length), 0) == (length, len(encoded_length(length)))
