"""Hostile brokers in a process of their own: `python -m tests.hostile.broker`, a port for each behaviour.

It prints the ports as a line of JSON.  A line with the name of a behaviour ends it: its connections are cut, and from
then on that port is a broker that behaves.
"""

import asyncio
import contextlib
import json
import sys
from functools import partial

from tests.hostile.broker_behaviours import BROKERS, Peer
from tests.support.mqtt_fake import FakeBroker


class Port:
    """A broker that misbehaves until it is told to behave."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._healed: FakeBroker | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def heal(self) -> None:
        self._healed = FakeBroker()
        for task in list(self._tasks):
            task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if self._healed is not None:
                await self._healed.serve(reader, writer)
                return
            self._tasks.add(task)
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await BROKERS[self._name](Peer(reader, writer))
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


async def main() -> None:
    ports = {name: Port(name) for name in BROKERS}
    servers = {name: await asyncio.start_server(port.serve, "127.0.0.1", 0) for name, port in ports.items()}
    print(json.dumps({name: server.sockets[0].getsockname()[1] for name, server in servers.items()}), flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(partial(asyncio.StreamReaderProtocol, commands), sys.stdin)
    while name := (await commands.readline()).decode().strip():
        ports[name].heal()
        print("healed", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
