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
from gateway.opcua.subscription.tracker import Feed

RENEW_AFTER = 0.75
"""Part 4, 5.5.2: ask for a new security token when this part of its life is over."""
SETTLE_S = 1.0
"""A change of the address space is seldom the only one: so long is waited for the others."""

_STATE = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_State), ua.Int16(0))


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to be done again and again."""

    every_s: float
    do: Callable[[], Awaitable[None]]
    sooner: asyncio.Event | None = None
    """Set when it should be done soon, and not only when its time has come."""


async def keep_house(chores: Sequence[Chore]) -> None:
    """Do each chore when it is due, until cancelled.  Raises `Unavailable`."""
    due = [time.monotonic() + chore.every_s for chore in chores]
    while True:
        number = min(range(len(due)), key=due.__getitem__)
        hurried = await _wait(due[number] - time.monotonic(), [chore.sooner for chore in chores])
        if hurried is not None:
            await asyncio.sleep(SETTLE_S)
            number = hurried
        chore = chores[number]
        if chore.sooner is not None:
            chore.sooner.clear()
        await chore.do()
        due[number] = time.monotonic() + chore.every_s


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


def renewal(session: Session) -> Chore:
    """A new security token in time."""

    async def renew() -> None:
        with peer_errors("renew the secure channel", session.where):
            await session.client.open_secure_channel(renew=True)
            trust_own_clock(session.client)
            session.client.uaclient.revolve_security_token()

    return Chore(max(0.1, float(session.client.secure_channel_timeout) / 1000.0 * RENEW_AFTER), renew)


def sign_of_life(session: Session) -> Chore:
    """Three in the life of the session, as the server revised it."""

    async def ping() -> None:
        await session.read_values([_STATE])

    return Chore(max(0.1, float(session.client.session_timeout) / 3000.0), ping)


def sign_of_interest(session: Session, feeds: Sequence[Feed], publisher: Publisher) -> Chore:
    """Keep the subscriptions while nobody takes their values and no request waits for them."""

    async def touch() -> None:
        if publisher.is_idle:
            await services.touch(session, [feed.id for feed in feeds])

    return Chore(max(0.1, min(feed.subscription.lifetime_s for feed in feeds) / 3), touch)
