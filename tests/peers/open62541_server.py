"""An open62541 server for the contract tests, through the binding `o6`: run by an interpreter of its own, for minutes.

Usage: python open62541_server.py DESCRIPTOR.  Serves each connection to this listening socket with an OPC UA server of
its own: the first line says which, in JSON, the further ones are its commands, and with the connection it ends.
Same address space and commands as tests/support/opcua_server.py.  It imports nothing of the project.
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable

import o6


class Access(o6.AccessControl):
    """Anonymous sessions may take up each other's subscriptions, unless told otherwise."""

    transfers = True

    def allowTransferSubscription(self, old: object, new: object) -> bool:  # noqa: N802 - the binding's name
        return self.transfers


async def main(listening: socket.socket) -> None:
    served = await asyncio.start_unix_server(serve, sock=listening)
    while await asyncio.to_thread(sys.stdin.readline):
        pass
    served.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    def say(line: str) -> None:
        writer.write(line.encode() + b"\n")

    try:
        asked = json.loads(await reader.readline())
        await obey(reader, say, asked["port"], asked["machines"], asked["options"])
    finally:
        writer.close()


async def obey(
    reader: asyncio.StreamReader, say: Callable[[str], None], port: int, machines: int, options: dict[str, object]
) -> None:
    access = Access()
    access.transfers = bool(options.get("transfers", True))
    server = o6.Server(port=port, applicationUri="urn:tests:line", accessControl=access)
    line = await server.addObject("line-1", server.objectsNode, nodeId="ns=1;s=line-1")
    variables = {}
    for number in range(1, machines + 1):
        machine = await server.addObject(f"press-{number}", line, nodeId=f"ns=1;s=press-{number}")
        for name, value in (("Counter", 0), ("Temperature", 20.5), ("State", "Idle"), ("Running", True)):
            path = f"press-{number}.{name}"
            variables[path] = await server.addVariable(name, machine, value, nodeId=f"ns=1;s={path}")
    many, group, per_group = [], line, int(str(options.get("per_group", 0)))
    for number in range(int(str(options.get("extra", 0)))):
        if per_group and number % per_group == 0:
            name = f"group-{number // per_group}"
            group = await server.addObject(name, line, nodeId=f"ns=1;s={name}")
        many.append(await server.addVariable(f"v{number}", group, float(number), nodeId=f"ns=1;s=v{number}"))
    server.start()
    while not await listens(port):  # noqa: ASYNC110 - the binding says nothing when it listens
        await asyncio.sleep(0.02)
    say("ready")
    running = []
    while line_read := await reader.readline():
        verb, *rest = line_read.decode().split()
        if verb == "set":
            await variables[rest[0]](float(rest[1]))
        elif verb == "count":
            await count(variables, *rest)
        elif verb == "stir":
            await stir(many, float(rest[0]))
        elif verb == "run":  # like count, beside other commands
            running.append(asyncio.create_task(count(variables, *rest)))
        say(f"done {line_read.decode().strip()}")
    for each in running:
        each.cancel()
    server.stop()
    while await listens(port):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.02)


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def count(
    variables: dict[str, Callable[[int], Awaitable[None]]],
    first: str,
    last: str,
    period: str = "0",
    name: str = "press-1.Counter",
) -> None:
    for value in range(int(first), int(last)):
        await variables[name](value)
        await asyncio.sleep(float(period))


async def stir(variables: list[Callable[[float], Awaitable[None]]], seconds: float) -> None:
    """Every variable of `extra` once, spread over so many seconds."""
    value = time.monotonic()
    for first in range(0, len(variables), 1000):
        for variable in variables[first : first + 1000]:
            await variable(value)
        await asyncio.sleep(seconds * 1000 / len(variables))


if __name__ == "__main__":
    asyncio.run(main(socket.socket(fileno=int(sys.argv[1]))))
