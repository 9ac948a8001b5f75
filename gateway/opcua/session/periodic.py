"""Periodic work while a session is open, for example to keep it open.

The tasks run one after another beside the batches.  When one fails, the task that waits for the next batch gets its
error.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from asyncua import ua

from gateway.opcua.session.asyncua_edge import peer_errors, trust_own_clock
from gateway.opcua.session.session import Session

RENEW_AFTER = 0.75
"""Part 4, 5.5.2: renew a security token after this share of its lifetime."""
SETTLE_S = 1.0
"""Changes of the address space come in groups: wait this long for the rest, in seconds."""

_STATE = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_State), ua.Int16(0))


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """One piece of periodic work."""

    every_s: float
    do: Callable[[], Awaitable[None]]
    sooner: asyncio.Event | None = None
    """When set, the task runs after `SETTLE_S`, and the event is cleared."""


async def run_periodic(tasks: Sequence[PeriodicTask]) -> None:
    """Run each task when it is due, until cancelled.  Raises `Unavailable`."""
    due = [time.monotonic() + task.every_s for task in tasks]
    while True:
        number = min(range(len(due)), key=due.__getitem__)
        hurried = await _wait(due[number] - time.monotonic(), [task.sooner for task in tasks])
        if hurried is not None:
            await asyncio.sleep(SETTLE_S)
            number = hurried
        task = tasks[number]
        if task.sooner is not None:
            task.sooner.clear()
        await task.do()
        due[number] = time.monotonic() + task.every_s


async def _wait(for_s: float, events: Sequence[asyncio.Event | None]) -> int | None:
    """Wait `for_s` seconds, or until an event is set.  Returns the index of that event.  None: the time is over."""
    waiting = {asyncio.ensure_future(event.wait()): n for n, event in enumerate(events) if event is not None}
    if not waiting:
        await asyncio.sleep(for_s)
        return None
    try:
        done, _ = await asyncio.wait(waiting, timeout=max(0.0, for_s), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiting:
            waiter.cancel()
    return min((waiting[waiter] for waiter in done), default=None)


def token_renewal(session: Session) -> PeriodicTask:
    """Renew the security token before it ends."""

    async def renew() -> None:
        with peer_errors("renew the secure channel", session.where):
            await session.client.open_secure_channel(renew=True)
            trust_own_clock(session.protocol)
            session.protocol.revolve_security_token()

    return PeriodicTask(max(0.1, float(session.client.secure_channel_timeout) / 1000.0 * RENEW_AFTER), renew)


def keep_alive(session: Session) -> PeriodicTask:
    """Read the server's state three times within the revised session time-out."""

    async def ping() -> None:
        await session.read_values([_STATE])

    return PeriodicTask(max(0.1, float(session.client.session_timeout) / 3000.0), ping)
