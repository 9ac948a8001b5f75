"""A TCP proxy that does to a connection what networks do: cut, stall, half-open, slow, refuse, heal.

It forwards bytes and knows nothing of what they mean.  Faults obey physics: what is stalled arrives late and in
order, what is cut stays cut until the peer connects again, and a half-open connection looks alive to the client while
nobody is there any more.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 65536


@dataclass(eq=False)
class _Pair:
    """One client connection and its connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    half_open: bool = False


@dataclass(eq=False)
class Proxy:
    """Faults hold from the call until `heal`; `cut` happens once."""

    host: str
    port: int
    """Where clients connect."""
    target_host: str
    target_port: int
    accepted: int = 0
    """Connections taken so far."""
    forwarded_bytes: int = 0
    rate_bytes_per_s: float | None = None
    chunk_bytes: int = CHUNK
    every_s: float = 0.05
    """A slow line forwards what it may this often."""
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _refusing: bool = False
    _pairs: set[_Pair] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def cut(self) -> None:
        """Reset every connection, as a pulled switch or a killed process does.  New ones are welcome."""
        for pair in list(self._pairs):
            _abort(pair.client)
            _abort(pair.server)

    def refuse(self) -> None:
        """Reset every connection and every new one at once: nobody listens any more."""
        self._refusing = True
        self.cut()

    def stall(self) -> None:
        """Hold every byte, both ways, without closing anything; `heal` lets them go on."""
        self._flowing.clear()

    def slow(self, rate_bytes_per_s: float, every_s: float = 0.05) -> None:
        """Forward at most this many bytes per second and direction."""
        self.rate_bytes_per_s, self.every_s = rate_bytes_per_s, every_s

    def half_open(self) -> None:
        """The server's side is gone, the client is not told: what it sends is swallowed."""
        for pair in self._pairs:
            pair.half_open = True
            _abort(pair.server)

    def heal(self) -> None:
        """End all faults.  Connections that are half open are reset, as the first packet to a dead peer does."""
        for pair in list(self._pairs):
            if pair.half_open:
                _abort(pair.client)
        self._refusing = False
        self.rate_bytes_per_s = None
        self._flowing.set()

    async def wait_accepted(self, count: int) -> None:
        """Wait until `count` connections have been taken in all."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.accepted >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._changed:
                self.accepted += 1
                self._changed.notify_all()
            if not self._refusing:
                await self._join(reader, writer)
        except OSError:
            pass  # nobody listens behind us: the client sees a reset
        finally:
            _abort(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self.target_host, self.target_port)
        pair = _Pair(writer, server_writer)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(pair, reader, server_writer, to_server=True), name="proxy-to-server")
                group.create_task(self._pump(pair, server_reader, writer, to_server=False), name="proxy-to-client")
        finally:
            self._pairs.discard(pair)
            _abort(server_writer)

    async def _pump(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_server: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(self.chunk_bytes):
                await self._flowing.wait()
                if pair.half_open and to_server:
                    continue
                await self._forward(writer, data)
        if pair.half_open and not to_server:
            return  # the client must not see the end of the server's side
        if not writer.is_closing():
            with suppress(OSError):
                writer.close()

    async def _forward(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            rate = self.rate_bytes_per_s
            part = data if rate is None else data[: max(1, int(rate * self.every_s))]
            data = data[len(part) :]
            writer.write(part)
            await writer.drain()
            self.forwarded_bytes += len(part)
            if rate is not None:
                await asyncio.sleep(len(part) / rate)


def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@asynccontextmanager
async def open_proxy(
    target_port: int, target_host: str = "127.0.0.1", port: int = 0, buffer_bytes: int | None = None
) -> AsyncIterator[Proxy]:
    """A proxy on a free port of 127.0.0.1 (or `port`) in front of `target_host:target_port`.

    `buffer_bytes`: it takes little more than that before it has forwarded it, or the least that the kernel keeps, which
    is some 2 kB: so a client sees how slow the line is.
    """
    proxy = Proxy("127.0.0.1", 0, target_host, target_port, chunk_bytes=buffer_bytes or CHUNK)
    proxy.heal()
    tasks: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(proxy._serve(reader, writer), name="proxy-connection")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    sock = socket.create_server((proxy.host, port))
    if buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    server = await asyncio.start_server(serve, sock=sock, limit=proxy.chunk_bytes)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        pending = list(tasks)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted closes its socket in the loop's next turn
