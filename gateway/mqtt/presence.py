"""Our presence on one session: published first, renewed, and taken back at the end.

The first one of a session goes alone, before any data, and is acknowledged: a broker that does not take it, and perhaps
hangs up over it, must not take the data down with it.  The later ones go with QoS 0, outside the window of the data.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from gateway.delivery import Presence
from gateway.mqtt.sink import Sink


@contextmanager
def beating(sink: Sink, presence: Presence, since: datetime) -> Iterator[None]:
    """Renew it at every heartbeat, and take it back at the end."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def wait() -> None:
        nonlocal timer
        timer = None if presence.heartbeat_s is None else loop.call_later(presence.heartbeat_s, beat)

    def beat() -> None:
        sink.tell(presence.birth(since))
        wait()

    wait()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
        sink.tell(presence.goodbye(since))
