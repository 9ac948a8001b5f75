"""Brokers that hang up over a message, and how the rest still gets through.

Some brokers refuse a message by cutting the connection: MQTT 3.1.1 knows no other way, and mosquitto 2.0.11 does it
even after a PUBACK that says why, which is then lost on the wire together with the verdicts of all that was in flight.
Sent again in the same way the same message would end every session, and hold up everything behind it.

So a session that the broker cuts after a refusal, or early with publishes open, makes the next ones cautious: one
publish at a time, until as many as a window holds have passed.  One at a time, a refusal arrives before the cut, and
who is cut off is known:

- What was refused "for now" just before a cut is not sent again for a while; until then the answer is the known one.
- A message that four sessions in a row did not survive, the last two after a moment in which the idle connection was
  seen to hold, is refused for good: a dead letter, so that what follows can be delivered.
- A connection that is cut while nothing is open on it is cut for another reason, such as another client with our
  client id.  Then nobody is suspect any more, and what waited is sent at once on the next one.

`BrokerHistory` is what is kept of this from one session to the next, per broker.  It holds no message, only names.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from functools import partial

from gateway.delivery import Around, Outcome, Verdict
from gateway.errors import Unavailable
from gateway.model import Message
from gateway.mqtt.inflight import InFlight
from gateway.mqtt.limits import BrokerLimits
from gateway.mqtt.line_rate import LineRate
from gateway.mqtt.presence import PresenceHistory, PresentSink
from gateway.mqtt.reasons import CUT_OFF
from gateway.mqtt.sink import Version

MOST_REMEMBERED = 1000
SESSIONS_NOT_SURVIVED = 4
SUSPICIONS_OF_ACCIDENT = 1
"""Suspected this often, a message is still sent at once: any cut may come at a bad moment."""
QUIET_S = 2.0
"""How long an idle connection must hold before a suspect is sent on it."""


InnerSink = PresentSink
"""A session as it is, with its books open."""


@dataclass(slots=True)
class BrokerHistory:
    """What a broker taught us."""

    short_sessions: int = 0
    """Sessions in a row that it cut after a refusal, or with publishes open before a window of them was settled."""
    suspect: tuple[str, int] | None = None
    """Stream and sequence number of the message that was alone when a session was cut."""
    suspicions: int = 0
    """How many sessions in a row that happened to the suspect."""
    refusals: dict[str, tuple[Outcome, float]] = field(default_factory=dict)
    """By topic: what the broker said before it hung up, and until when not to ask again."""
    condemned: dict[tuple[str, int], None] = field(default_factory=dict)
    """Stream and sequence number of what is refused for good: the verdict falls with the end of a session, where its
    owner may be too busy to take it in, so it is given again when the message comes again."""
    presence: PresenceHistory = field(default_factory=PresenceHistory)
    line: LineRate = field(default_factory=LineRate)

    @property
    def is_guarded(self) -> bool:
        """The next session sends one publish at a time."""
        return bool(self.short_sessions or self.suspicions)

    @property
    def is_bad(self) -> bool:
        """There is something to remember in the next session."""
        return bool(self.is_guarded or self.refusals or self.condemned)

    def known(self, message: Message, now_s: float) -> Outcome | None:
        """The verdict that would come, when that is known and it is too early to ask again."""
        if (message.stream, message.seq) in self.condemned:
            return CUT_OFF
        outcome, until_s = self.refusals.get(message.topic, (None, 0.0))
        return outcome if now_s < until_s else None

    def hung_up_after(self, message: Message, outcome: Outcome, until_s: float) -> None:
        """The broker refused a message and then cut the connection."""
        if len(self.refusals) >= MOST_REMEMBERED:
            self.refusals.clear()
        self.refusals[message.topic] = (outcome, until_s)
        self.clear(message)

    def hung_up_on(self, message: Message) -> Outcome | None:
        """The broker cut the connection with only this message open; the verdict once that is beyond doubt."""
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
        """The idle connection must be seen to hold before this message is sent."""
        return self.suspicions > SUSPICIONS_OF_ACCIDENT and self.suspect == (message.stream, message.seq)

    def clear(self, message: Message) -> None:
        """The message got its verdict."""
        if self.suspect == (message.stream, message.seq):
            self.suspect, self.suspicions = None, 0

    def session_over(self, in_flight: InFlight, window: int) -> None:
        """How the latest session ended; one that ended otherwise teaches nothing."""
        if in_flight.was_cut and not in_flight.left_open and in_flight.latest.verdict is Verdict.DELIVERED:
            self.suspect, self.suspicions = None, 0
        early = in_flight.left_open > 0 and in_flight.verdicts < window
        if in_flight.was_cut and (early or in_flight.latest.verdict is not Verdict.DELIVERED):
            self.short_sessions += 1
        elif in_flight.verdicts >= window:
            self.short_sessions = 0


class GuardedSink(Around[InnerSink]):
    """A session that sends one publish at a time until a window of them has its verdict, then as it is."""

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
        """The latest verdict, when it was a refusal."""
        inner.in_flight.when_broken(self._give_up)

    @property
    def limits(self) -> BrokerLimits:
        return self._inner.limits

    @property
    def version(self) -> Version:
        return self._inner.version

    @property
    def address(self) -> str:
        return self._inner.address

    def tell(self, message: Message) -> None:
        self._inner.tell(message)

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        if self._inner.in_flight.is_broken:
            return self._inner.in_flight.failed()
        known = self._experience.known(message, self._loop.time())
        if known is not None:
            return self._inner.in_flight.settled(known)
        if self._experience.refusals.pop(message.topic, None) is not None:
            self._left = max(self._left, 1)  # ask again, and hear the answer
        if self._left <= 0 and not self._waiting:
            return self._inner.send(message)
        if len(self._waiting) + (self._alone is not None) >= self.window:
            raise RuntimeError(f"more than {self.window} publishes are open")
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting.append((message, future))
        self._go_on()
        return future

    def session_over(self) -> None:
        """Learn from how the session ended."""
        if self._refused is not None and self._inner.in_flight.was_cut:
            message, outcome = self._refused
            if outcome.verdict is Verdict.LATER:
                self._experience.hung_up_after(message, outcome, self._loop.time() + self._retry_s)
        self._experience.session_over(self._inner.in_flight, self._inner.window)

    def _go_on(self) -> None:
        """Send the next publish, unless one is out or the next is suspect and the connection has not shown to hold."""
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
    """The verdict, or why there is none."""
    if future.done():
        return
    if isinstance(result, Outcome):
        future.set_result(result)
    else:
        future.set_exception(Unavailable(result))
        future.exception()  # marks it as seen: an owner that has gone is no mistake
