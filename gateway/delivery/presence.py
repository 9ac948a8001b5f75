"""The presence message on a session of a protocol without last wills and retained messages.

It is sent first and acknowledged, renewed without acknowledgement, and taken back at a regular end.  A log keeps the
last one; that a gateway is lost shows by heartbeats that do not come.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from gateway.delivery.contract import Outcome, Presence, Session, Verdict


@asynccontextmanager
async def present(session: Session, presence: Presence | None, since: datetime) -> AsyncIterator[Outcome | None]:
    """Within it the presence is told; yields why it is not taken, else None.  Raises `Unavailable`."""
    if presence is None:
        yield None
        return
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def wait() -> None:
        nonlocal timer
        timer = None if presence.heartbeat_s is None else loop.call_later(presence.heartbeat_s, renew)

    def renew() -> None:
        session.tell(presence.birth(since))
        wait()

    outcome = await session.send(presence.birth(since))
    wait()
    try:
        yield None if outcome.verdict is Verdict.DELIVERED else outcome
    finally:
        if timer is not None:
            timer.cancel()
        session.tell(presence.goodbye(since))
