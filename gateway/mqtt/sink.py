"""The interface of an MQTT session (see `gateway/delivery`), and its settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.delivery import LateStage, Session
from gateway.delivery.line_rate import LineRate
from gateway.errors import Unavailable
from gateway.model import Message
from gateway.mqtt.limits import BrokerLimits

Version = Literal["5", "3.1.1"]

SESSION_KEPT_S = 3600
"""How long a broker of MQTT 5 shall keep our session.  There is nothing in it, but a broker that still has it has not
lost its retained messages either."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """The settings of a new session."""

    client_id: str
    username: str | None
    password: str | None
    """Sent as it is; with `method` as the data of enhanced authentication."""
    keep_alive_s: int
    ack_timeout_s: float
    window: int
    maximum_packet_bytes: int | None = None
    """The largest packet to send, if it is less than the broker announces."""
    will: Message | None = None
    topic_aliases: int = 65_535
    """The largest number of topic aliases, if the broker allows more."""
    late: Callable[[], LateStage] | None = None
    """Creates the stage that changes all outgoing messages of a session."""
    method: str = ""
    """Of enhanced authentication (MQTT 5, 4.12), in one step.  Empty: user name and password."""
    query: str | None = None
    """The query of a web socket address."""
    resume: bool = False
    """Ask for the session that the broker may have kept; otherwise it begins a new one."""
    line: LineRate | None = None
    """The speed of the line, measured by this session and earlier ones."""
    new_will: Callable[[], Message] | None = None
    """Makes the will of each CONNECT, instead of `will`.  The broker then keeps no session, and publishes the will at
    a regular end as well, where the protocol can ask for that."""

    def __repr__(self) -> str:
        return f"SessionSettings(client_id={self.client_id!r}, …)"  # keeps the password out of logs


class VersionRefusedError(Unavailable):
    """The broker does not support this MQTT version, or cut the connection without an answer."""


class RetainRefusedError(Unavailable):
    """The broker refuses a session with a retained will, since it retains nothing (MQTT 5, 3.2.2.3.5)."""


_KINDS: dict[int, type[Unavailable]] = {0x84: VersionRefusedError, 0x9A: RetainRefusedError}


def refused(code: int, text: str) -> Unavailable:
    """The error for a CONNACK of MQTT 5 with this reason code."""
    return _KINDS.get(code, Unavailable)(text)


class Sink(Session, Protocol):
    """One session with a broker, with its MQTT-specific facts."""

    @property
    def limits(self) -> BrokerLimits:
        """The limits of the broker."""

    @property
    def version(self) -> Version:
        """The MQTT version in use."""

    @property
    def address(self) -> str:
        """The address that answered."""
