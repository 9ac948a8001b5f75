"""`flows.json` of Node-RED, with the nodes of node-red-contrib-opcua.

A wire from an `OpcUa-Item` (or an `inject` whose topic is a node id) to an `OpcUa-Client` is a selection of the
client's endpoint, and one from an `OpcUa-Event` a selection of events.  A client that reads does so for each message
that comes, so its interval is that of the `inject` before it.  The topic is that of the first `mqtt out` behind the
client, as the field `path`; what stands between them is told.  The logins are in `flows_cred.json`, encrypted, and are
not read.  The fields are those that version 0.2.354 registers.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.errors import ConfigError
from gateway.importing.connections import Connections, secured
from gateway.importing.files import json_of
from gateway.importing.imported import Imported, ImportedSource, Reader, Tree, add_selection, node_text

_HERE = "has no meaning here:"
_DRAWN = dict.fromkeys(("z", "x", "y", "g", "l", "info", "env", "outputs", "inputs", "icon"), f"{_HERE} it is drawn so")
ENDPOINT: Mapping[str, str] = {
    "none": f"{_HERE} it says that nobody logs in", "usercert": "is not supported: see `user_certificate`",
    "usercertificate": "is not supported: see `user_certificate`", "userprivatekey": "is not supported: see `user_key`",
}  # fmt: skip
CLIENT: Mapping[str, str] = {
    name: f"{_HERE} {why}"
    for why, names in {
        "see `security.pki`": ("certificate", "localfile", "localkeyfile", "securitymode", "securitypolicy"),
        "it is bounded by itself": ("useTransport", "maxChunkCount", "maxMessageSize", "receiveBufferSize",
                                    "sendBufferSize"),
        "statuses and times always come along": ("setstatusandtime",),
        "sessions are kept": ("keepsessionalive",),
        "names are those of the server, or `name`": ("applicationName", "applicationUri"),
    }.items()
    for name in names
}  # fmt: skip
READING = ("subscribe", "monitor", "read", "readmultiple", "events")
_UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
Node = Mapping[str, object]


class Flows:
    """The nodes of a file, by id."""

    def __init__(self, said: list[object], path: Path) -> None:
        self.path = path
        nodes = [each for each in said if isinstance(each, dict) and "id" in each]
        self.nodes: dict[str, Node] = {str(each["id"]): each for each in nodes}

    def of_type(self, *types: str) -> Iterator[Node]:
        """The nodes of these types that are not disabled."""
        return (node for node in self.nodes.values() if node.get("type") in types and not node.get("d"))

    def behind(self, node: Node) -> Iterator[Node]:
        """The nodes that its wires lead to."""
        wires = node.get("wires")
        for ends in wires if isinstance(wires, list) else ():
            for end in ends if isinstance(ends, list) else ():
                if (found := self.nodes.get(str(end))) is not None and not found.get("d"):
                    yield found

    def all_behind(self, node: Node) -> Iterator[Node]:
        """All nodes that its messages may reach, the nearest first."""
        seen, waiting = {id(node)}, [node]
        while waiting:
            for each in self.behind(waiting.pop(0)):
                if id(each) not in seen:
                    seen.add(id(each))
                    waiting.append(each)
                    yield each

    def all_before(self, node: Node) -> list[Node]:
        """All nodes whose messages may reach it."""
        return [each for each in self.nodes.values() if any(found is node for found in self.all_behind(each))]

    def where(self, node: Node) -> str:
        name = node.get("name")
        return f"{self.path}: {node.get('type')} {name or node.get('id')}"


def read(path: Path) -> Imported:
    """Read a file.  Raises `ConfigError`."""
    said = json_of(path)
    if not isinstance(said, list):
        raise ConfigError([f"{path}: must be an array of nodes, as flows.json has it"])
    flows, found = Flows(said, path), Imported("flows.json of Node-RED")
    connections = Connections(found.notes)
    sources = {id(client): _source(flows, client, connections, found) for client in flows.of_type("OpcUa-Client")}
    topics = {id(client): _topic(flows, client, found) for client in flows.of_type("OpcUa-Client")}
    for item in flows.of_type("OpcUa-Item", "OpcUa-Event", "inject"):
        node = str(item.get("item") or item.get("root") or item.get("topic") or "")
        for client in flows.behind(item) if "=" in node else ():
            source = sources.get(id(client))
            if source is not None:
                _select(flows, item, node, client, source, topics[id(client)], found)
    found.sources = connections.sources
    found.payload = {"format": "json", "topic": "{path}"}
    return found


def _source(flows: Flows, client: Node, connections: Connections, found: Imported) -> ImportedSource | None:
    """The server of a client; None for one that does not read."""
    where, notes = flows.where(client), found.notes
    reader = Reader(client, where, notes, {**CLIENT, **_DRAWN})
    for name in ("id", "type", "wires", "name", "d", "deadbandtype", "deadbandvalue"):
        reader.get(name, object)
    action = reader.text("action")
    if action not in READING:
        notes.add(where, f"{action or 'no action'} is not supported: allow it in `commands`")
        return None
    endpoint = flows.nodes.get(reader.text("endpoint"))
    if endpoint is None:
        raise ConfigError([f"{where}: its endpoint is not in the file: export it with the flow"])
    settings = _settings(Reader(endpoint, flows.where(endpoint), notes, {**ENDPOINT, **_DRAWN}))
    time_s = _number(client.get("time")) * _UNITS_S.get(str(client.get("timeUnit")), 1.0)
    reader.get("time", object)
    reader.text("timeUnit")
    if action.startswith("read"):  # for each message that comes: `time` is for what watches
        settings["mode"] = "poll"
        triggers = [each for each in flows.all_before(client) if each.get("type") == "inject" and not each.get("d")]
        time_s = min((repeat for each in triggers if (repeat := _number(each.get("repeat")))), default=0.0)
        if not time_s:
            notes.add(where, "is read when a message comes: set `publishing_interval`")
    if time_s:
        settings["publishing_interval"] = time_s
    reader.rest()
    return connections.of(settings, where)


def _settings(reader: Reader) -> Tree:
    for name in ("id", "type", "wires", "name", "d"):
        reader.get(name, object)
    has_login = bool(reader.get("login", bool))
    settings: Tree = {"url": reader.text("endpoint")}
    mode = reader.text("secmode")
    settings |= secured(reader.text("secpol"), mode, reader.where, reader.notes, has_password=has_login)
    if has_login:
        settings |= {"username": "change-me", "password": {}}
        reader.notes.add(reader.where, "the login is in flows_cred.json: set `username` and the variable")
    reader.rest()
    return settings


def _topic(flows: Flows, client: Node, found: Imported) -> str:
    """Where the values of a client go: to the nearest `mqtt out`.  Notes its broker, and what stands between."""
    between: list[Node] = []
    for node in flows.all_behind(client):
        if node.get("type") == "mqtt out":
            for each in between:
                found.notes.add(flows.where(each), "has no counterpart: it stays in Node-RED, behind the broker")
            _broker(flows, node, found)
            return str(node.get("topic") or "").strip("/")
        if node.get("type") not in ("debug", "OpcUa-Item", "OpcUa-Client"):
            between.append(node)
    return ""


def _broker(flows: Flows, out: Node, found: Imported) -> None:
    broker = flows.nodes.get(str(out.get("broker")))
    if broker is None:
        return
    host, port = str(broker.get("broker") or "localhost"), str(broker.get("port") or "1883")
    scheme = "mqtts" if broker.get("usetls") else "mqtt"
    url = host if "://" in host else f"{scheme}://{host}:{port}"
    if found.broker.setdefault("url", url) != url:
        found.notes.add(flows.where(broker), "is another broker: add it to `brokers`")
    found.notes.add(flows.where(broker), "a login, if there is one, is in flows_cred.json: set username and password")


def _select(
    flows: Flows, item: Node, node: str, client: Node, source: ImportedSource, topic: str, found: Imported
) -> None:
    where, name = flows.where(item), str(item.get("name") or "")
    selection: Tree = {"node": node_text(node), "fields": {"path": topic or str(source.settings["name"])}}
    if client.get("action") == "events":
        selection = {"events": selection.pop("node"), **selection}
        if kind := item.get("customeventtype" if item.get("activatecustomevent") else "eventtype"):
            selection["event_types"] = [node_text(str(kind))]
    if name:
        selection["name"] = name
    if client.get("action") == "monitor" and (band := _number(client.get("deadbandvalue"))):
        selection["deadband_percent" if client.get("deadbandtype") == "p" else "deadband"] = band
        if client.get("deadbandtype") == "p":
            found.notes.add(
                flows.where(client), "its dead-band is one of percent here; Node-RED has taken it as absolute"
            )
    add_selection(source, selection, where, found.notes)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
