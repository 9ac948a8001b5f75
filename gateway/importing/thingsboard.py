"""`opcua.json` of ThingsBoard's IoT gateway: devices by patterns of paths, keys by paths below or absolute.

`Root\\.Objects\\.Device1` becomes the path `/Objects/Device1`.  A pattern becomes a subtree with `include`, as far as
`.*` and `\\d+` allow: each is `*`, one level.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import ConfigError
from gateway.importing.connections import Connections, secured
from gateway.importing.files import json_of
from gateway.importing.imported import Imported, ImportedSource, Reader, Tree, add_selection, node_text

_HERE = "has no meaning here:"
SERVER: Mapping[str, str] = {
    "name": f"{_HERE} sources are named by their host", "showMap": f"{_HERE} see `gateway browse`",
    "scanPeriodInMillis": f"{_HERE} see `rebrowse` of the source", "subCheckPeriodInMillis": f"{_HERE} see `rebrowse`",
    "enableSubscriptions": f"{_HERE} see `mode`", "uploadPeriodInMillis": f"{_HERE} what has arrived is sent at once",
    "sessionTimeoutInMillis": f"{_HERE} see `session_timeout`", "patterns": f"{_HERE} paths are used as they are",
    "statistics": f"{_HERE} see /metrics", "queueSize": f"{_HERE} see `queue_size`",
}  # fmt: skip
MAPPING: Mapping[str, str] = {
    "rpc_methods": "is not supported: allow methods in `commands`",
    "attributes_updates": "is not supported: allow writing in `commands`",
    "attributesUpdates": "is not supported: allow writing in `commands`",
    "rpcMethods": "is not supported: allow methods in `commands`",
    "deviceTypePattern": f"{_HERE} devices have no type", "deviceProfileExpression": f"{_HERE} devices have no profile",
    "converter": f"{_HERE} see `payload.format`", "reportStrategy": f"{_HERE} see `shape` and `trigger`",
}  # fmt: skip
_REGEX = re.compile(r"\.\*|\\d\+|\\w\+|\[\^?[^\]]*\][+*]?")
_STAR = "\ue000"


def read(path: Path) -> Imported:
    """Read a file.  Raises `ConfigError`."""
    said = json_of(path)
    if not isinstance(said, dict):
        raise ConfigError([f"{path}: must be an object with server and mapping"])
    found = Imported("opcua.json of ThingsBoard's gateway")
    top = Reader(said, f"{path}: the file", found.notes, {"logLevel": f"{_HERE} see `log_level`", "name": "", "id": ""})
    server = top.get("server", dict)
    if server is None:
        raise ConfigError([f"{path}: server: is missing: it has the url"])
    reader = Reader(server, f"{path}: server", found.notes, SERVER)
    connections = Connections(found.notes)
    settings = _settings(reader)
    mappings = [*top.objects("mapping"), *reader.objects("mapping")]
    reader.rest()
    top.rest()
    for mapping, where in mappings:
        source = connections.of(settings, f"{reader.where}.url")
        _mapping(Reader(mapping, where, found.notes, MAPPING), source)
    found.sources = connections.sources
    found.payload = {"format": "json", "topic": "{device}"}
    return found


def _settings(reader: Reader) -> Tree:
    url = reader.text("url")
    identity = Reader(reader.get("identity", dict) or {}, f"{reader.where}.identity", reader.notes, {})
    username, has_password = identity.text("username"), bool(identity.text("password"))
    settings: Tree = {"url": url if "://" in url else f"opc.tcp://{url}"}
    settings |= secured(reader.text("security"), identity.text("mode"), reader.where, reader.notes,
                        has_password=bool(username))  # fmt: skip
    if username:
        settings |= {"username": username, "password": {}}
        if has_password:
            reader.notes.add(f"{identity.where}.password", "the password is not copied: set the variable")
    for name in ("caCert", "certificate", "privateKey"):
        if identity.text(name):
            reader.notes.add(f"{identity.where}.{name}", f"{name} has no meaning here: see `security.pki`")
    identity.text("type")
    identity.rest()
    if timeout := reader.get("timeoutInMillis", float):
        settings["request_timeout"] = timeout / 1000
    polled = reader.get("pollPeriodInMillis", float)
    if reader.get("disableSubscriptions", bool):
        settings["mode"] = "poll"
    if polled:
        settings["publishing_interval"] = polled / 1000
    return settings


def _mapping(reader: Reader, source: ImportedSource) -> None:
    info = Reader(reader.get("deviceInfo", dict) or {}, f"{reader.where}.deviceInfo", reader.notes, {
        "deviceProfileExpression": f"{_HERE} devices have no profile", "deviceNameExpressionSource": "",
        "deviceProfileExpressionSource": "",
    })  # fmt: skip
    pattern = reader.text("deviceNodePattern")
    reader.text("deviceNodeSource")
    name = reader.text("deviceNamePattern") or info.text("deviceNameExpression")
    device = re.sub(r"\$\{.*?\}", "", name).strip() or pattern.rpartition("\\.")[2] or "device"
    if "${" in name:
        reader.notes.add(reader.where, "a device name from a node is not supported: the rest of the name is used")
    for kind in ("attributes", "timeseries"):
        for each, where in reader.objects(kind):
            key = Reader(each, where, reader.notes, {"type": "", "reportStrategy": MAPPING["reportStrategy"]})
            selection = _selection(pattern, key.text("path") or key.text("value"), key.text("key"), device)
            priority: Tree = {"priority": "state"} if kind == "attributes" else {}
            add_selection(source, {**selection, **priority}, where, reader.notes, f"{kind}: {key.text('key')}")
            key.rest()
    reader.rest()


def _selection(pattern: str, path: str, key: str, device: str) -> Tree:
    """What a path means, below the node of its device or absolute."""
    inner = (path.strip().removeprefix("${").removesuffix("}")).strip()
    fields: Tree = {"fields": {"device": device}}
    if re.match(r"^(ns=|nsu=|i=|s=|g=|b=)", inner):
        return {"node": node_text(inner), "name": key or inner, **fields}
    absolute = inner if inner.startswith("Root") else f"{pattern}\\.{inner}"
    levels = [re.sub(r"\\(.)", r"\1", level) for level in re.split(r"\\\.", _REGEX.sub(_STAR, absolute)) if level]
    levels = levels[1:] if levels and levels[0] == "Root" else levels
    stars = [number for number, level in enumerate(levels) if _STAR in level]
    if not stars:
        return {"node": "/" + "/".join(levels), "name": key or levels[-1], **fields}
    first = stars[0]
    include = "/".join(level.replace(_STAR, "*") for level in levels[first:])
    return {"subtree": "/" + "/".join(levels[:first]), "include": [include], **fields}
