"""A broker that behaves as a cloud does, on this machine.

It keeps what it retains in memory, and keeps no sessions: what a subscriber misses while it is away is gone.  It is
for tests and training, so nothing in it is built for speed.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from gateway.emulator.cloud import Cloud
from gateway.emulator.connection import Connection
from gateway.emulator.policy import Devices, Policy
from gateway.profiles import Profile


@dataclass(frozen=True, slots=True)
class Emulated:
    """A running emulator."""

    cloud: Cloud
    port: int
    watch_port: int
    """Where any client may subscribe to what has come, without the rules of the cloud."""

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"


@asynccontextmanager
async def emulated(
    profile: Profile,
    devices: Devices,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    watch_port: int = 0,
    tls: ssl.SSLContext | None = None,
    offset_s: float = 0.0,
) -> AsyncIterator[Emulated]:
    """An emulated cloud that listens.  `offset_s`: how far its clock is ahead of ours.  Raises `OSError`."""
    loop, cloud = asyncio.get_running_loop(), Cloud(Policy(profile, devices, offset_s))
    async with contextlib.AsyncExitStack() as stack:
        ports = []
        for number, is_open, context in ((port, False, tls), (watch_port, True, None)):
            made = partial(Connection, cloud, is_open=is_open)
            server = await loop.create_server(made, host, number, ssl=context)
            stack.callback(server.close)
            ports.append(int(server.sockets[0].getsockname()[1]))
        try:
            yield Emulated(cloud, *ports)
        finally:
            for each in [*cloud.everyone]:
                each.will = None
                each.end(0x8B, "the emulator ends")
