"""Keep-alives of the formats that have them: a topic that is silent because nothing changed says so.

They go through the outbox like all else, and only while the server is connected: a writer whose server is away is not
alive.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from gateway.cancellation import unless_asked
from gateway.link import Link
from gateway.outbox import Outbox
from gateway.payload.format import Encoder


@asynccontextmanager
async def keeping_alive(encoder: Encoder, outbox: Outbox, link: Link, interval_s: float | None) -> AsyncIterator[None]:
    """Send the keep-alives of one source while this is open; nothing where the format has none."""
    if interval_s is None:
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(
            unless_asked(partial(_beat, encoder, outbox, link, interval_s)), name=f"keep alive {link.peer}"
        )
        yield
        beating.cancel()


async def _beat(encoder: Encoder, outbox: Outbox, link: Link, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        messages = encoder.keep_alives(outbox.next_seq) if link.is_up else []  # no wait between numbering and appending
        if messages:
            await outbox.append(messages, source=link.peer)
