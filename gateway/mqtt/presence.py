"""The presence message on one session, and what earlier sessions have shown about it.

It is sent first, alone and acknowledged, before any data: if the broker refuses it, perhaps by cutting the connection,
no data is lost with it.  Then it is renewed with QoS 0, outside of the data's window, and taken back at the end.

If two connections in a row are cut while only the presence is open, it is suspect; but the link may be bad as well.  So
the next session starts with the data, and offers the presence after the connection has held.  That replaces the "lost"
of the last will.  Only a connection that held and is cut over this offer proves that the broker does not want the
presence.  Then the presence is left out for some time, as after a refusal in a PUBACK.  At a regular end the goodbye is
always sent.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from gateway.delivery import Presence, Verdict
from gateway.delivery.inflight import InFlight
from gateway.errors import Unavailable
from gateway.link import HELD_S
from gateway.model import Message
from gateway.mqtt.sink import Sink

PRESENCES_NOT_SURVIVED = 2
NOT_WANTED_S = 600.0
"""How long the presence is left out after the broker has refused it, in seconds."""
SOON_S = 2.0
"""A cut within this time after the presence may be caused by it."""
LOOK_S = 5.0
"""How often it is looked whether the presence has news, in seconds: so it is sent at most this often."""


class PresentSink(Sink, Protocol):
    """A session whose in-flight state is accessible."""

    @property
    def in_flight(self) -> InFlight:
        """The open publishes, and how the session broke."""

    @property
    def may_resume(self) -> bool:
        """The broker can be asked for this session later: nothing is subscribed to, so it holds nothing back for us."""


@dataclass(slots=True)
class PresenceHistory:
    """What earlier sessions have shown about the presence."""

    cuts: int = 0
    """Sessions in a row that were cut over it, or at that moment."""
    not_wanted_until_s: float = 0.0
    held_after_s: float = HELD_S

    def is_wanted(self, now_s: float) -> bool:
        return now_s >= self.not_wanted_until_s

    def comes_first(self, now_s: float) -> bool:
        """Whether it is sent before the data, and the last will with it."""
        return self.is_wanted(now_s) and self.cuts < PRESENCES_NOT_SURVIVED

    def offer_in_s(self, now_s: float) -> float:
        """When to offer it in a session that started without it, in seconds."""
        return max(self.held_after_s, self.not_wanted_until_s - now_s)

    def refused(self, now_s: float) -> None:
        """Note that the broker refuses it."""
        self.cuts, self.not_wanted_until_s = 0, now_s + NOT_WANTED_S

    def over(self, in_flight: InFlight, told_s: float, is_offer: bool) -> None:
        """Note the end of a session in which it was sent.  Some brokers acknowledge what they refuse, and then cut."""
        now_s = asyncio.get_running_loop().time()
        was_soon = in_flight.was_cut and now_s - told_s < SOON_S
        if was_soon and is_offer:
            self.refused(now_s)
        elif was_soon and in_flight.verdicts <= 1:
            self.cuts += 1
        elif not was_soon:
            self.cuts = 0


async def tell_first(session: PresentSink, presence: Presence, since: datetime, history: PresenceHistory) -> bool:
    """Send the presence before everything else, so that a cut can only be caused by it.

    Returns whether it was accepted.
    """
    loop = asyncio.get_running_loop()
    try:
        outcome = await session.send(presence.birth(since))
    except Unavailable:
        if session.in_flight.was_cut:
            history.cuts += 1
        raise
    if outcome.verdict is not Verdict.DELIVERED:
        history.refused(loop.time())
    return outcome.verdict is Verdict.DELIVERED


@contextmanager
def present(
    session: PresentSink,
    presence: Presence,
    since: datetime,
    history: PresenceHistory,
    *,
    is_told: bool,
    news: object = None,
    is_final: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Renew it at every heartbeat and soon after it has news; if it was not sent, offer it once the session has held.
    Take it back at the end, if that is final: a session that is left for the next one takes nothing back.

    `news` are those that were told when it was sent."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None
    told_s: float | None = loop.time() if is_told else None
    renew_s = 0.0

    def wait() -> None:
        nonlocal renew_s
        renew_s = loop.time() + (presence.heartbeat_s or 0.0)
        look_later()

    def look_later() -> None:
        nonlocal timer
        at_s = min(renew_s, loop.time() + LOOK_S)
        timer = None if presence.heartbeat_s is None else loop.call_at(at_s, look)

    def look() -> None:
        if loop.time() >= renew_s or presence.news != news:
            say()
        else:
            look_later()

    def say() -> None:
        nonlocal news
        news = presence.news
        session.tell(presence.birth(since))
        wait()

    def offer() -> None:
        nonlocal told_s
        told_s = loop.time()
        say()

    if is_told:
        wait()
    else:
        timer = loop.call_later(history.offer_in_s(loop.time()), offer)
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
        if told_s is not None:
            history.over(session.in_flight, told_s, is_offer=not is_told)
        if is_final():
            session.tell(presence.goodbye(since))


class Speaking:
    """What a session says of the gateway's presence: last will, message, goodbye."""

    def __init__(self, presence: Presence | None, since: datetime, history: PresenceHistory) -> None:
        self.presence = presence
        self._since = since
        self._history = history
        self._began_s = asyncio.get_running_loop().time()
        self.is_will_alone = presence is not None and presence.is_will_alone
        self._comes_first = presence is not None and not self.is_will_alone and self._history.comes_first(self._began_s)

    @property
    def will(self) -> Message | None:
        return self.presence.will(self._since) if self.presence is not None and self._comes_first else None

    @property
    def new_will(self) -> Callable[[], Message] | None:
        return partial(self.presence.will, self._since) if self.presence is not None and self.is_will_alone else None

    @property
    def is_refused(self) -> bool:
        return self.presence is not None and not self.is_will_alone and not self._history.is_wanted(self._began_s)

    async def begin(self, stack: AsyncExitStack, session: PresentSink, is_final: Callable[[], bool]) -> None:
        """Say it, and have it taken back at the end if that is final."""
        presence = self.presence
        if presence is None:
            return
        if self.is_will_alone:
            stack.callback(lambda: session.tell(presence.goodbye(self._since)))
            return
        news = presence.news  # what changes while it is sent is told later
        is_told = self._comes_first and await tell_first(session, presence, self._since, self._history)
        coming = present(session, presence, self._since, self._history, is_told=is_told, news=news, is_final=is_final)
        stack.enter_context(coming)
