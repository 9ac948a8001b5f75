"""The limits of a broker, and the size of a message on the wire.  Pure.

The CONNACK states the limits (MQTT 5, 3.2.2.3), and they are checked before sending: a packet that is too large, or a
topic that no broker accepts, costs one message but never the connection.
"""

from dataclasses import dataclass
from functools import lru_cache

from gateway.delivery import Outcome, Verdict
from gateway.model import Message
from gateway.payload.compressed import PROPERTY

MAX_PACKET_BYTES = 268_435_460
"""The longest packet: a Remaining Length of 268 435 455 (MQTT 5, 1.5.5) plus its header."""
RECEIVE_MAXIMUM = 65_535


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """The limits that the broker announced.  The defaults are those of MQTT."""

    receive_maximum: int = RECEIVE_MAXIMUM
    maximum_packet_bytes: int = MAX_PACKET_BYTES
    maximum_qos: int = 2
    retain_available: bool = True
    topic_alias_maximum: int = 0
    server_keep_alive_s: int | None = None

    def payload_bytes(self, message: Message, version: str = "5") -> int:
        """The longest payload for a message like this one.  May be negative."""
        overhead = packet_bytes(message, version) - len(message.payload)
        return self.maximum_packet_bytes - overhead - 4  # a longer payload may need up to 4 more length bytes


def packet_bytes(message: Message, version: str = "5") -> int:
    """Size of the PUBLISH packet with QoS 1 (MQTT 5, 3.3), in bytes.  Never less than what is sent."""
    size = 2 + len(message.topic.encode()) + 2 + len(message.payload)
    if version == "5":
        properties = 3 + len(message.content_type.encode()) if message.content_type else 0
        properties += 2 * is_text(message) + 5 * (message.expiry_s > 0)
        properties += sum(5 + len(key.encode()) + len(value.encode()) for key, value in message.properties)
        size += properties + _length_bytes(properties)
    return 1 + _length_bytes(size) + size


def is_text(message: Message) -> bool:
    """Whether the payload is UTF-8, for the payload format indicator (MQTT 5, 3.3.2.3.2)."""
    return _is_text_type(message.content_type) and not any(key == PROPERTY for key, _ in message.properties)


@lru_cache(64)
def _is_text_type(content_type: str) -> bool:
    kind = content_type.partition(";")[0]
    return kind.endswith("json") or kind.startswith("text/")


def _length_bytes(length: int) -> int:
    return 1 if length < 128 else 2 if length < 16_384 else 3 if length < 2_097_152 else 4


def refusal(message: Message, limits: BrokerLimits, version: str) -> Outcome | None:
    """Why this message must not be sent to this broker.  None: it may."""
    outcome = topic_refusal(message.topic)
    if outcome is None and (size := packet_bytes(message, version)) > limits.maximum_packet_bytes:
        outcome = size_refusal(size, limits)
    return outcome


def topic_refusal(topic: str) -> Outcome | None:
    """Why nothing may be published to this topic.  None: it may."""
    problem = topic_problem(topic)
    return Outcome(Verdict.NEVER, "topic_invalid", f"the topic {topic[:80]!r} {problem}") if problem else None


def size_refusal(size: int, limits: BrokerLimits) -> Outcome:
    """Why a packet of this size, which is more than the broker takes, must not be sent."""
    detail = f"the message needs {size} bytes, the broker accepts {limits.maximum_packet_bytes}"
    return Outcome(Verdict.NEVER, "too_large", detail)


def topic_problem(topic: str) -> str:
    """Why no broker may accept a topic name (MQTT 5, 4.7).  Empty: it is valid."""
    if not topic:
        return "is empty"
    if "+" in topic or "#" in topic:
        return "holds a wildcard (+ or #)"
    if "\0" in topic:
        return "holds a null character"
    try:
        return "is longer than 65535 bytes" if len(topic.encode()) > 65_535 else ""
    except UnicodeEncodeError:
        return "is not text that UTF-8 can hold"
