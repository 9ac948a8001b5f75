"""An OPC UA server that costs next to nothing for each value: any client may connect, browse, read and subscribe.

    python -m tests.bench.chain.load_server --variables 1000 --servers 1 [--security DIR]

Objects / load / m000 … m009 / v000000 …, all Double, in namespace `urn:load`.  With `--servers` there are as many, each
on a port of its own.  Secure channels and sessions are those of asyncua's server; subscriptions, and Browse and Read of
the load's own nodes, are those of `services.py`, `load.py` and `browsing.py`.

Orders come as JSON lines on standard input:

    {"load": {"total", "per", "rate_hz", "seconds"}}   begin a load on every subscription
    {"enough": true}                                   end one with a rate
    {"stats": true}                                    tell the books

Events are JSON lines on standard output: serving (with the ports), subscribed (once for each server, when all its
variables are), loading, finished (when all subscriptions have sent their load), stats.
"""

import argparse
import asyncio
import contextlib
import gc
import heapq
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import Buffer
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import header_from_binary

from tests.bench.chain import wire
from tests.bench.chain.browsing import Tree
from tests.bench.chain.load import Load, LoadSubscription
from tests.bench.chain.services import PUBLISH, Book, Services
from tests.bench.chain.space import populate

MODEL_URI = "urn:load"
NUMBERS_APART = 10**9
"""From the serial numbers of one server to those of the next."""
CONGESTED_BYTES = 8_000_000
LARGEST_MESSAGE = 2**24
IDLE_NS = 10_000_000
KEEP_ALIVE_S = 0.1
"""How often it is asked who has to be told that there is nothing."""
_PUBLISH_TYPE = wire.type_id(PUBLISH)


def tell(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, "at": time.time(), **fields}), flush=True)


class Processor(UaProcessor):
    """asyncua's server side of a connection, with the services of the load in front of it."""

    services: Services
    out: list[bytes]

    def send(self, request_id: int, body: bytes) -> None:
        """Send a response when the segment in which its request came has been read."""
        connection = self._connection
        if not self.plain:
            self.out.append(connection.message_to_binary(body, request_id=request_id))
            return
        token, most = connection.security_token, self._limits.max_send_buffer - 24
        number = connection._sequence_number
        parts = wire.chunks(body, most, token.ChannelId, token.TokenId, request_id, number)
        connection._sequence_number += len(parts) // 2
        self.out += parts

    def flush(self) -> None:
        if self.out and not self._transport.is_closing():
            self._transport.write(b"".join(self.out))
        self.out.clear()

    @property
    def plain(self) -> bool:
        return bool(self._connection.security_policy.URI.endswith("#None"))

    @property
    def congested(self) -> bool:
        return bool(self._transport.get_write_buffer_size() > CONGESTED_BYTES)

    @property
    def active(self) -> bool:
        return self.session is not None and bool(self.session.is_activated())

    def alive(self) -> None:
        """Keep asyncua's watchdogs quiet about requests it does not see."""
        self.session_last_activity = time.monotonic()
        if self.session is not None:
            self.session.touch()

    async def process_message(self, seqhdr: Any, body: Any) -> Any:
        data = bytes(body.copy().read(len(body)))
        kind = int.from_bytes(data[2:4], "little") if data[0] == 1 else 0
        if self.active and self.services.answer(kind, seqhdr.RequestId, data, 4):
            self.alive()
            self.services.pump()
            self.flush()
            return True
        return await super().process_message(seqhdr, body)  # type: ignore[no-untyped-call]


class Connection(OPCUAProtocol):
    """PublishRequests without security are read here; everything else goes asyncua's way, in the order of arrival."""

    def __init__(self, plant: "Plant", base: int, **given: Any) -> None:
        super().__init__(**given)
        self.plant, self.base, self.under_way = plant, base, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.processor is None:
            return
        self.processor = processor = Processor(self.iserver, transport, self.limits)
        processor.set_policies(self.policies)  # type: ignore[no-untyped-call]  # asyncua's
        processor.out = []
        processor.services = Services(processor, self.plant.book, self.base, self.plant.on_items)
        self.services, self.loaded = processor.services, processor
        self.plant.connections.add(self)

    def connection_lost(self, ex: BaseException | None) -> None:
        self.plant.connections.discard(self)
        super().connection_lost(ex)

    def resume_writing(self) -> None:
        self.pump()

    def pump(self) -> None:
        self.services.pump()
        self.loaded.flush()

    def data_received(self, data: bytes) -> None:
        received = self._buffer + data if self._buffer else data
        at, published = 0, False
        while len(received) - at >= 8:
            size = int.from_bytes(received[at + 4 : at + 8], "little")
            if not 8 <= size <= LARGEST_MESSAGE:
                self.loaded._transport.close()
                return
            if len(received) - at < size:
                break
            chunk = received[at : at + size]
            if self._is_plain_publish(chunk):
                published = True
                self._publish(chunk)
            else:
                self.under_way += 1
                part = Buffer(chunk)
                self.messages.put_nowait((header_from_binary(part), part))
            at += size
        self._buffer = received[at:]
        if published:
            self.loaded.alive()
            self.pump()

    def _is_plain_publish(self, chunk: bytes) -> bool:
        processor = self.loaded
        return (
            chunk[24:28] == _PUBLISH_TYPE and chunk[:4] == b"MSGF" and not self.under_way and processor.plain
            and processor.active
            and int.from_bytes(chunk[12:16], "little") == processor._connection.security_token.TokenId
        )  # fmt: skip

    def _publish(self, chunk: bytes) -> None:
        self.loaded._connection._peer_sequence_number = int.from_bytes(chunk[16:20], "little")
        self.services.answer(PUBLISH, int.from_bytes(chunk[20:24], "little"), chunk, 28)

    async def _process_one_msg(self, header: Any, buf: Buffer) -> bool:
        try:
            return await super()._process_one_msg(header, buf)
        finally:
            self.under_way -= 1


