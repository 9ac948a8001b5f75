"""A small OPC UA server of our own making for tests, in a child process, commanded line by line.

Run as `python -m tests.support.opcua_server PORT`.  It serves Objects/line-1/press-{1..N}/… and obeys commands on
standard input, answering each with a line: `set NAME VALUE`, `count A B [PERIOD [NAME]]` (writes A to B-1),
`bad`, `quit`.
"""

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.support.forked import Forked
from tests.support.forked import fork as fork_of
from tests.support.ports import free_port

if TYPE_CHECKING:
    from asyncua import Node, Server

NAMESPACE = "urn:tests:line"


@dataclass(eq=False)
class OpcuaServer:
    """The child process, from the test's side."""

    port: int
    process: "asyncio.subprocess.Process | ForkedProcess | HostedServer"

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    async def tell(self, command: str) -> str:
        """Send a command and wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"\n")
        await self.process.stdin.drain()
        return await self.heard("done", "error")

    async def heard(self, *beginnings: str) -> str:
        """The next line of the server that begins like one of these; what its library prints is passed over."""
        assert self.process.stdout is not None
        while line := (await asyncio.wait_for(self.process.stdout.readline(), 180)).decode():
            if line.startswith(beginnings):
                return line.strip()
        raise AssertionError("the server ended")


@asynccontextmanager
async def started(port: int, *command: str) -> AsyncIterator[OpcuaServer]:
    """A server in a child process, once it is listening; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        server = OpcuaServer(port, process)
        await server.heard("ready")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def command_of(port: int, machines: int = 2) -> list[str]:
    return [sys.executable, "-m", "tests.support.opcua_server", str(port), str(machines)]


class ForkedProcess:
    """A fork with pipes, with the interface of `asyncio.subprocess.Process` that is used here."""

    def __init__(self, fork: Forked, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader) -> None:
        self.stdin, self.stdout = stdin, stdout
        self.pid, self.kill, self.send_signal = fork.pid, fork.kill, fork.send_signal
        self._fork = fork

    async def wait(self) -> int:
        return await asyncio.to_thread(self._fork.wait, 60)


class HostedServer:
    """A server among others of one process, with the interface of a process; commanded over a Unix socket."""

    def __init__(self, pid: int, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout

    def kill(self) -> None:
        """End this server, without a word to its clients."""
        self.stdin.write_eof()

    def send_signal(self, number: int) -> None:
        """To the process, with all its servers."""
        os.kill(self.pid, number)

    async def wait(self) -> None:
        """Until its port is free."""
        await asyncio.wait_for(self.stdout.read(), 60)
        self.stdin.close()


@asynccontextmanager
async def opcua_server(port: int = 0, machines: int = 2) -> AsyncIterator[OpcuaServer]:
    """An asyncua server that is listening; killed at the end."""
    port = port or free_port()
    loop = asyncio.get_running_loop()
    (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    fork = await asyncio.to_thread(fork_of, *command_of(port, machines)[2:], streams=(theirs_in, theirs_out, null))
    for each in (theirs_in, theirs_out, null):
        os.close(each)
    reader = asyncio.StreamReader()
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours_out, "rb", 0)
    )
    writing, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(ours_in, "wb", 0))
    process = ForkedProcess(fork, asyncio.StreamWriter(writing, protocol, None, loop), reader)
    try:
        server = OpcuaServer(port, process)
        await server.heard("ready")
        yield server
    finally:
        process.kill()
        await process.wait()
        reading.close()
        writing.close()


async def serve(port: int, machines: int) -> None:
    from asyncua import Server, ua

    from tests.support.owned_subscriptions import own_subscriptions

    server = Server()
    gc.disable()  # the standard address space is 6 000 nodes that stay
    await server.init()
    gc.enable()
    gc.freeze()
    own_subscriptions(server)
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
    await _add_structures(server, index)
    events = await server.get_event_generator()
    async with server:
        kept = variables["press-2.Counter"]
        history = server.iserver.history_manager.storage
        await history.new_historized_node(kept.nodeid, timedelta(days=1), 10_000)
        for level in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
            await kept.set_attr_bit(level, ua.AccessLevel.HistoryRead)
        print("ready", flush=True)
        running = []
        while command := await asyncio.to_thread(sys.stdin.readline):
            verb, *rest = command.split()
            if verb == "set":
                await variables[rest[0]].write_value(float(rest[1]))
            elif verb == "count":
                await _count(variables, *rest)
            elif verb == "run":  # like count, beside other commands
                running.append(asyncio.create_task(_count(variables, *rest)))
            elif verb == "bad":
                bad = ua.DataValue(ua.Variant(), ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSensorFailure)))
                await server.write_attribute_value(variables["press-1.Temperature"].nodeid, bad)
            elif verb == "history":  # writes A to B-1 to the variable whose history is kept
                for value in range(int(rest[0]), int(rest[1])):
                    await kept.write_value(value, ua.VariantType.Int64)
                    await history.save_node_value(kept.nodeid, await kept.read_data_value())
            elif verb == "event":
                events.event.Severity = ua.UInt16(int(rest[0]))
                await events.trigger(message=rest[1])
            elif verb == "instance":  # one more of the type of press
                kind = server.get_node(ua.NodeId(ua.String("PressType"), ua.Int16(index)))
                await _add_instance(line, kind, index, rest[0], 2.5)
            elif verb == "drop-subscriptions":  # all, or those with this publishing interval in milliseconds
                service = server.iserver.subscription_service
                meant = [
                    n
                    for n, s in service.subscriptions.items()
                    if not rest or s.data.RevisedPublishingInterval == float(rest[0])
                ]
                await service.delete_subscriptions(meant)
            print(f"done {command.strip()}", flush=True)


