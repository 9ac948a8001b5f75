"""A server that is odd in ways that are allowed, or common; a child process: `python -m tests.support.odd_server PORT`.

Two namespaces of one URI and two without any; node ids that end in a space or are not UTF-8; a structure that only the
old type dictionary describes, one that nothing describes; structures with an XML body, among them a unit; a unit,
a range and states that are cut short; values without any time.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.opcua_server import OpcuaServer, started
from tests.support.ports import free_port

NAMESPACE = "urn:tests:odd"
XML = b"<Value/>"


@asynccontextmanager
async def odd_server() -> AsyncIterator[OpcuaServer]:
    port = free_port()
    async with started(port, sys.executable, "-m", "tests.support.odd_server", str(port)) as server:
        yield server


def node_id(identifier: Any, space: Any) -> Any:
    from asyncua import ua

    return ua.NodeId(identifier, space)


async def serve(port: int) -> None:
    from asyncua import Server, ua
    from asyncua.common.type_dictionary_builder import DataTypeDictionaryBuilder, get_ua_class

    _with_xml_bodies()
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    builder: Any = DataTypeDictionaryBuilder(server, index, NAMESPACE, "Dict")
    await builder.init()
    motor_type: Any = await builder.create_data_type("Motor")
    motor_type.add_field("speed", ua.VariantType.Float)
    motor_type.add_field("running", ua.VariantType.Boolean)
    motor_type.add_field("name", ua.VariantType.String)
    await builder.set_dict_byte_string()
    await server.load_type_definitions()
    motor = get_ua_class("Motor")()
    motor.speed, motor.running, motor.name = 12.5, True, "M1"
    structure = server.get_node(node_id(22, 0))
    secret_type = await structure.add_data_type(index, "Secret")
    encoding = await secret_type.add_object(index, "Default Binary", node_id(76, 0))
    await secret_type.add_reference(encoding, ua.ObjectIds.HasEncoding, True, False)
    secret = ua.ExtensionObject(encoding.nodeid, ua.ByteString(b"\1\2\3"))

    plant = await server.nodes.objects.add_object(node_id("Plant", index), ua.QualifiedName("Plant", index))

    async def put(identifier: str, value: Any, data_type: Any = None, space: int = index) -> Any:
        variant = ua.Variant(value, ua.VariantType.ExtensionObject) if data_type else ua.Variant(value)
        name = ua.QualifiedName(ua.String(identifier.strip() or "?"), ua.UInt16(space))
        node = await plant.add_variable(node_id(identifier, space), name, variant, datatype=data_type)
        server.iserver.aspace[node.nodeid].attributes[ua.AttributeIds.Value].value = ua.DataValue(variant)
        return node

    base = len(await server.get_namespace_array())
    uris = [*await server.get_namespace_array(), "urn:dup", "urn:dup", "", ""]
    await server.get_node(node_id(2255, 0)).write_value(uris)
    for n in range(4):
        await put("X", 10.0 + n, space=base + n)
    await put("trailing ", 1.0)
    await put("trailing", 2.0)
    await put("lat\udcf6n1", 3.0)
    await put("motor", motor, motor_type.data_type)
    await put("secret", secret, secret_type.nodeid)
    await put("xml", ua.ExtensionObject(node_id(6001, 4), ua.ByteString(XML)), structure.nodeid)
    weighed = await put("weight", 4.0)
    unit = ua.Variant(ua.ExtensionObject(node_id(6001, 4), ua.ByteString(XML)), ua.VariantType.ExtensionObject)
    await weighed.add_property(0, "EngineeringUnits", unit, datatype=structure.nodeid)
    level = await put("level", 6.0)
    for name, encoding_id in (("EngineeringUnits", 889), ("EURange", 886), ("EnumValues", 8251)):
        cut = ua.Variant(
            ua.ExtensionObject(node_id(encoding_id, 0), ua.ByteString(b"\7")), ua.VariantType.ExtensionObject
        )
        await level.add_property(0, name, cut, datatype=structure.nodeid)
    await put("zz", 5.0)
    async with server:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def _with_xml_bodies() -> None:
    """Let structures with the encoding id ns=4;i=6001 have an XML body."""
    import struct

    from asyncua import ua
    from asyncua.ua import ua_binary

    forward = ua_binary.extensionobject_to_binary

    def encoded(obj: Any) -> bytes:
        if isinstance(obj, ua.ExtensionObject) and obj.TypeId == node_id(6001, 4):
            return ua_binary.nodeid_to_binary(obj.TypeId) + b"\x02" + struct.pack("<i", len(XML)) + XML
        return forward(obj)

    ua_binary.extensionobject_to_binary = encoded


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
