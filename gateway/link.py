"""Links: is a peer there, since when, why not; and the loop that keeps it there.

A `Link` is told of edges (`up`, `down`) and logs each once.  `keep_connected` is the only place that waits out
`Unavailable`: it runs one attempt after another with full jitter between them, and never swallows a cancellation.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

import structlog

from gateway.errors import Unavailable


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
    """The state of one connection.  `peer` is its name in logs and metrics, `address` what people may check."""

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
        self.reason = ""
        self.connects = 0
        self.memory: object = None
        """What the adapter keeps from one connection to the next."""
        self._on_change = on_change
        self._on_failure = on_failure
        self._since = time.monotonic()
        self._notice = ""
        self._log = structlog.get_logger("gateway.link").bind(peer=peer, address=address)

    @property
    def is_up(self) -> bool:
        return self.state is LinkState.UP

    @property
    def since_s(self) -> float:
        """For how long the present state has lasted."""
        return time.monotonic() - self._since

    def up(self) -> None:
        if self.is_up:
            return
        self.connects += 1
        self._log.info("connected", after_s=round(self.since_s, 1))
        self._enter(LinkState.UP, "")

    def down(self, reason: str, cause: str = "answer") -> None:
        """Not connected, or still not: `reason` for people, `cause` one of `errors.CAUSES`."""
        self._on_failure(self, cause)
        if self.state is LinkState.DOWN:
            if reason != self.reason:
                self._log.debug("still not connected", reason=reason, for_s=round(self.since_s, 1))
                self.reason = reason
            return
        self._log.warning("not connected", reason=reason, next="trying again by itself until it is back")
        self._enter(LinkState.DOWN, reason)

    def notice(self, text: str) -> None:
        """Say what is lost with this peer although it is connected; once, until it is something else."""
        if text != self._notice:
            self._notice = text
            self._log.warning("connected with less than hoped for", what=text)

    def _enter(self, state: LinkState, reason: str) -> None:
        self.state, self.reason, self._since = state, reason, time.monotonic()
        self._on_change(self)


async def keep_connected(
    link: Link,
    attempt: Callable[[], Awaitable[None]],
    backoff: Backoff,
    rng: random.Random | None = None,
) -> None:
    """Run `attempt` again and again, waiting after each `Unavailable`, until it returns or is cancelled.

    `attempt` connects, calls `link.up()` once it is connected, and serves until the link breaks (`Unavailable`).
    When it returns without error, the work is done and so is this.
    """
    rng = rng or random.Random()
    failures = 0
    while True:
        connects = link.connects
        try:
            await attempt()
        except Unavailable as error:
            link.down(str(error), error.cause)
        else:
            return
        # Before CPython 3.13 a TaskGroup inside `attempt` may lose a cancellation that arrives while a child fails.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        failures = 0 if link.connects > connects else failures + 1
        await asyncio.sleep(backoff.wait_s(failures, rng))
