"""The server of the campaign of commands: one set-point and one method, and a record of every value it was given.

    python -m tests.chaos.judge_server PORT RECORD

The record is written before the value is taken, so whatever has happened stands in it, also over `kill -9`.
"""

import asyncio
import os
import sys

from asyncua import Server, ua, uamethod
from asyncua.common.callback import CallbackType

URI = "urn:tests:judge"


async def serve(port: int, record: str) -> None:
    fd = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    node = await server.nodes.objects.add_variable(ua.NodeId("SetPoint", index), "SetPoint", 0.0)  # type: ignore[arg-type]
    await node.set_writable()

    def note(event: object, dispatcher: object) -> None:
        for each in event.request_params.NodesToWrite:  # type: ignore[attr-defined]
            if each.NodeId == node.nodeid:  # the server writes its own state in the same way
                os.write(fd, b"%d\n" % each.Value.Value.Value)

    @uamethod
    def take(parent: object, number: float) -> float:
        os.write(fd, b"%d\n" % number)
        return number

    server.subscribe_server_callback(CallbackType.PreWrite, note)
    number = ua.Argument(Name="Number", DataType=ua.NodeId(ua.ObjectIds.Double), ValueRank=-1)  # type: ignore[arg-type]
    method = ua.NodeId("Take", index)  # type: ignore[arg-type]
    await server.nodes.objects.add_method(method, ua.QualifiedName("Take", index), take, [number], [number])
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
