"""A broker session as a kind of sink (`gateway/delivery`), and what a session is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.delivery import LateStage, Session
from gateway.errors import Unavailable
from gateway.model import Message
from gateway.mqtt.limits import BrokerLimits
from gateway.mqtt.line_rate import LineRate

Version = Literal["5", "3.1.1"]


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a session is opened with."""

    client_id: str
    username: str | None
    password: str | None
    keep_alive_s: int
    ack_timeout_s: float
    window: int
    maximum_packet_bytes: int | None = None
    """The largest packet to send, where it is less than what the broker announces."""
    will: Message | None = None
    topic_aliases: int = 65_535
    """At most so many, where the broker allows more."""
    late: Callable[[], LateStage] | None = None
    """Makes what dresses all that goes out on one session."""
    query: str | None = None
    """What follows the `?` of a web socket's address."""
    line: LineRate | None = None
    """What is known of the line from earlier sessions, and what this one learns."""

    def __repr__(self) -> str:
        return f"SessionSettings(client_id={self.client_id!r}, …)"  # a password must never reach a log


class VersionRefusedError(Unavailable):
    """The broker does not speak this version of MQTT, or hung up on it without a word."""


class RetainRefusedError(Unavailable):
    """The broker retains nothing, and refuses a session whose last will asks for it (MQTT 5, 3.2.2.3.5)."""


_KINDS: dict[int, type[Unavailable]] = {0x84: VersionRefusedError, 0x9A: RetainRefusedError}


def refused(code: int, text: str) -> Unavailable:
    """The error for a CONNACK of MQTT 5 that refuses the session with this reason code."""
    return _KINDS.get(code, Unavailable)(text)


class Sink(Session, Protocol):
    """One session with one broker, and what only MQTT knows of it."""

    @property
    def limits(self) -> BrokerLimits:
        """What the broker takes."""

    @property
    def version(self) -> Version:
        """The MQTT version in use."""

    @property
    def address(self) -> str:
        """The address that answered."""

    def tell(self, message: Message) -> None:
        """Publish with QoS 0: nobody says whether it arrived, and it takes no place in the window."""
