"""The properties of MQTT 5 as paho has them: from our messages to packets, and back."""

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.delivery import Packet
from gateway.model import Message
from gateway.mqtt.inbound import WINDOW
from gateway.mqtt.limits import is_text
from gateway.mqtt.packets import MOST_INCOMING_BYTES
from gateway.mqtt.reasons import of_session


def packet_of(message: paho.MQTTMessage) -> Packet:
    """A received message."""
    said = values_of(message.properties)
    pairs, correlation = said.get("UserProperty"), said.get("CorrelationData")
    return Packet(
        message.topic,
        bytes(message.payload),
        str(said.get("ContentType", "")),
        dict(pairs) if isinstance(pairs, list) else {},
        is_retained=bool(message.retain),
        response_topic=str(said.get("ResponseTopic", "")),
        correlation=correlation if isinstance(correlation, bytes) else b"",
        expiry_s=expiry if isinstance(expiry := said.get("MessageExpiryInterval"), int) else None,
    )


def reason_of(code: ReasonCode, properties: Properties | None) -> str:
    said = values_of(properties)
    return of_session(code.value, str(said.get("ReasonString", "")), str(said.get("ServerReference", "")))


def values_of(properties: Properties | None) -> dict[str, object]:
    """The properties by paho's names, which paho keeps as attributes."""
    return properties.__dict__ if properties is not None else {}


def properties_of(message: Message, kind: int = PacketTypes.PUBLISH) -> Properties:
    properties = Properties(kind)  # type: ignore[no-untyped-call]  # paho does not annotate it
    if is_text(message):
        properties.PayloadFormatIndicator = 1
    if message.expiry_s:
        properties.MessageExpiryInterval = message.expiry_s
    if message.content_type:
        properties.ContentType = message.content_type
    if message.response_topic:
        properties.ResponseTopic = message.response_topic
    if message.correlation:
        properties.CorrelationData = message.correlation
    if message.properties:
        properties.UserProperty = list(message.properties)
    return properties


def bounds(kept_s: int) -> Properties:
    """The limits that we announce, and how long the session shall be kept."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho does not annotate it
    properties.ReceiveMaximum = WINDOW
    properties.MaximumPacketSize = MOST_INCOMING_BYTES
    properties.SessionExpiryInterval = kept_s
    return properties


def will_of(message: Message, v5: bool) -> aiomqtt.Will:
    properties = properties_of(message, PacketTypes.WILLMESSAGE) if v5 else None
    return aiomqtt.Will(message.topic, message.payload, qos=1, retain=message.retain, properties=properties)
