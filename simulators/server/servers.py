"""The servers of one simulator: building, starting, restarting, closing.

A restart is a real one: the server closes and loses its sessions, subscriptions and history.  Another one is built on
the same port from the same plan, with the namespaces in another order when the fault says so.  The machines and the
commands of operators stay.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import replace
from typing import Protocol

import structlog

from simulators.faults import ServerRestart
from simulators.server.endpoint import Access, bind, listening_at, prepared
from simulators.server.plant_server import Plan, PlantServer, build
from simulators.server.record import Recorder

LOOK_S = 0.02
"""How often a restart checks whether its simulated time has come, in seconds."""


class SimulatedTime(Protocol):
    """Provides the simulated time."""

    @property
    def now_s(self) -> float: ...


class Servers:
    """All servers.  In `plant_servers`, None is a server that is away."""

    def __init__(self, plans: Sequence[Plan], access: Access, recorder: Recorder, time: SimulatedTime) -> None:
        self._plans = plans
        self._access = access
        self._recorder = recorder
        self._time = time
        self.plant_servers: list[PlantServer | None] = []
        self.urls: list[str] = []
        self.adopt: Callable[[PlantServer], None] = lambda server: None
        """Called with each server before it listens."""
        self._lives: list[AsyncExitStack] = []
        self._wanted: asyncio.Queue[tuple[int, ServerRestart, float]] = asyncio.Queue()
        self._log = structlog.get_logger("simulators")

    @property
    def present(self) -> list[PlantServer]:
        return [server for server in self.plant_servers if server is not None]

    @asynccontextmanager
    async def built(self, endpoint: str) -> AsyncIterator[None]:
        """Bind all ports, then build all servers.  Close them at the end.  Raises `CannotListen`."""
        bound = bind_all(endpoint, len(self._plans))
        try:
            for number, each in enumerate(bound):
                self._lives.append(AsyncExitStack())
                self.plant_servers.append(await self._build(number, each))
            self.urls += [server.endpoint.url for server in self.present]
            yield
        finally:
            await asyncio.gather(*(life.aclose() for life in self._lives))

    async def _build(self, number: int, bound: socket.socket, shuffle: random.Random | None = None) -> PlantServer:
        plan = self._plans[number]
        server = await self._lives[number].enter_async_context(prepared(plan.name, self._access, bound))
        return await build(server, plan, self._recorder, self._time.now_s, shuffle)

    def record_all(self) -> None:
        """Bring every variable up to date and record it."""
        for server in self.present:
            server.record_rest(self._time.now_s)
        self._recorder.flush()

    async def listen(self) -> None:
        """Start to accept clients."""
        for server in self.present:
            await self._open(server)

    async def _open(self, server: PlantServer) -> None:
        self.adopt(server)
        await server.endpoint.start()
        self._log.info("serving", endpoint=server.endpoint.url, machines=len(server.machines))

    def restart(self, server: PlantServer, fault: ServerRestart, until_s: float) -> None:
        """Take a server away from this instant on.  `keep` closes it and brings it back."""
        number = self.plant_servers.index(server)
        self.plant_servers[number] = None
        self._wanted.put_nowait((number, fault, until_s))

    async def keep(self) -> None:
        """Keep the clocks of the servers running and bring back servers that are away, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_time(), name="server-clock")
            while True:
                wanted = await self._wanted.get()
                group.create_task(self._bring_back(*wanted), name="server-restart")

    async def _tell_time(self) -> None:
        while True:
            for server in self.present:
                await server.endpoint.iserver.write_clock(server.writer.offset)
            await asyncio.sleep(1.0)

    async def _bring_back(self, number: int, fault: ServerRestart, until_s: float) -> None:
        url = self.urls[number]
        self._log.info("server away", endpoint=url, until_s=until_s)
        await self._lives[number].aclose()
        while self._time.now_s < until_s:  # noqa: ASYNC110 - simulated time has no event to wait for
            await asyncio.sleep(LOOK_S)
        shuffle = random.Random(until_s) if fault.namespaces == "shuffled" else None
        server = await self._build(number, bind(url), shuffle)
        server.write_all(self._time.now_s)  # simulated time advanced during the build
        server.record_rest(self._time.now_s)
        self.plant_servers[number] = server
        await self._open(server)


def bind_all(endpoint: str, count: int) -> list[socket.socket]:
    """Bind `count` ports, starting with that of `endpoint`.  Raises `CannotListen`, with all closed, when one fails."""
    first = listening_at(endpoint)
    with ExitStack() as stack:
        bound = []
        for number in range(count):
            url = replace(first, port=first.port + number if first.port else 0)
            bound.append(stack.enter_context(bind(str(url))))
        stack.pop_all()
    return bound
