"""Keep-alives of the formats that have them: a topic that is silent because nothing changed says so.

They go through the outbox like all else, and only while the server is connected: a writer whose server is away is not
alive.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.link import Link
from gateway.outbox import Outbox
from gateway.payload.choose import KeepAlives


@asynccontextmanager
async def keeping_alive(
    keep_alives: KeepAlives | None, outbox: Outbox, link: Link, interval_s: float
) -> AsyncIterator[None]:
    """Send the keep-alives of one source while this is open; nothing where the format has none."""
    if keep_alives is None:
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(_beat(keep_alives, outbox, link, interval_s), name=f"keep alive {link.peer}")
        yield
        beating.cancel()


async def _beat(keep_alives: KeepAlives, outbox: Outbox, link: Link, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        messages = keep_alives(outbox.next_seq) if link.is_up else []  # no wait between numbering and appending
        if messages:
            await outbox.append(messages, source=link.peer)
