"""Delivery: what the pipeline and a sink promise each other, whatever protocol the sink speaks.

A `Session` is one connection of a sink.  It never reconnects and keeps nothing: the outbox is the only store, so a
message without a verdict on this session is sent again on the next by whoever holds the outbox.  How a protocol says
yes or no, and what it limits, stays in the package that speaks it; here arrive verdicts and sizes.
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
    """The peer has it: it may leave the outbox."""
    LATER = "later"
    """Refused for now: it stays on disk and is offered again."""
    NEVER = "never"
    """This peer will never take it: dead letter."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message."""

    verdict: Verdict
    reason: str
    """One of a small fixed set of the sink: a metric label.  With `NEVER` also one of `metrics.DROP_REASONS`."""
    detail: str
    """For people: one sentence."""
    code: int | None = None
    """What the peer answered, in the numbers of its protocol; None when it was decided here and nothing was sent."""

    @property
    def is_answer(self) -> bool:
        """The peer said so; else it was decided here."""
        return self.code is not None


DELIVERED = Outcome(Verdict.DELIVERED, "delivered", "the broker has it", 0)


@dataclass(frozen=True, slots=True)
class Packet:
    """A message as it came in."""

    topic: str
    payload: bytes
    content_type: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    """User properties, where the protocol has them."""
    is_retained: bool = False
    """The peer kept it from before: it is not news."""
    response_topic: str = ""
    """Where an answer is wanted."""
    correlation: bytes = b""
    """What an answer must carry."""
    missed_before: int = 0
    """How many that came before it without asking for an acknowledgement found no room, and are gone."""


class Presence(Protocol):
    """What a gateway says of itself, first and last, while a session lasts.  All messages go to one topic, retained.

    `since` is when the session began to be opened: equal in all messages of one session, the will included.
    """

    @property
    def heartbeat_s(self) -> float | None:
        """`birth` is told again this often; None for a state that is told only when it changes."""

    def birth(self, since: datetime) -> Message:
        """It is there; also the heartbeat."""

    def goodbye(self, since: datetime) -> Message:
        """It leaves on purpose."""

    def will(self, since: datetime) -> Message:
        """For the peer to publish when it loses the gateway; it cannot know when that will be."""


class Sink(Protocol):
    """What the pipeline needs of a session."""

    @property
    def window(self) -> int:
        """At most this many messages may be without a verdict."""

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        """Send without waiting.

        The future ends with the peer's verdict, or fails with `Unavailable` when the session breaks before.  What the
        peer could not take (limits, topic) is decided at once and not sent.  The caller keeps at most `window` futures
        open; one more is a bug and raises `RuntimeError`.
        """

    async def wait_closed(self) -> None:
        """Wait until the session breaks, then raise `Unavailable` with the reason."""


class Session(Sink, Protocol):
    """One connection of a sink, with what is known of it."""

    @property
    def most_bytes(self) -> int:
        """The longest message that the peer takes and the line carries in time, with all that its protocol adds to the
        payload.  It may change while the session lasts; a longer one is sent all the same where the peer takes it."""

    @property
    def certificate_ends_s(self) -> float:
        """Unix time at which the certificate that the peer showed ends; NaN where it showed none."""

    def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        """Subscribe, and iterate for ever over what arrives, in order; at most once in a session.

        Asking for the next acknowledges the one before.  Until then the peer is not told, so it sends no more than a
        fixed number ahead; what wants no acknowledgement and finds no room is dropped and counted in the next one's
        `missed_before`.  Raises `Rejected` when the peer does not let us subscribe, `Unavailable` when the session
        breaks.  What was not acknowledged by then is the peer's to send again.
        """


class LateStage(Protocol):
    """What only a session knows of its messages, such as numbers that begin anew with it.

    One of these lives as long as a session.  The outbox keeps its bytes as they are.
    """

    def dress(self, message: Message) -> Message:
        """The message as it would go out now.  Changes nothing: what turns out too long is not sent."""

    def sent(self, message: Message) -> None:
        """The message, as it was dressed, went out; called in the order on the wire."""


OpenSink = Callable[[], AbstractAsyncContextManager[Sink]]


class SinkKind(Protocol):
    """One kind of sink: the members of its package that the gateway uses.  A module may be one."""

    def problems_with(self, config: BrokerConfig) -> Sequence[Problem]:
        """What a session needs and cannot have: every file and secret is read.  It blocks.

        For use at start; what breaks later is `Unavailable`: somebody is changing it.
        """

    def open_sink(
        self,
        config: BrokerConfig,
        link: Link,
        default_client_id: str,
        presence: Presence | None = None,
        late: Callable[[], LateStage] | None = None,
    ) -> AbstractAsyncContextManager[Session]:
        """One session, which says its presence first and last.  Entering it means that the peer took us.

        `late` makes the stage that dresses all that goes out on this session.
        Entering raises `Unavailable` with the reason.  `memory` and `hint` of `link` are the kind's own, and its
        `notice` is for what is lost although it connects.
        """

    def credential_expires_s(self, config: BrokerConfig) -> float:
        """Unix time at which the login ends; NaN where it does not say, or cannot be read."""

    def certificate_expires_s(self, config: BrokerConfig) -> float:
        """Unix time at which our own certificate ends; NaN without one, or when it cannot be read."""
