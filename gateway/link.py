"""Links: whether a peer is connected, since when, why not; and the loop that keeps it connected.

A `Link` is told of changes (`up`, `down`) and logs each once.  A link that flaps (it connects, and is lost before it
held) is logged once with the number of losses, and again when it is stable.  Meanwhile its changes are counted, but not
logged.

Only `keep_connected` handles `Unavailable`.  It makes one attempt after another, with full jitter in between; the waits
grow until a connection has held.  It never swallows a cancellation.  Only it reports a link as up.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import structlog

from gateway.advice import advice_for
from gateway.errors import Unavailable

T = TypeVar("T")

HELD_S = 10.0
"""A connection that lasts this long has held."""
FLAPS = 3
"""After this many connections in a row that did not hold, a link flaps."""
GONE_S = 60.0
"""A flapping link that has not connected for this long does not flap any more: it is gone."""


class LinkState(Enum):
    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: a wait between 0 and `first_s` x 2^attempt, at most `most_s`."""

    first_s: float = 0.5
    most_s: float = 30.0

    def wait_s(self, attempt: int, rng: random.Random) -> float:
        ceiling = min(self.most_s, self.first_s * 2.0 ** min(attempt, 32))
        return rng.uniform(0.0, ceiling)


class Link:
    """The state of one connection.  `peer`: its name in logs and metrics.  `address`: for people to check."""

    def __init__(
        self,
        peer: str,
        address: str,
        on_change: Callable[["Link"], None] = lambda link: None,
        on_failure: Callable[["Link", str], None] = lambda link, cause: None,
    ) -> None:
        self.peer = peer
        self.address = address
        self.state = LinkState.CONNECTING
        self.reason = self.cause = ""
        """Why it is not connected, for people, and as one of `errors.CAUSES`."""
        self.connects = 0
        self.memory: object = None
        """What the adapter keeps between connections."""
        self.hint = ""
        """The adapter's guess why it flaps, for people."""
        self.turn = 0
        """How often another address of the peer was wanted: the adapter begins with the one after so many."""
        self.changed = asyncio.Event()
        """Set when the state changes, and then replaced by a new event."""
        self.on_limits: Callable[[], object] = lambda: None
        """Called when the size limit of the peer or the line has changed.  The adapter sets it."""
        self.credential_ends_s = math.nan
        """Unix time at which what we logged in with ends, set by the adapter.  NaN: it does not, or nobody knows."""
        self.on_held: Callable[[float], object] = lambda wait_s: None
        """Called for each message that waits for the limits of the peer's profile, with the expected seconds."""
        self.held_after_s = HELD_S
        self.lasted_s = 0.0
        """How long the last lost connection had lasted, in seconds."""
        self._losses = 0
        """Connections in a row that did not hold."""
        self._flapping_since = 0.0
        self._settling: asyncio.TimerHandle | None = None
        self._on_change = on_change
        self._on_failure = on_failure
        self._since = time.monotonic()
        self._notice = self._noticed = ""
        self._advised = set[str]()
        """What was said since it was last up: another kind of reason is said once, and not at every attempt."""
        self._log = structlog.get_logger("gateway.link").bind(peer=peer, address=address)

    @property
    def is_up(self) -> bool:
        return self.state is LinkState.UP

    @property
    def since_s(self) -> float:
        """How long the present state has lasted, in seconds."""
        return time.monotonic() - self._since

    @property
    def flaps(self) -> bool:
        """Whether it repeatedly connects and is lost before it has held."""
        return self._losses >= FLAPS

    def up(self) -> None:
        if self.is_up:
            return
        self.connects += 1
        if self.flaps:
            self._settling = asyncio.get_running_loop().call_later(self.held_after_s, self._settled)
        else:
            self._log.info("connected", after_s=round(self.since_s, 1))
        self._enter(LinkState.UP, "")
        self._tell_notice()

    def down(self, reason: str, cause: str = "answer") -> None:
        """Not connected, or still not.  `reason` is for people, `cause` is one of `errors.CAUSES`."""
        self._on_failure(self, cause)
        self.cause = cause
        if self.state is LinkState.DOWN:
            if self.flaps and self.since_s > GONE_S:
                self._tell_loss(reason, advice_for(reason, cause), lost_before=self._losses)
                self._losses = 0
            elif (advice := advice_for(reason)) and advice not in self._advised and not self.flaps:
                self._tell_loss(reason, advice)
            elif reason != self.reason:
                self._log.debug("still not connected", reason=reason, for_s=round(self.since_s, 1))
            self.reason = reason
            return
        self.release()
        if self.is_up:
            self._count_loss()
        self._advised.clear()
        if cause == "renewal":
            self._log.info("logging in anew", reason=reason)
        elif not self.flaps:
            self._tell_loss(reason, advice_for(reason, cause))
        elif self._losses == FLAPS:
            self._flapping_since = time.monotonic()
            self._log.warning(
                "connects, and is lost again each time",
                times=self._losses,
                latest_held_s=round(self.lasted_s, 1),
                reason=reason,
                may_be=self.hint or None,
                advice=advice_for(reason, cause) or None,
                next="trying again at growing intervals; logged again when it is stable",
            )
        self._enter(LinkState.DOWN, reason)

    def _count_loss(self) -> None:
        self.lasted_s = self.since_s
        self._losses = self._losses + 1 if self.lasted_s < self.held_after_s else 0

    def _tell_loss(self, reason: str, advice: str, **more: object) -> None:
        if advice:
            self._advised.add(advice)
            more["advice"] = advice
        self._log.warning("not connected", reason=reason, next="trying again by itself until it is back", **more)

    def _settled(self) -> None:
        """Log that a flapping link has become stable."""
        over_s = time.monotonic() - self._flapping_since
        self._log.info("connected and stable", lost_before=self._losses, within_s=round(over_s, 1))
        self._losses = 0
        self._tell_notice()

    def release(self) -> None:
        """Stop logging by itself: nothing keeps it connected any more."""
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    def notice(self, text: str) -> None:
        """Log a restriction that remains although the peer is connected.  Logged once, until the text changes."""
        self._notice = text
        self._tell_notice()

    def _tell_notice(self) -> None:
        """Log the notice when the link is up and stable."""
        if self.is_up and not self.flaps and self._notice != self._noticed:
            self._noticed = self._notice
            self._log.warning("connected with restrictions", what=self._notice)

    def _enter(self, state: LinkState, reason: str) -> None:
        self.state, self.reason, self._since = state, reason, time.monotonic()
        self.changed.set()
        self.changed = asyncio.Event()
        self._on_change(self)


async def keep_connected(
    link: Link,
    connect: Callable[[], AbstractAsyncContextManager[T]],
    serve: Callable[[T], Awaitable[None]],
    backoff: Backoff,
    rng: random.Random | None = None,
) -> None:
    """Connect and serve repeatedly, with a wait after each `Unavailable`, until `serve` returns or this is cancelled.

    The link is up as soon as the context of `connect` is entered.  `serve` runs until the connection breaks
    (`Unavailable`).  If it returns without an error, the work is done and this returns too.
    """
    rng = rng or random.Random()
    failures = 0
    while True:
        connects = link.connects
        try:
            async with connect() as peer:
                link.up()
                await serve(peer)
        except Unavailable as error:
            link.down(str(error), error.cause)
        else:
            return
        finally:
            link.release()
        # Before CPython 3.13 a TaskGroup inside `serve` may lose a cancellation that arrives while a child fails.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        has_held = link.connects > connects and link.lasted_s >= link.held_after_s
        failures = 0 if has_held else failures + 1
        await asyncio.sleep(backoff.wait_s(failures, rng))
