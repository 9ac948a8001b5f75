"""The contract between the pipeline and a sink, independent of the sink's protocol.

A `Session` is one connection of a sink.  It never reconnects and stores nothing.  The outbox is the only store, so a
message without a verdict is sent again in the next session.  The package of a protocol keeps its reason codes and
limits to itself; the pipeline sees verdicts and sizes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

from gateway.config import BrokerConfig
from gateway.link import Link
from gateway.model import Message
from gateway.yaml_positions import Problem


class Verdict(Enum):
    DELIVERED = "delivered"
    """The peer has the message.  It may leave the outbox."""
    LATER = "later"
    """Refused for now.  It stays on the disk and is offered again."""
    NEVER = "never"
    """The peer will never accept it.  It becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one publish."""

    verdict: Verdict
    reason: str
    """One of a small fixed set of the sink: a metric label.  With `NEVER` it is in `metrics.DROP_REASONS` too."""
    detail: str
    """One sentence for people."""
    code: int | None = None
    """The peer's answer as a number of its protocol.  None: decided here, nothing was sent."""

    @property
    def is_answer(self) -> bool:
        """Whether the peer decided it, rather than the gateway."""
        return self.code is not None


DELIVERED = Outcome(Verdict.DELIVERED, "delivered", "the broker has it", 0)


@dataclass(frozen=True, slots=True)
class Packet:
    """A received message."""

    topic: str
    payload: bytes
    content_type: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    """User properties, where the protocol has them."""
    is_retained: bool = False
    """Whether the peer had retained it, so that it is not new."""
    response_topic: str = ""
    """The topic for a response."""
    correlation: bytes = b""
    """The correlation data that a response must carry."""
    expiry_s: int | None = None
    """The time in seconds until the message expires, where the protocol has one."""
    missed_before: int = 0
    """How many earlier messages, which asked for no acknowledgement, were dropped for lack of room."""


class Presence(Protocol):
    """What a gateway says about itself at the begin and the end of a session.  All messages go to one topic, retained.

    `since` is when the session started to open.  It is equal in all messages of one session, the will included.
    """

    @property
    def is_will_alone(self) -> bool:
        """There is no birth: each CONNECT has a will of its own, the broker keeps no session, and the end is told by
        the goodbye and the will."""

    @property
    def heartbeat_s(self) -> float | None:
        """Interval of repeated `birth` messages, in seconds.  None: the state is sent only when it changes."""

    @property
    def news(self) -> object:
        """What of `birth` is worth a message when it has changed.  Equal objects: nothing has."""

    def birth(self, since: datetime) -> Message:
        """The gateway is online; also the heartbeat."""

    def goodbye(self, since: datetime) -> Message:
        """The gateway stops on purpose."""

    def will(self, since: datetime) -> Message:
        """The last will: published by the peer when it loses the gateway, at an unknown time."""


class Sink(Protocol):
    """What the pipeline needs of a session."""

    @property
    def window(self) -> int:
        """The largest number of messages without a verdict."""

    @property
    def has_forgotten(self) -> bool:
        """The peer may have lost what it was asked to retain: it does not know us from before."""

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        """Send without waiting.

        The future gets the peer's verdict, or fails with `Unavailable` when the session breaks first.  A message that
        the peer cannot accept (limits, topic) gets its verdict at once and is not sent.  The caller keeps at most
        `window` futures open; one more is a bug and raises `RuntimeError`.
        """

    async def wait_closed(self) -> None:
        """Wait until the session breaks, then raise `Unavailable` with the reason."""


class Session(Sink, Protocol):
    """One connection of a sink, with the facts known about it."""

    @property
    def most_bytes(self) -> int:
        """The longest message that the peer accepts and the line carries in time, with all that its protocol adds to
        the payload.  It may change during the session.  A longer message is still sent if the peer accepts it."""

    @property
    def certificate_ends_s(self) -> float:
        """Unix time at which the peer's certificate ends.  NaN: it showed none."""

    def tell(self, message: Message) -> Outcome | None:
        """Send without asking for an acknowledgement, and outside of the window.

        Returns the outcome of a message that the peer cannot accept, which is not sent; else None, also when the
        session is broken.
        """

    def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        """Subscribe, and yield every message that arrives, in order, until cancelled.  At most once per session.

        The request for the next message acknowledges the last one.  The peer learns of it only then, so it sends no
        more than a fixed number ahead.  A message that asks for no acknowledgement and finds no room is dropped, and
        counted in `missed_before` of the next one.  Raises `Rejected` when the peer refuses the subscription,
        `Unavailable` when the session breaks.  The peer sends unacknowledged messages again.
        """

    def arrived(self) -> Sequence[Packet]:
        """Take the messages that have arrived behind the last one of `arrivals`, in order, without waiting.

        The request for the next one of `arrivals` acknowledges them as well.
        """


class LateStage(Protocol):
    """Changes to messages that only a session can make, such as numbers that restart with it.

    It lives as long as its session.  The bytes in the outbox stay unchanged.
    """

    def dress(self, message: Message) -> Message:
        """The message as it would be sent now.  Has no effect: a message that turns out too long is not sent."""

    def sent(self, message: Message) -> None:
        """The dressed message was sent.  Called in the order on the wire."""


OpenSink = Callable[[], AbstractAsyncContextManager[Sink]]


class SinkKind(Protocol):
    """One kind of sink: the members of its package that the gateway uses.  A module may be one."""

    def problems_with(self, config: BrokerConfig) -> Sequence[Problem]:
        """Files and secrets that a session needs and that cannot be read or used.  Reads all of them, and blocks.

        For the start.  Later such a problem is `Unavailable`, since somebody may be changing the file.
        """

    def open_sink(
        self,
        config: BrokerConfig,
        link: Link,
        default_client_id: str,
        presence: Presence | None = None,
        late: Callable[[], LateStage] | None = None,
    ) -> AbstractAsyncContextManager[Session]:
        """Open one session, with the presence first and last.  It is connected when entered.

        `late` creates the stage that changes all messages of this session.  Entering raises `Unavailable` with the
        reason.  The kind uses `memory` and `hint` of `link` for itself, and `notice` for restrictions that remain
        although it is connected.
        """

    def credential_expires_s(self, config: BrokerConfig) -> float:
        """Unix time at which the login ends.  NaN: unlimited, or not readable."""

    def certificate_expires_s(self, config: BrokerConfig) -> float:
        """Unix time at which our own certificate ends.  NaN: there is none, or it cannot be read."""
