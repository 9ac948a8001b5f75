"""Telegraf's plugins `inputs.opcua` and `inputs.opcua_listener`, in a TOML file of Telegraf."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.errors import ConfigError
from gateway.importing.connections import Connections, secured
from gateway.importing.files import toml_of
from gateway.importing.imported import (
    Imported,
    ImportedSource,
    Reader,
    Tree,
    add_selection,
    field_name,
    node_text,
    seconds_of_duration,
)

_HERE = "has no meaning here:"
PLUGIN: Mapping[str, str] = {
    "certificate": f"{_HERE} see `security.pki`",
    "private_key": f"{_HERE} see `security.pki`",
    "remote_certificate": f"{_HERE} see `gateway cert trust`",
    "timestamp": f"{_HERE} every message has the time of the source",
    "timestamp_format": f"{_HERE} times are RFC 3339", "client_trace": f"{_HERE} see `log_level`",
    "optional_fields": f"{_HERE} every value has its type and status", "precision": f"{_HERE} times have seven digits",
    "connect_fail_behavior": f"{_HERE} the gateway reconnects by itself",
    "workarounds": f"{_HERE} status codes are delivered",
    "request_workarounds": f"{_HERE} nodes are read as the server takes it", "alias": "", "name_override": "",
    "read_retry_timeout": f"{_HERE} see `retry_failed`", "read_retries": f"{_HERE} see `retry_failed`",
    "read_clients": f"{_HERE} there is one session", "use_unregistered_reads": f"{_HERE} nodes are monitored",
    "connect_timeout": f"{_HERE} see `request_timeout`",
    "reconnect_error_threshold": f"{_HERE} the gateway reconnects by itself",
    "startup_error_behavior": f"{_HERE} the gateway waits for servers", "collection_jitter": f"{_HERE} servers sample",
}  # fmt: skip
_TRIGGERS = {"Status": "status", "StatusValue": "value", "StatusValueTimestamp": "timestamp"}
_KINDS = ("opcua", "opcua_listener")


def read(path: Path) -> Imported:
    """Read a file.  Raises `ConfigError`."""
    said = toml_of(path)
    inputs, agent = said.get("inputs"), said.get("agent")
    found = Imported("the OPC UA inputs of Telegraf")
    connections = Connections(found.notes)
    every = agent.get("interval", "10s") if isinstance(agent, dict) else "10s"
    plugins = [(kind, each, n) for kind in _KINDS for n, each in enumerate(_list(inputs, kind))]
    if not plugins:
        raise ConfigError([f"{path}: has no [[inputs.opcua]] or [[inputs.opcua_listener]]"])
    for kind, plugin, number in plugins:
        reader = Reader(plugin, f"{path}: inputs.{kind}[{number}]", found.notes, PLUGIN)
        _plugin(reader, connections, kind == "opcua_listener", seconds_of_duration(every, f"{path}: agent.interval"))
    found.sources = connections.sources
    found.payload = {"format": "json", "topic": "telegraf/{measurement}"}
    return found


def _list(inputs: object, kind: str) -> Iterator[Mapping[str, object]]:
    found = inputs.get(kind) if isinstance(inputs, dict) else None
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, dict):
            yield each


def _plugin(reader: Reader, connections: Connections, is_listener: bool, agent_s: float) -> None:
    username = reader.text("username")
    settings: Tree = {"url": reader.text("endpoint")}
    settings |= secured(reader.text("security_policy"), reader.text("security_mode"), reader.where, reader.notes,
                        has_password=bool(username))  # fmt: skip
    if reader.text("auth_method") == "Certificate":
        reader.notes.add(reader.where, "log in with a certificate: set user_certificate and user_key of the source")
    if username:
        settings |= {"username": username, "password": {}}
        if reader.text("password"):
            reader.notes.add(f"{reader.where}.password", "the password is not copied: set the variable")
    interval = reader.get("subscription_interval" if is_listener else "interval", object)
    every_s = seconds_of_duration(interval, reader.where) if interval is not None else (0.1 if is_listener else agent_s)
    settings["publishing_interval"] = every_s
    for key, name in (("request_timeout", "request_timeout"), ("session_timeout", "session_timeout")):
        value = reader.get(name, object)
        if value is not None and (seconds := seconds_of_duration(value, f"{reader.where}.{name}")) > 0:
            settings[key] = seconds
    measurement = reader.text("name") or "opcua"
    tags = _fields(reader)
    source = connections.of(settings, f"{reader.where}.endpoint")
    for node, where in reader.objects("nodes"):
        _node(Reader(node, where, reader.notes, {"data_type": "", "description": ""}), source, {}, measurement, tags)
    for group, where in reader.objects("group"):
        own = Reader(group, where, reader.notes, {})
        given: Tree = {"namespace": own.text("namespace"), "identifier_type": own.text("identifier_type")}
        inner, name = {**tags, **_fields(own)}, own.text("name") or measurement
        if (interval := own.get("sampling_interval", object)) is not None:
            given["sampling"] = seconds_of_duration(interval, where)
        for node, place in own.objects("nodes"):
            _node(Reader(node, place, reader.notes, {"data_type": "", "description": ""}), source, given, name, inner)
        own.rest()
    for events, where in reader.objects("events"):
        _events(Reader(events, where, reader.notes, {
            "queue_size": f"{_HERE} see `queue_size`", "sampling_interval": f"{_HERE} events come at once",
            "fields": "", "source_names": "is not supported: use event_types",
        }), source, measurement, tags)  # fmt: skip
    reader.rest()


def _fields(reader: Reader) -> dict[str, str]:
    """Tags of Telegraf are fields here."""
    own = reader.get("tags", dict) if _is_map(reader) else None
    said = {**(reader.get("default_tags", dict) or {}), **(own or {})}
    return {field_name(str(name)): str(value) for name, value in said.items()}


def _is_map(reader: Reader) -> bool:
    return isinstance(reader.said.get("tags"), dict)


def _node(reader: Reader, source: ImportedSource, given: Tree, measurement: str, tags: dict[str, str]) -> None:
    node = _id(reader, given)
    selection: Tree = {"node": node}
    if name := reader.text("name"):
        selection["name"] = name
    if "sampling" in given:
        selection["sampling_interval"] = given["sampling"]
    fields: dict[str, str] = {**tags, **_fields(reader)}
    for pair in reader.get("tags", list) or [] if not _is_map(reader) else []:
        if isinstance(pair, list) and len(pair) == 2:  # its older form
            fields[field_name(str(pair[0]))] = str(pair[1])
    monitored = Reader(
        reader.get("monitoring_params", dict) or {}, f"{reader.where}.monitoring_params", reader.notes, {}
    )
    if (interval := monitored.get("sampling_interval", object)) is not None:
        selection["sampling_interval"] = seconds_of_duration(interval, monitored.where)
    if size := monitored.get("queue_size", int):
        selection["queue_size"] = min(100_000, size)
    if monitored.get("discard_oldest", bool) is False:
        selection["discard"] = "newest"
    rule = Reader(
        monitored.get("data_change_filter", dict) or {}, f"{monitored.where}.data_change_filter", reader.notes, {}
    )
    if trigger := rule.text("trigger"):
        selection["trigger"] = _TRIGGERS.get(trigger, "value")
    kind, band = rule.text("deadband_type"), rule.get("deadband_value", float)
    if kind in ("Absolute", "Percent") and band:
        selection["deadband" if kind == "Absolute" else "deadband_percent"] = band
    fields["measurement"] = measurement
    for each in (rule, monitored):
        each.rest()
    add_selection(source, {**selection, "fields": fields}, reader.where, reader.notes)
    reader.rest()


def _inner(reader: Reader, name: str) -> Reader:
    return Reader(reader.get(name, dict) or {}, f"{reader.where}.{name}", reader.notes, {})


def _id(reader: Reader, given: Tree) -> str:
    if text := reader.text("id"):
        return node_text(text)
    space, kind = reader.text("namespace") or given.get("namespace"), reader.text("identifier_type")
    uri = reader.text("namespace_uri")
    head = f"nsu={uri};" if uri else f"ns={space};" if space not in (None, "", "0") else ""
    return f"{head}{kind or given.get('identifier_type') or 's'}={reader.text('identifier')}"


def _events(reader: Reader, source: ImportedSource, measurement: str, tags: dict[str, str]) -> None:
    kind = Reader(reader.get("event_type_node_id", dict) or {}, f"{reader.where}.event_type_node_id", reader.notes, {})
    types = [_id(kind, {})] if kind.said else []
    nodes = [Reader(each, where, reader.notes, {}) for each, where in reader.objects("node_ids")]
    for node in nodes or [Reader({"identifier_type": "i", "identifier": "2253"}, reader.where, reader.notes, {})]:
        selection: Tree = {"events": _id(node, {}), "fields": {**tags, "measurement": measurement}}
        add_selection(source, selection | ({"event_types": types} if types else {}), reader.where, reader.notes)
    reader.rest()