async def _count(
    variables: dict[str, "Node"], first: str, last: str, period: str = "0", name: str = "press-1.Counter"
) -> None:
    from asyncua import ua

    for value in range(int(first), int(last)):
        await variables[name].write_value(value, ua.VariantType.Int64)
        await asyncio.sleep(float(period))


async def _add_structures(server: "Server", index: int) -> None:
    """Objects/recipes/Recipe: a structure with a nested one, arrays, an optional field and a union."""
    from asyncua import ua
    from asyncua.common.structures104 import new_struct, new_struct_field

    step, _ = await new_struct(server, index, "Step", [
        new_struct_field("Name", ua.VariantType.String), new_struct_field("Seconds", ua.VariantType.Double)
    ])  # fmt: skip
    limit, _ = await new_struct(server, index, "Limit", [
        new_struct_field("Celsius", ua.VariantType.Double), new_struct_field("Level", ua.VariantType.Int32)
    ], is_union=True)  # fmt: skip
    await new_struct(server, index, "Recipe", [
        new_struct_field("Id", ua.VariantType.UInt32),
        new_struct_field("Note", ua.VariantType.String, optional=True),
        new_struct_field("Comment", ua.VariantType.String, optional=True),
        new_struct_field("First", step), new_struct_field("Steps", step, array=True),
        new_struct_field("Speeds", ua.VariantType.Double, array=True), new_struct_field("Limit", limit),
    ])  # fmt: skip
    made = await server.load_data_type_definitions()
    one, two = made["Step"](Name="heat", Seconds=1.5), made["Step"](Name="press", Seconds=2.5)
    bound = made["Limit"]()
    bound.Level = 7
    recipe = made["Recipe"](Id=5, Note=None, Comment="ok", First=one, Steps=[one, two], Speeds=[1.0, 2.0], Limit=bound)
    recipes = await server.nodes.objects.add_object(index, "recipes")
    press_type = await server.nodes.base_object_type.add_object_type(
        ua.NodeId(ua.String("PressType"), ua.Int16(index)), "PressType"
    )
    special_type = await press_type.add_object_type(index, "SpecialPressType")
    for name, kind in (("typed-1", press_type), ("typed-2", special_type)):
        await _add_instance(recipes, kind, index, name, 1.5)
    kept = await recipes.add_variable(ua.NodeId(ua.String("Recipe"), ua.Int16(index)), "Recipe", recipe)
    await kept.set_writable()
    await _add_shapes(server, recipes, index)

    async def cook(parent: ua.NodeId, one: ua.Variant) -> list[ua.Variant]:
        return [ua.Variant(one.Value.Id, ua.VariantType.UInt32)]

    argument = ua.Argument(Name="Recipe", DataType=await kept.read_data_type(), ValueRank=ua.Int32(-1))
    await recipes.add_method(index, "Cook", cook, [argument], [ua.VariantType.UInt32])


async def _add_shapes(server: "Server", recipes: "Node", index: int) -> None:
    """Objects/recipes: Grid, a matrix of 2 x 2, and Doors, an option set."""
    from asyncua import ua

    kind = await server.get_node(ua.ObjectIds.Byte).add_data_type(index, "DoorSet")
    doors = [ua.EnumField(Name=name, Value=bit) for bit, name in ((0, "Front"), (3, "Back"))]
    await kind.write_data_type_definition(ua.EnumDefinition(Fields=doors))
    grid = ua.Variant([1, 2, 3, 4], ua.VariantType.Int32, is_array=True, Dimensions=[ua.Int32(2), ua.Int32(2)])
    for name, value, rank, data_type in (
        ("Grid", grid, 2, ua.NodeId(ua.Int32(ua.ObjectIds.Int32), ua.Int16(0))),
        ("Doors", ua.Variant(0, ua.VariantType.Byte), -1, kind.nodeid),
    ):
        node = await recipes.add_variable(ua.NodeId(ua.String(name), ua.Int16(index)), name, value, datatype=data_type)
        await node.write_value_rank(ua.ValueRank(rank))
        if rank > 1:
            await node.write_array_dimensions([2, 2])  # type: ignore[arg-type]  # it takes a list
        await node.set_writable()


async def _add_instance(parent: "Node", kind: "Node", index: int, name: str, force: float) -> None:
    from asyncua import ua

    instance = await parent.add_object(index, name, objecttype=kind.nodeid)
    await instance.add_variable(ua.NodeId(ua.String(f"{name}.Force"), ua.Int16(index)), "Force", force)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
