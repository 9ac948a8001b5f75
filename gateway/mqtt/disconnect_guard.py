"""Handles brokers that cut the connection because of a message, so that other messages still get through.

Some brokers refuse a message by cutting the connection: MQTT 3.1.1 has no other way.  mosquitto 2.0.11 does it even
after a PUBACK with the reason, and this PUBACK is then lost together with all verdicts in flight.  If the message were
sent again in the same way, it would end every session and block everything behind it.

After a cut that follows a refusal, or that comes early with open publishes, the next sessions are guarded: one publish
at a time, until a whole window of them has passed.  One at a time, a refusal arrives before the cut, and the cause is
known:

- A message that was refused "for now" just before a cut is not sent again for some time.  Until then it gets the known
  verdict.
- A message that four sessions in a row did not survive is refused for good, as a dead letter, so that the next ones can
  be delivered.  In the last two sessions the idle connection was first seen to hold.
- If a connection is cut while nothing is open on it, the cause is another one, such as a second client with our client
  id.  Then no message is suspect any more, and the waiting ones are sent at once on the next connection.

`BrokerHistory` keeps this between the sessions with a broker.  It holds names only, no messages.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from functools import partial

from gateway.delivery import Outcome, Verdict
from gateway.delivery.inflight import InFlight
from gateway.delivery.line_rate import LineRate
from gateway.delivery.passing import fail
from gateway.errors import Unavailable
from gateway.model import Message
from gateway.mqtt.around import AroundSink
from gateway.mqtt.presence import PresenceHistory, PresentSink
from gateway.mqtt.provisioning import Assigned
from gateway.mqtt.reasons import CUT_OFF

MOST_REMEMBERED = 1000
SESSIONS_NOT_SURVIVED = 4
SUSPICIONS_OF_ACCIDENT = 1
"""Up to this many suspicions a message is still sent at once, since any cut may be a coincidence."""
QUIET_S = 2.0
"""How long an idle connection must hold before a suspect message is sent, in seconds."""


InnerSink = PresentSink
"""A session whose in-flight state is accessible."""


@dataclass(slots=True)
class BrokerHistory:
    """What earlier sessions have shown about a broker."""

    short_sessions: int = 0
    """Sessions in a row that it cut after a refusal, or with open publishes before a whole window was settled."""
    suspect: tuple[str, int] | None = None
    """Stream and sequence number of the only open message when a session was cut."""
    suspicions: int = 0
    """The number of sessions in a row in which that happened to the suspect."""
    refusals: dict[str, tuple[Outcome, float]] = field(default_factory=dict)
    """By topic: the refusal before a cut, and until when it holds."""
    condemned: dict[tuple[str, int], None] = field(default_factory=dict)
    """Stream and sequence number of messages refused for good.  The verdict comes at the end of a session and may be
    missed there, so it is given again when the message comes again."""
    presence: PresenceHistory = field(default_factory=PresenceHistory)
    line: LineRate = field(default_factory=LineRate)
    connected_s: float = -math.inf
    """When the latest attempt to connect began (monotonic, s), where attempts must be apart."""
    assigned: Assigned | None = None
    """Where a provisioning service has put this device.  None: not known, or not to be believed any more."""
    has_session: bool = False
    """It may keep a session that we left, and can then say so."""

    @property
    def is_guarded(self) -> bool:
        """Whether the next session sends one publish at a time."""
        return bool(self.short_sessions or self.suspicions)

    @property
    def is_bad(self) -> bool:
        """Whether the next session needs this history."""
        return bool(self.is_guarded or self.refusals or self.condemned)

    def known(self, message: Message, now_s: float) -> Outcome | None:
        """The known verdict for a message that must not be sent again yet.  None: send it."""
        if (message.stream, message.seq) in self.condemned:
            return CUT_OFF
        outcome, until_s = self.refusals.get(message.topic, (None, 0.0))
        return outcome if now_s < until_s else None

    def hung_up_after(self, message: Message, outcome: Outcome, until_s: float) -> None:
        """Note that the broker refused a message and then cut the connection."""
        if len(self.refusals) >= MOST_REMEMBERED:
            self.refusals.clear()
        self.refusals[message.topic] = (outcome, until_s)
        self.clear(message)

    def hung_up_on(self, message: Message) -> Outcome | None:
        """Note a cut with only this message open.  Returns its verdict once that is beyond doubt."""
        key = (message.stream, message.seq)
        self.suspicions = self.suspicions + 1 if key == self.suspect else 1
        self.suspect = key
        if self.suspicions < SESSIONS_NOT_SURVIVED:
            return None
        self.clear(message)
        if len(self.condemned) >= MOST_REMEMBERED:
            del self.condemned[next(iter(self.condemned))]
        self.condemned[key] = None
        return CUT_OFF

    def must_hold(self, message: Message) -> bool:
        """Whether the idle connection must be seen to hold before this message is sent."""
        return self.suspicions > SUSPICIONS_OF_ACCIDENT and self.suspect == (message.stream, message.seq)

    def clear(self, message: Message) -> None:
        """Note that the message got its verdict."""
        if self.suspect == (message.stream, message.seq):
            self.suspect, self.suspicions = None, 0

    def session_over(self, in_flight: InFlight, window: int) -> None:
        """Note how the last session ended.  Only cuts matter."""
        if in_flight.was_cut and not in_flight.left_open and in_flight.latest.verdict is Verdict.DELIVERED:
            self.suspect, self.suspicions = None, 0
        early = in_flight.left_open > 0 and in_flight.verdicts < window
        if in_flight.was_cut and (early or in_flight.latest.verdict is not Verdict.DELIVERED):
            self.short_sessions += 1
        elif in_flight.verdicts >= window:
            self.short_sessions = 0


class GuardedSink(AroundSink[InnerSink]):
    """A session that sends one publish at a time until a whole window has its verdicts, then without a limit."""

    def __init__(self, inner: InnerSink, experience: BrokerHistory, retry_s: float, quiet_s: float = QUIET_S) -> None:
        super().__init__(inner)
        self._experience = experience
        self._retry_s = retry_s
        self._quiet_s = quiet_s
        self._loop = asyncio.get_running_loop()
        self._opened_s = self._loop.time()
        self._left = inner.window if experience.is_guarded else 0
        self._waiting: deque[tuple[Message, asyncio.Future[Outcome]]] = deque()
        self._alone: Message | None = None
        self._refused: tuple[Message, Outcome] | None = None
        """The last verdict, if it was a refusal."""
        inner.in_flight.when_broken(self._give_up)

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        if self._inner.in_flight.is_broken:
            return self._inner.in_flight.failed()
        known = self._experience.known(message, self._loop.time())
        if known is not None:
            return self._inner.in_flight.settled(known)
        if self._experience.refusals.pop(message.topic, None) is not None:
            self._left = max(self._left, 1)  # ask again, and get the answer
        if self._left <= 0 and not self._waiting:
            return self._inner.send(message)
        if len(self._waiting) + (self._alone is not None) >= self.window:
            raise RuntimeError(f"more than {self.window} publishes are open")
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting.append((message, future))
        self._go_on()
        return future

    def session_over(self) -> None:
        """Update the history after the session."""
        if self._refused is not None and self._inner.in_flight.was_cut:
            message, outcome = self._refused
            if outcome.verdict is Verdict.LATER:
                self._experience.hung_up_after(message, outcome, self._loop.time() + self._retry_s)
        self._experience.session_over(self._inner.in_flight, self._inner.window)

    def _go_on(self) -> None:
        """Send the next publish, unless one is open, or it is suspect and the connection has not held long enough."""
        while self._waiting and self._alone is None:
            message, future = self._waiting[0]
            held_s = self._loop.time() - self._opened_s
            if self._experience.must_hold(message) and held_s < self._quiet_s:
                self._loop.call_later(self._quiet_s - held_s, self._go_on)
                return
            self._waiting.popleft()
            if self._left > 0:
                self._alone = message
            self._inner.send(message).add_done_callback(partial(self._settle, message, future))

    def _settle(self, message: Message, future: asyncio.Future[Outcome], sent: asyncio.Future[Outcome]) -> None:
        self._alone = None
        error = sent.exception()
        if error is None:
            self._left -= 1
            outcome = sent.result()
            self._experience.clear(message)
            self._refused = None if outcome.verdict is Verdict.DELIVERED else (message, outcome)
            _resolve(future, outcome)
            self._go_on()
            return
        blame = self._inner.in_flight.was_cut and self._refused is None and self._left > 0
        verdict = self._experience.hung_up_on(message) if blame else None
        _resolve(future, verdict or str(error))

    def _give_up(self, reason: str) -> None:
        while self._waiting:
            _resolve(self._waiting.popleft()[1], reason)


def _resolve(future: asyncio.Future[Outcome], result: Outcome | str) -> None:
    """Set the verdict, or the reason why there is none."""
    if not isinstance(result, Outcome):
        fail(future, Unavailable(result))
    elif not future.done():
        future.set_result(result)
