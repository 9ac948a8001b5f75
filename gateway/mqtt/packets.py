"""MQTT 5 packets of the lean session: encoded by the codec, decoded by hand (see `answers`)."""

from collections.abc import Sequence
from functools import lru_cache

import mqtt5
from msgspec.structs import replace

from gateway.delivery import Packet
from gateway.model import Message
from gateway.mqtt.inbound import WINDOW
from gateway.mqtt.limits import MAX_PACKET_BYTES, is_text
from gateway.mqtt.properties import (
    CONTENT_TYPE,
    CORRELATION_DATA,
    MESSAGE_EXPIRY,
    RESPONSE_TOPIC,
    publish_properties,
    variable_integer,
)
from gateway.mqtt.sink import SESSION_KEPT_S, SessionSettings

MOST_INCOMING_BYTES = 2**18
"""The longest incoming packet; announced in the CONNECT."""
_MOST_KNOWN = 10_000
"""Topics whose pieces are kept."""


def connect_packet(settings: SessionSettings) -> bytes:
    secret = settings.password.encode() if settings.password is not None else None
    is_enhanced = bool(settings.method)
    return mqtt5.ConnectPacket(
        settings.client_id,
        username=settings.username,
        password=None if is_enhanced else secret,
        authentication_method=settings.method or None,
        authentication_data=secret if is_enhanced else None,
        clean_start=not settings.resume,
        session_expiry_interval=SESSION_KEPT_S if settings.new_will is None else 0,
        will=_will(settings.will) if settings.will else None,
        keep_alive=settings.keep_alive_s,
        receive_max=WINDOW,
        max_packet_size=MOST_INCOMING_BYTES,
    ).write()


def subscribe_packet(packet_id: int, topics: Sequence[str]) -> bytes:
    """A SUBSCRIBE with QoS 1, so that messages can be held back."""
    filters = [mqtt5.TopicFilter(topic, max_qos=mqtt5.QoS.AT_LEAST_ONCE, retain_as_published=False) for topic in topics]
    return mqtt5.SubscribePacket(packet_id, filters).write()


def disconnect_packet(*, with_will: bool) -> bytes:
    """A DISCONNECT, after which the broker drops the will, or publishes it."""
    return b"\xe0\x01\x04" if with_will else mqtt5.DisconnectPacket().write()


def puback_packet(packet_id: int) -> bytes:
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def read_publish(first: int, body: bytes) -> tuple[Packet, int]:
    """Decode an incoming PUBLISH.

    Returns its packet id too (0 with QoS 0).  Raises `ValueError` for malformed bytes.
    """
    qos = first >> 1 & 3
    if qos > 1:
        raise ValueError(f"a message with QoS {qos}, but the subscription has QoS 1")
    at = 2 + int.from_bytes(body[:2], "big")
    topic = body[2:at].decode("utf-8")
    packet_id = int.from_bytes(body[at : at + 2], "big") if qos else 0
    if len(body) < at + 2 * qos or not topic or (qos and not packet_id):
        raise ValueError("a message without a topic, or without a packet id")
    said, user, start = publish_properties(body, at + 2 * qos)
    packet = Packet(
        topic,
        body[start:],
        str(said.get(CONTENT_TYPE, "")),
        user,
        is_retained=bool(first & 1),
        response_topic=str(said.get(RESPONSE_TOPIC, "")),
        correlation=bytes(correlation) if isinstance(correlation := said.get(CORRELATION_DATA), bytes) else b"",
        expiry_s=expiry if isinstance(expiry := said.get(MESSAGE_EXPIRY), int) else None,
    )
    return packet, packet_id


def read_suback(body: bytes) -> bytes:
    """The reason codes of a SUBACK.  Raises `ValueError` for malformed bytes."""
    length, at = variable_integer(body, 2)
    return body[at + length :]


def publish_packet(
    message: Message, packet_id: int | None, retain: bool, alias: int = 0, has_topic: bool = True
) -> bytes:
    """A PUBLISH with QoS 1; without a packet id, with QoS 0."""
    return mqtt5.PublishPacket(
        message.topic if has_topic else "",
        message.payload,
        qos=mqtt5.QoS.AT_LEAST_ONCE if packet_id is not None else mqtt5.QoS.AT_MOST_ONCE,
        retain=retain,
        packet_id=packet_id,
        payload_format_indicator=int(is_text(message)),
        message_expiry_interval=message.expiry_s or None,
        content_type=message.content_type or None,
        topic_alias=alias or None,
        response_topic=message.response_topic or None,
        correlation_data=message.correlation or None,
        user_properties=list(message.properties) if message.properties else None,
    ).write()


class Publishes:
    """PUBLISH packets of one session.

    What repeats with every message of a topic (all but packet id and payload) is encoded once, by the codec, and kept.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[bytes, bytes, bytes, int]] = {}

    def packet(self, message: Message, packet_id: int, retain: bool, alias: int = 0, has_topic: bool = True) -> bytes:
        """The same as `publish_packet`."""
        if message.expiry_s or message.response_topic or message.correlation:
            return publish_packet(message, packet_id, retain, alias, has_topic)
        key = (message.topic, message.content_type, message.properties, retain, alias, has_topic)
        first, topic, properties, around = self._known.get(key) or self._learn(
            key, publish_packet(replace(message, payload=b""), 1, retain, alias, has_topic)
        )
        payload = message.payload
        size = encoded_length(around + len(payload))
        return b"".join((first, size, topic, packet_id.to_bytes(2, "big"), properties, payload))

    def _learn(self, key: tuple[object, ...], bare: bytes) -> tuple[bytes, bytes, bytes, int]:
        """The pieces around the length, the packet id and the payload of a packet that has no payload yet."""
        at = header_length(bare)
        end = at + 2 + int.from_bytes(bare[at : at + 2], "big")
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        found = self._known[key] = (bare[:1], bare[at:end], bare[end + 2 :], len(bare) - at)
        return found


@lru_cache(4096)
def encoded_length(length: int) -> bytes:
    """A Variable Byte Integer (MQTT 5, 1.5.5); cached, because the messages of a topic are about equally long."""
    found = bytearray()
    while True:
        length, low = divmod(length, 0x80)
        if not length:
            return bytes((*found, low))
        found.append(low | 0x80)


def _will(message: Message) -> mqtt5.Will:
    return mqtt5.Will(
        message.topic,
        payload=message.payload,
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        retain=message.retain,
        payload_format_indicator=int(is_text(message)),
        content_type=message.content_type or None,
        user_properties=list(message.properties),
    )


def header_length(packet: bytes) -> int:
    """The size of the fixed header (MQTT 5, 2.1.1)."""
    length = 2
    while packet[length - 1] & 0x80:
        length += 1
    return length


def end_of_packet(buffer: bytes, start: int) -> int | None:
    """The end of the packet that begins at `start`.  None: its length has not arrived yet.

    Never raises: a length of more than four bytes counts as a packet that is too long.
    """
    length = shift = 0
    for position in range(start + 1, min(start + 5, len(buffer))):
        byte = buffer[position]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position + 1 + length
        shift += 7
    return start + MAX_PACKET_BYTES + 1 if len(buffer) >= start + 5 else None
