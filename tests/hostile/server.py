"""Every misbehaviour of the table as a server of its own, in one process, commanded line by line.

Run as `python -m tests.hostile.server`.  The first line it prints has the ports by name, as JSON, and that of a healthy
server.  It obeys `behave NAME` (from then on that server keeps to the rules), and says `struck NAME` for each time that
one of them did not.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

from tests.hostile.behaviours import BEHAVIOURS
from tests.support.opcua_scripted import Ask, Connection, Hook, ScriptedServer

HEALTHY = "healthy"
PERIOD_S = 0.02
STRIKES = 3


def told(name: str, hooks: Mapping[str, Hook]) -> dict[str, Hook]:
    """The hooks, which say when they strike; the first few times."""
    left = [STRIKES]

    def striking(hook: Hook) -> Hook:
        async def strike(connection: Connection, ask: Ask) -> bool:
            left[0] -= 1
            if left[0] >= 0:
                print(f"struck {name}", flush=True)
            return await hook(connection, ask)

        return strike

    return {moment: striking(hook) for moment, hook in hooks.items()}


async def serve() -> None:
    async with AsyncExitStack() as stack:
        servers = {HEALTHY: await stack.enter_async_context(ScriptedServer(period_s=PERIOD_S))}
        for name, hooks in BEHAVIOURS.items():
            server = ScriptedServer(hooks=told(name, hooks), period_s=PERIOD_S)
            servers[name] = await stack.enter_async_context(server)
        print(json.dumps({name: server.port for name, server in servers.items()}), flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            name = line.removeprefix("behave ")
            servers[name].hooks.clear()
            servers[name].drop()


if __name__ == "__main__":
    asyncio.run(serve())
