"""Messages that say that a server has gone, or is back, for the formats that have them.

They pass the outbox like all messages, so they come after the values before them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from gateway.cancellation import unless_asked
from gateway.link import Link, LinkState
from gateway.outbox import Buffer
from gateway.pipeline.routing import SourceRoutes


@asynccontextmanager
async def telling_link(routes: SourceRoutes, outbox: Buffer, link: Link) -> AsyncIterator[None]:
    """Send what the routes tell of a server's coming and going while this is open."""
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(unless_asked(partial(_tell, routes, outbox, link)), name=f"link of {link.peer}")
        yield
        telling.cancel()


async def _tell(routes: SourceRoutes, outbox: Buffer, link: Link) -> None:
    told = LinkState.CONNECTING
    while True:
        changed = link.changed
        if link.state is not told and link.state is not LinkState.CONNECTING:
            told = link.state
            encoded = routes.link_changed(link.is_up, outbox.next_seq)  # must not wait between numbering and appending
            if encoded.messages or any(encoded.others.values()):
                await outbox.append(encoded.messages, others=encoded.others, source=link.peer)
            continue
        await changed.wait()
