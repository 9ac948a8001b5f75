"""Record what servers of three stacks answer, as seeds: `tests/fuzz/recorded/*.hex`, one response a line.

    python -m tests.fuzz.record

A gateway's source reads each server through a relay that keeps what passes.  Of responses that differ in their numbers
only, one is kept, and none that names this machine.  Run it again when the gateway asks for something new.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import gethostname

from tests.fuzz.targets import RECORDED
from tests.support.opcua_peers import ALL_STACKS, stack_server
from tests.support.opcua_source import config, opened, reading

MOST_BYTES = 3000
HEADER = 24
"""Of a message in one chunk without security: type, size, channel, token, sequence number, request."""
KINDS = {829: ("publish", b""), 634: ("answers", b"\x00"), 715: ("answers", b"\x01"), 464: ("answers", b"\x02"),
         530: ("answers", b"\x03"), 754: ("answers", b"\x04")}  # fmt: skip
"""The target of each response by the number of its encoding, and what comes before it there."""


@asynccontextmanager
async def relay(port: int) -> AsyncIterator[tuple[int, list[bytearray]]]:
    """A port that leads to the server's, and what came back on each connection."""
    kept: list[bytearray] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, copy: bytearray) -> None:
        while octets := await reader.read(65536):
            copy += octets
            writer.write(octets)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        kept.append(bytearray())
        await asyncio.gather(pump(reader, server_writer, bytearray()), pump(server_reader, writer, kept[-1]))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], kept


def responses(stream: bytes) -> Iterator[bytes]:
    """The bodies of the messages that came whole, in one chunk."""
    at = 0
    while at + HEADER < len(stream):
        size = int.from_bytes(stream[at + 4 : at + 8], "little")
        if stream[at : at + 4] == b"MSGF":
            yield stream[at + HEADER : at + size]
        at += size


async def record(stack: str) -> list[bytes]:
    """What a source asks for at its start, and the first changes."""
    async with stack_server(stack) as server, relay(server.port) as (port, kept):
        everything = [{"subtree": "/Objects/line-1"}, {"node": "i=2258"}, {"node": "nsu=urn:nobody;i=1"}]
        made = config(f"opc.tcp://127.0.0.1:{port}/", select=everything, keep_alive=3)
        async with opened(made) as source, reading(source) as seen:
            await seen.more(6)
        return [body for stream in kept for body in responses(bytes(stream))]


def main() -> None:
    found: dict[str, dict[str, bytes]] = {}
    for stack in ALL_STACKS:
        for body in asyncio.run(asyncio.wait_for(record(stack), 60)):
            target, before = KINDS.get(int.from_bytes(body[2:4], "little"), ("", b""))
            shape = re.sub(rb"[^A-Za-z]", b"", body).hex() + str(len(body))
            if target and len(body) <= MOST_BYTES and gethostname().encode() not in body:
                found.setdefault(target, {}).setdefault(shape, before + body)
    for target, some in found.items():
        path = Path(RECORDED, f"{target}.hex")
        path.write_text("".join(f"{one.hex()}\n" for one in some.values()), encoding="ascii")
        print(f"{path}: {len(some)} responses, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
