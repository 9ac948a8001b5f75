"""Keep-alives for the formats that have them: a topic without changes says that it is alive.

They pass the outbox like all messages, and only while the server is connected: a writer without its server is not
alive.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from gateway.cancellation import unless_asked
from gateway.link import Link
from gateway.outbox import Buffer
from gateway.pipeline.routing import SourceRoutes


@asynccontextmanager
async def keeping_alive(routes: SourceRoutes, outbox: Buffer, link: Link) -> AsyncIterator[None]:
    """Send the keep-alives of one source while this is open.  Does nothing where no format has any."""
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(unless_asked(partial(_beat, routes, outbox, link)), name=f"keep alive {link.peer}")
        yield
        beating.cancel()


async def _beat(routes: SourceRoutes, outbox: Buffer, link: Link) -> None:
    due_s: dict[str, float] = {}
    while True:
        now_s, every_s, changed = asyncio.get_running_loop().time(), routes.keep_alive_s, routes.changed
        due_s = {route: min(due_s.get(route, now_s + each), now_s + each) for route, each in every_s.items()}
        wait_s = max(0.0, min(due_s.values()) - now_s) if due_s else None
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await changed.wait()
            continue  # the routes changed: compute the due times again
        now_s = asyncio.get_running_loop().time()
        names = [route for route, at_s in due_s.items() if at_s <= now_s]
        due_s |= {route: now_s + every_s[route] for route in names}
        if link.is_up:
            encoded = routes.keep_alives(names, outbox.next_seq)  # must not wait between numbering and appending
            if encoded.messages or any(encoded.others.values()):
                await outbox.append(encoded.messages, others=encoded.others, source=link.peer)
