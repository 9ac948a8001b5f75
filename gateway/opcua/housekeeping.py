"""What a session needs beside its values: a fresh channel, a sign of life, another try for what failed.

It runs beside the batches for as long as the source is open; when it fails, whoever waits for the next batch is told.
"""

import asyncio
import time

from asyncua import ua

import gateway.opcua.subscription as services
from gateway.config import SourceConfig
from gateway.opcua.items import Items
from gateway.opcua.peer import peer_errors
from gateway.opcua.publisher import Publisher
from gateway.opcua.session import Session, trust_own_clock

RENEW_AFTER = 0.75
"""Part 4, 5.5.2: ask for a new security token when this part of its life is over."""

_STATE = ua.NodeId(ua.Int32(ua.ObjectIds.Server_ServerStatus_State), ua.Int16(0))


async def keep_house(session: Session, config: SourceConfig, items: Items, publisher: Publisher) -> None:
    """Do each chore when it is due, until cancelled.  Raises `Unavailable`."""
    chores = {"renew": _renew_s(session), "ping": _ping_s(session, items), "retry": config.retry_failed}
    due = {chore: time.monotonic() + every_s for chore, every_s in chores.items()}
    while True:
        chore = min(due, key=lambda name: due[name])
        await asyncio.sleep(due[chore] - time.monotonic())
        if chore == "renew":
            await _renew(session)
        elif chore == "ping":
            await _ping(session, items, publisher)
        else:
            await items.retry()
        due[chore] = time.monotonic() + chores[chore]


def _renew_s(session: Session) -> float:
    return max(0.1, float(session.client.secure_channel_timeout) / 1000.0 * RENEW_AFTER)


def _ping_s(session: Session, items: Items) -> float:
    """Three signs of life in the shorter of the two lives, as the server revised them."""
    session_s = float(session.client.session_timeout) / 1000.0
    return max(0.1, min(session_s, items.subscription.lifetime_s) / 3)


async def _renew(session: Session) -> None:
    with peer_errors("renew the secure channel", session.where):
        await session.client.open_secure_channel(renew=True)
        trust_own_clock(session.client)
        session.client.uaclient.revolve_security_token()


async def _ping(session: Session, items: Items, publisher: Publisher) -> None:
    """Keep the session, and the subscription too while nobody takes its values and no request names it."""
    await session.read_values([_STATE])
    if publisher.is_idle:
        await services.touch(session, items.subscription.id)
