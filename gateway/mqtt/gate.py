"""A session within the limits of a profile: rates are kept, bad topics are not sent, and credentials are renewed.

What a rate holds back waits here, in order, and is in the outbox all the while; at most a window of messages waits,
since the pipeline sends no more without verdicts.  Only a broker with a profile that has such limits gets a gate.

Before its credentials end the session lets what is open be acknowledged, sends no more, and breaks; the next one logs
in with new ones.  Nothing is sent twice for it, unless the broker has not acknowledged within the ack time-out.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from math import isnan

from gateway.delivery import Outcome, Packet, Verdict
from gateway.delivery.passing import fail, hand_on, reason_of
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.model import TICKS_PER_SECOND, UNIX_EPOCH_TICKS, Message
from gateway.mqtt.around import AroundSink
from gateway.mqtt.disconnect_guard import GuardedSink, InnerSink
from gateway.mqtt.limits import packet_bytes
from gateway.profiles import Profile
from gateway.profiles.bucket import Bucket, bucket
from gateway.profiles.wire import Wire, problem_of_topic

SHARE = 0.9
"""Of a rate; the rest is for what goes beside the window (presence, pings), and for a way that takes some messages a
tenth of a second longer than others: they come closer together than they were sent."""
RENEW_AFTER = (0.8, 0.9)
LEAST_RENEWAL_S = 5.0
"""A session whose credentials end sooner is not left for that: there are no better ones yet."""
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a gate keeps."""

    profile: Profile
    wire: Wire
    ends_s: float
    """Unix time at which the credentials end; NaN: they do not."""
    ack_timeout_s: float
    least_renewal_s: float = LEAST_RENEWAL_S
    most_age_s: float | None = None
    """How old the oldest value of a message may be when it is sent."""

    @property
    def is_needed(self) -> bool:
        """Topics need none: templates are checked, and names from a server are cut and escaped, before."""
        names = ("messages_per_s", "bytes_per_s")
        has_end = not isnan(self.ends_s) or self.most_age_s is not None
        return has_end or any(self.profile.limit(name) is not None for name in names)


