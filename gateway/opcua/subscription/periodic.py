"""What a session needs beside its values: a fresh channel, a sign of life, another try for what failed, another look.

It runs beside the batches for as long as the source is open; when it fails, whoever waits for the next batch is told.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from asyncua import ua

import gateway.opcua.subscription.services as services
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.session import Session, trust_own_clock
from gateway.opcua.subscription.publisher import Publisher
from gateway.opcua.subscription.tracker import SubscriptionTracker

RENEW_AFTER = 0.75
"""Part 4, 5.5.2: ask for a new security token when this part of its life is over."""
SETTLE_S = 1.0
"""A change of the address space is seldom the only one: so long is waited for the others."""

_STATE = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_State), ua.Int16(0))


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """Something to be done again and again."""

    every_s: float
    do: Callable[[], Awaitable[None]]
    sooner: asyncio.Event | None = None
    """Set when it should be done soon, and not only when its time has come."""


async def run_periodic(tasks: Sequence[PeriodicTask]) -> None:
    """Do each task when it is due, until cancelled.  Raises `Unavailable`."""
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
    """Wait for a time, or for the first of the events: which."""
    waiting = {asyncio.ensure_future(event.wait()): n for n, event in enumerate(events) if event is not None}
    if not waiting:
        await asyncio.sleep(for_s)
        return None
    try:
        done, _ = await asyncio.wait(waiting, timeout=max(0.0, for_s), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return min((waiting[task] for task in done), default=None)


def renewal(session: Session) -> PeriodicTask:
    """A new security token in time."""

    async def renew() -> None:
        with peer_errors("renew the secure channel", session.where):
            await session.client.open_secure_channel(renew=True)
            trust_own_clock(session.client)
            session.client.uaclient.revolve_security_token()

    return PeriodicTask(max(0.1, float(session.client.secure_channel_timeout) / 1000.0 * RENEW_AFTER), renew)


def sign_of_life(session: Session) -> PeriodicTask:
    """Three in the life of the session, as the server revised it."""

    async def ping() -> None:
        await session.read_values([_STATE])

    return PeriodicTask(max(0.1, float(session.client.session_timeout) / 3000.0), ping)


def sign_of_interest(session: Session, trackers: Sequence[SubscriptionTracker], publisher: Publisher) -> PeriodicTask:
    """Keep the subscriptions while nobody takes their values and no request waits for them."""

    async def touch() -> None:
        if publisher.is_idle:
            await services.touch(session, [tracker.id for tracker in trackers])

    return PeriodicTask(max(0.1, min(tracker.subscription.lifetime_s for tracker in trackers) / 3), touch)
