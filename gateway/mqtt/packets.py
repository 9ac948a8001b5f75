"""Packets of MQTT 5 as the lean session says them (the codec's work), and where one that comes in ends."""

import mqtt5

from gateway.model import Message
from gateway.mqtt.limits import MAX_PACKET_BYTES, is_text
from gateway.mqtt.sink import SessionSettings

MOST_INCOMING_BYTES = 2**20
"""The longest packet taken from the broker; announced in the CONNECT."""


def connect_packet(settings: SessionSettings) -> bytes:
    return mqtt5.ConnectPacket(
        settings.client_id,
        username=settings.username,
        password=settings.password.encode() if settings.password is not None else None,
        clean_start=True,
        will=_will(settings.will) if settings.will else None,
        keep_alive=settings.keep_alive_s,
        max_packet_size=MOST_INCOMING_BYTES,
    ).write()


def publish_packet(
    message: Message, packet_id: int | None, retain: bool, alias: int = 0, has_topic: bool = True
) -> bytes:
    """With QoS 1; without a packet id, QoS 0."""
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
        user_properties=list(message.properties) if message.properties else None,
    ).write()


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
    """Bytes of the fixed header (MQTT 5, 2.1.1)."""
    length = 2
    while packet[length - 1] & 0x80:
        length += 1
    return length


def end_of_packet(buffer: bytes, start: int) -> int | None:
    """Where the packet that begins at `start` ends; None while its length is not yet here.

    Raises nothing: a length of more than four bytes is read as a packet too long for us.
    """
    length = shift = 0
    for position in range(start + 1, min(start + 5, len(buffer))):
        byte = buffer[position]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position + 1 + length
        shift += 7
    return start + MAX_PACKET_BYTES + 1 if len(buffer) >= start + 5 else None