class Gate(AroundSink[GuardedSink | InnerSink]):
    """The session for the pipeline."""

    def __init__(self, inner: GuardedSink | InnerSink, session: InnerSink, limits: Limits, link: Link) -> None:
        super().__init__(inner)
        self._session = session
        self._limits = limits
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._messages = bucket(limits.profile.limit("messages_per_s"), SHARE)
        self._bytes = bucket(limits.profile.limit("bytes_per_s"), SHARE)
        self._waiting: deque[tuple[Message, int, asyncio.Future[Outcome]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._topics: dict[tuple[str, bool], Outcome | None] = {}
        self.renews: asyncio.Future[None] = self._loop.create_future()
        """Done when the session is left for new credentials."""
        self._is_closing = False
        self._renewal = self._renew_at()
        session.in_flight.when_broken(self._give_up)

    @property
    def has_forgotten(self) -> bool:
        return self._inner.has_forgotten and self._limits.profile.allows("retain")

    async def arrivals(self, *topics: str) -> AsyncGenerator[Packet, None]:
        """Those of the topics that the cloud has; without any, nothing arrives until the session breaks."""
        heard = [topic for topic in topics if self._limits.wire.hears(topic)]
        if not heard:
            await self._inner.wait_closed()
        async with aclosing(self._inner.arrivals(*heard)) as packets:
            async for packet in packets:
                yield packet

    def send(self, message: Message) -> asyncio.Future[Outcome]:
        refusal = self._refusal(message) or self._too_old(message)
        if refusal is not None:
            return self._session.in_flight.settled(refusal)
        if self._session.in_flight.is_broken:
            return self._session.in_flight.failed()
        size = 0 if self._bytes is None else packet_bytes(self._limits.wire.dress(message))
        wait_s = self._wait_s(size)
        if not self._waiting and wait_s <= 0 and not self._is_closing:
            return self._go(message, size)
        self._link.on_held(wait_s)
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting.append((message, size, future))
        self._arm(wait_s)
        return future

    async def wait_closed(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            closed = tasks.create_task(reason_of(self._inner.wait_closed()), name="session within limits")
            await asyncio.wait((closed, self.renews), return_when=asyncio.FIRST_COMPLETED)
            closed.cancel()
        if closed.cancelled():
            raise Unavailable("the credentials end soon: logging in with new ones", "renewal")
        raise closed.result()

    def close(self) -> None:
        """No timer stays."""
        for timer in (self._timer, self._renewal):
            if timer is not None:
                timer.cancel()
        self._give_up("the session was closed")

    def _wait_s(self, size: int) -> float:
        now_s = self._loop.time()
        waits = [
            each.wait_s(amount, now_s)
            for each, amount in ((self._messages, 1.0), (self._bytes, float(size)))
            if each is not None
        ]
        return max(waits, default=0.0)

    def _go(self, message: Message, size: int) -> asyncio.Future[Outcome]:
        now_s = self._loop.time()
        _take(self._messages, 1.0, now_s)
        _take(self._bytes, float(size), now_s)
        return self._inner.send(message)

    def _arm(self, wait_s: float) -> None:
        if self._timer is None and not self._is_closing:
            self._timer = self._loop.call_later(max(0.001, wait_s), self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        while self._waiting and not self._is_closing:
            message, size, future = self._waiting[0]
            if not future.done():
                if (wait_s := self._wait_s(size)) > 0:
                    self._arm(wait_s)
                    return
                self._go(message, size).add_done_callback(partial(hand_on, future))
            self._waiting.popleft()

    def _refusal(self, message: Message) -> Outcome | None:
        key = (message.topic, bool(message.stream))
        if key not in self._topics:
            if len(self._topics) >= _MOST_KNOWN:
                self._topics.clear()
            broken = problem_of_topic(
                self._limits.profile, self._limits.wire.topic_of(message.topic, has_values=key[1])
            )
            self._topics[key] = None if broken is None else Outcome(Verdict.NEVER, "topic_invalid", broken.text)
        return self._topics[key]

    def _too_old(self, message: Message) -> Outcome | None:
        most_s = self._limits.most_age_s
        if most_s is None or not message.oldest_ticks:
            return None
        age_s = time.time() - (message.oldest_ticks - UNIX_EPOCH_TICKS) / TICKS_PER_SECOND
        if age_s <= most_s:
            return None
        text = f"its oldest value is {age_s / 86_400:.1f} days old, no more than {most_s / 86_400:g} are accepted"
        return Outcome(Verdict.NEVER, "too_old", text)

    # Renewal.

    def _renew_at(self) -> asyncio.TimerHandle | None:
        left_s = self._limits.ends_s - time.time()
        if isnan(left_s) or left_s * RENEW_AFTER[0] < self._limits.least_renewal_s:
            return None
        return self._loop.call_later(left_s * random.uniform(*RENEW_AFTER), self._renew)

    def _renew(self) -> None:
        """Let what is open be acknowledged, and then leave."""
        self._is_closing = True
        open_ = [future for future, *_ in self._session.in_flight.open.values()]
        left = len(open_)

        def one_less(_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self._leave()

        for future in open_:
            future.add_done_callback(one_less)
        if not open_:
            self._leave()
        self._renewal = self._loop.call_later(self._limits.ack_timeout_s, self._leave)

    def _leave(self) -> None:
        if not self.renews.done():
            self.renews.set_result(None)

    def _give_up(self, reason: str) -> None:
        while self._waiting:
            fail(self._waiting.popleft()[2], Unavailable(reason))


def _take(each: Bucket | None, amount: float, now_s: float) -> None:
    if each is not None:
        each.take(amount, now_s)
