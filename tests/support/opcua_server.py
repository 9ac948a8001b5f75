"""A small OPC UA server of our own making for tests, in a child process, commanded line by line.

Run as `python -m tests.support.opcua_server PORT`.  It serves Objects/line-1/press-{1..N}/… and obeys commands on
standard input, answering each with a line: `set NAME VALUE`, `count N` (writes 0..N-1 to Counter), `bad`, `quit`.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

NAMESPACE = "urn:tests:line"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(eq=False)
class OpcuaServer:
    """The child process, from the test's side."""

    port: int
    process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    async def tell(self, command: str) -> str:
        """Send a command and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command.encode() + b"\n")
        await self.process.stdin.drain()
        return (await asyncio.wait_for(self.process.stdout.readline(), 10)).decode().strip()


@asynccontextmanager
async def opcua_server(port: int = 0, machines: int = 2) -> AsyncIterator[OpcuaServer]:
    """A server that is listening; killed at the end."""
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.opcua_server", str(port), str(machines),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert (await asyncio.wait_for(process.stdout.readline(), 20)).strip() == b"ready"
        yield OpcuaServer(port, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def serve(port: int, machines: int) -> None:
    from asyncua import Server, ua

    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    line = await server.nodes.objects.add_object(index, "line-1")
    variables = {}
    for number in range(1, machines + 1):
        machine = await line.add_object(index, f"press-{number}")
        for name, value in (("Counter", 0), ("Temperature", 20.5), ("State", "Idle"), ("Running", True)):
            node = await machine.add_variable(
                ua.NodeId(ua.String(f"press-{number}.{name}"), ua.Int16(index)), name, value
            )
            variables[f"press-{number}.{name}"] = node
            if name == "Temperature":
                unit = ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", 4408652,
                                        ua.LocalizedText("°C"), ua.LocalizedText("degree Celsius"))  # fmt: skip
                await node.add_property(0, "EngineeringUnits", unit)
    async with server:
        print("ready", flush=True)
        while command := await asyncio.to_thread(sys.stdin.readline):
            verb, *rest = command.split()
            if verb == "set":
                await variables[rest[0]].write_value(float(rest[1]))
            elif verb == "count":
                for value in range(int(rest[0]), int(rest[1])):
                    await variables["press-1.Counter"].write_value(value, ua.VariantType.Int64)
            elif verb == "bad":
                bad = ua.DataValue(ua.Variant(), ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSensorFailure)))
                await server.write_attribute_value(variables["press-1.Temperature"].nodeid, bad)
            elif verb == "drop-subscriptions":
                service = server.iserver.subscription_service
                await service.delete_subscriptions(list(service.subscriptions))
            print(f"done {command.strip()}", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