class Listener(BinaryServer):
    """One port."""

    plant: "Plant"
    base: int

    def _make_protocol(self) -> OPCUAProtocol:
        return Connection(
            self.plant, self.base, iserver=self.iserver, policies=self._policies, clients=self.clients,
            closing_tasks=self.closing_tasks, limits=self.limits,
        )  # fmt: skip


class Plant:
    """All connections, and the load they are under."""

    def __init__(self, variables: int) -> None:
        self.variables, self.book = variables, Book(Tree(variables))
        self.connections: set[Connection] = set()
        self.loaded: list[LoadSubscription] = []
        self._due: list[tuple[int, int]] = []
        """A heap of when which subscription has something to send."""
        self._subscribed: set[int] = set()

    def on_items(self, subscription: LoadSubscription) -> None:
        if len(subscription.items) == self.variables and subscription.number not in self._subscribed:
            self._subscribed.add(subscription.number)
            tell("subscribed", base=subscription.base)

    def begin(self, load: Load) -> None:
        """The subscriptions of a load with a rate begin one after the other, evenly over the time of a response."""
        alive = [s for connection in self.connections for s in connection.services.subscriptions.values() if s.items]
        now_ns, self.loaded = time.time_ns(), alive
        apart_ns = load.per / load.rate_hz * 1e9 / max(1, len(alive)) if load.rate_hz else 0
        for place, subscription in enumerate(alive):
            subscription.begin(load, now_ns + int(place * apart_ns))
        self._due = [(subscription.began_ns, subscription.number) for subscription in alive]
        tell("loading", subscriptions=len(alive))
        self._watch()

    def _watch(self) -> None:
        """Send what is due and come back when the next is, until all has been sent."""
        now_ns = time.time_ns()
        while self._due and self._due[0][0] <= now_ns:
            _, number = heapq.heappop(self._due)
            if (subscription := self.book.subscriptions.get(number)) is not None:
                self.book.owners[number].pump()
                self.book.owners[number].wire.flush()
                wakes_ns = subscription.wakes_at_ns()
                if wakes_ns is not None:
                    heapq.heappush(self._due, (wakes_ns, number))
                elif not subscription.finished:  # it depends on the client, or on the time the load may take
                    heapq.heappush(self._due, (now_ns + IDLE_NS, number))
        if all(subscription.finished for subscription in self.loaded):
            tell("finished", sent=sum(subscription.next for subscription in self.loaded))
            return
        wait_ns = self._due[0][0] - time.time_ns() if self._due else IDLE_NS
        asyncio.get_running_loop().call_later(max(0.0, min(wait_ns, IDLE_NS) / 1e9), self._watch)

    def stats(self) -> dict[str, int]:
        subscriptions = self.book.subscriptions.values()
        return {
            "sent": sum(s.next for s in subscriptions),
            "acknowledged": sum(s.acknowledged for s in subscriptions),
            "unknown_acknowledgements": sum(s.unknown_acknowledgements for s in subscriptions),
            "forgotten": sum(s.forgotten for s in subscriptions),
            "unacknowledged": sum(len(s.kept) for s in subscriptions),
        }


@contextlib.asynccontextmanager
async def prepared(variables: int, pki: Path | None) -> AsyncIterator[Server]:
    """The server before it listens."""
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    server.set_server_name("load")
    await server.set_application_uri("urn:load:server")
    policies = [ua.SecurityPolicyType.NoSecurity]
    if pki:
        policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
        await server.load_certificate(pki / "server.der")
        await server.load_private_key(pki / "server.pem")
    server.set_security_policy(policies)
    assert await server.register_namespace(MODEL_URI) == 2, "clients know the variables by namespace 2"
    await populate(server, variables)
    await server._setup_server_nodes()
    await server.iserver.start()
    server.iserver.max_pending_messages_per_connection = 100_000
    server.iserver.max_connections = 10_000
    try:
        yield server
    finally:
        await server.iserver.stop()


@contextlib.asynccontextmanager
async def listening(server: Server, plant: Plant, count: int) -> AsyncIterator[list[int]]:
    """Listen `count` times; gives the ports."""
    listeners = [Listener(server.iserver, "127.0.0.1", 0, server.limits) for _ in range(count)]
    for number, listener in enumerate(listeners):
        listener.plant, listener.base = plant, number * NUMBERS_APART
        listener.set_policies(server._policies)
        await listener.start()
    try:
        yield [listener.port for listener in listeners]
    finally:
        for listener in listeners:
            await listener.stop()


async def orders() -> AsyncIterator[dict[str, Any]]:
    """The lines of standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


async def beat(plant: Plant) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE_S)
        for connection in list(plant.connections):
            connection.services.keep_alive()
            connection.pump()


async def serve(variables: int, servers: int, pki: Path | None) -> None:
    plant = Plant(variables)
    async with (
        prepared(variables, pki) as server,
        listening(server, plant, servers) as ports,
        asyncio.TaskGroup() as tasks,
    ):
        gc.collect()
        gc.freeze()
        beating = tasks.create_task(beat(plant), name="keep-alives")
        tell("serving", ports=ports, pid=os.getpid())
        async for order in orders():
            if "load" in order:
                plant.begin(Load(**order["load"]))
            if "enough" in order:
                for subscription in plant.loaded:
                    subscription.enough()
            if "stats" in order:
                tell("stats", **plant.stats())
        beating.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variables", type=int, default=1000)
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--security", type=Path, help="folder with server.der and server.pem: offer SignAndEncrypt too")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve(given.variables, given.servers, given.security))


if __name__ == "__main__":
    main()
