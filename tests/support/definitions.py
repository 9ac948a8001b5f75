"""Definitions of data types as they come from a server: encoded by asyncua, decoded by the gateway."""

from asyncua import ua
from asyncua.ua.ua_binary import extensionobject_to_binary

from gateway.opcua.codec.standard import DEFINITIONS
from gateway.opcua.codec.wire import Dialect, Reader, read_structure
from gateway.values import Structure


def told(said: ua.StructureDefinition | ua.EnumDefinition, uris: tuple[str, ...] = ()) -> Structure:
    body = extensionobject_to_binary(said)
    read = read_structure(Reader(body, 0, len(body), Dialect(uris, DEFINITIONS)))
    assert isinstance(read, Structure)
    return read
