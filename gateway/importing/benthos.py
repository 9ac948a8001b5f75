"""The OPC UA input of benthos-umh (United Manufacturing Hub), in a YAML file of a stream, bridge or template."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.errors import ConfigError
from gateway.importing.connections import Connections, secured
from gateway.importing.files import yaml_of
from gateway.importing.imported import Imported, Reader, Tree, add_selection, node_text

_HERE = "has no meaning here:"
INPUT: Mapping[str, str] = {
    "serverCertificateFingerprint": f"{_HERE} see `gateway cert trust`",
    "clientCertificate": f"{_HERE} see `security.pki`",
    "userCertificate": f"{_HERE} see `user_certificate`", "userPrivateKey": f"{_HERE} see `user_key`",
    "autoReconnect": f"{_HERE} the gateway reconnects by itself", "directConnect": f"{_HERE} see `url`",
    "reconnectIntervalInSeconds": f"{_HERE} see `reconnect`", "insecure": "", "queueSize": f"{_HERE} see `queue_size`",
    "browseHierarchicalReferences": f"{_HERE} subtrees follow all hierarchical references",
    "pollRateMs": f"{_HERE} see `publishing_interval`",
    "profile": f"{_HERE} calls are as large as the server takes them",
}  # fmt: skip
MOST_DEPTH = 30


def read(path: Path) -> Imported:
    """Read a file.  Raises `ConfigError`."""
    found = Imported("the OPC UA input of benthos-umh")
    connections = Connections(found.notes)
    inputs = list(_inputs(yaml_of(path), f"{path}: the file", 0))
    if not inputs:
        raise ConfigError([f"{path}: has no input `opcua` with an endpoint"])
    for said, where in inputs:
        _input(Reader(said, where, found.notes, INPUT), connections)
    found.sources = connections.sources
    found.payload = {"format": "json", "topic": "umh/{source}/{tag}"}
    return found


def _inputs(said: object, where: str, depth: int) -> Iterator[tuple[Mapping[str, object], str]]:
    """Every object `opcua` with an endpoint, however deep: brokers of inputs, templates, arrays."""
    if depth > MOST_DEPTH:
        return
    pairs = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for key, value in pairs:
        place = f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}"
        if key == "opcua" and isinstance(value, dict) and "endpoint" in value:
            yield value, place
        else:
            yield from _inputs(value, place, depth + 1)


def _input(reader: Reader, connections: Connections) -> None:
    username = reader.text("username")
    settings: Tree = {"url": reader.text("endpoint")}
    settings |= secured(reader.text("securityPolicy"), reader.text("securityMode"), reader.where, reader.notes,
                        has_password=bool(username))  # fmt: skip
    if username:
        settings |= {"username": username, "password": {}}
        if reader.text("password"):
            reader.notes.add(f"{reader.where}.password", "the password is not copied: set the variable")
    if (timeout := reader.get("sessionTimeout", float)) and timeout >= 1:
        settings["session_timeout"] = timeout / 1000
    heartbeat: Tree = {"heartbeat": 10.0} if reader.get("useHeartbeat", bool) else {}
    if not reader.get("subscribeEnabled", bool):
        settings["mode"] = "poll"
        settings["publishing_interval"] = (reader.get("pollRate", float) or 1000.0) / 1000
    else:
        reader.get("pollRate", float)
    source = connections.of(settings, f"{reader.where}.endpoint")
    for number, node in enumerate(reader.get("nodeIDs", list) or []):
        where = f"{reader.where}.nodeIDs[{number}]"
        if number == 0:
            reader.notes.add(where, "benthos-umh browses below folders: for a folder, write `subtree`, not `node`")
        add_selection(source, {"node": node_text(str(node)), **heartbeat}, where, reader.notes)
    reader.rest()
