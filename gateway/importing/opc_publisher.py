"""`published_nodes.json` of Microsoft's OPC Publisher (2.9), with the fields of its older forms.

An entry is a data set writer; entries with one connection become one source.  The names of its writer group and writer
are the fields `{group}` and `{writer}` of the topic.  Nodes with `UseCyclicRead` become a source that polls.
"""

from collections.abc import Mapping
from pathlib import Path

from gateway.errors import ConfigError
from gateway.importing.connections import Connections, secured
from gateway.importing.files import json_of
from gateway.importing.imported import (
    Imported,
    ImportedSource,
    Notes,
    Reader,
    Tree,
    add_selection,
    field_name,
    node_text,
    seconds_of_timespan,
)
from gateway.payload.choose import DATA_SETS

_HERE = "has no meaning here:"
ENTRY: Mapping[str, str] = {
    "Version": f"{_HERE} it counts changes of that file",
    "LastChangeDateTime": f"{_HERE} it dates that file",
    "LastChangeTimespan": f"{_HERE} it dates that file",
    "DataSetName": f"{_HERE} the writer is named by DataSetWriterId",
    "DataSetDescription": f"{_HERE} metadata has no description",
    "DataSetClassId": f"{_HERE} data sets have no class",
    "DataSetType": f"{_HERE} select by `type` instead",
    "DataSetRootNodeId": f"{_HERE} select by `subtree` instead",
    "DataSetSourceUri": f"{_HERE} sources are named by the gateway",
    "DataSetSubject": f"{_HERE} subjects follow from topics",
    "DataSetRouting": f"{_HERE} topics follow from fields and levels, see `payload.topic`",
    "DataSetWriterWatchdogBehavior": f"{_HERE} the gateway watches its subscriptions by itself",
    "DataSetFetchDisplayNames": "has no meaning here: names are browse names, or `name`",
    "DefaultHeartbeatBehavior": f"{_HERE} a heartbeat is the last value again",
    "MetaDataUpdateTime": f"{_HERE} metadata is retained, and sent when it changes",
    "MetaDataUpdateTimeTimespan": f"{_HERE} metadata is retained, and sent when it changes",
    "MetaDataQueueName": f"{_HERE} topics of metadata are those of the format",
    "MetaDataRetention": f"{_HERE} metadata is always retained",
    "MetaDataTtlTimespan": f"{_HERE} metadata is retained without an end",
    "SendKeepAliveDataSetMessages": f"{_HERE} see `payload.pubsub.keep_alive`",
    "SendKeepAliveAsKeyFrameMessages": f"{_HERE} see `payload.pubsub.key_frame_every`",
    "MaxKeepAliveCount": f"{_HERE} see `keep_alive` of the source",
    "BatchTriggerInterval": f"{_HERE} what has arrived is sent at once",
    "BatchTriggerIntervalTimespan": f"{_HERE} what has arrived is sent at once",
    "Priority": f"{_HERE} see `priority` of a selection",
    "WriterGroupPriority": f"{_HERE} see `priority` of a selection",
    "WriterGroupPartitions": f"{_HERE} there is one session at the broker",
    "WriterGroupProperties": f"{_HERE} user properties are those of the format",
    "WriterGroupTransport": f"{_HERE} the transport is MQTT",
    "WriterGroupType": f"{_HERE} groups have no type",
    "WriterGroupExternalId": f"{_HERE} groups are named by DataSetWriterGroup",
    "WriterGroupRootNodeId": f"{_HERE} select by `subtree` instead",
    "UseReverseConnect": "is not supported: the gateway connects to the server",
    "DisableSubscriptionTransfer": f"{_HERE} subscriptions are transferred where the server can",
    "RepublishAfterTransfer": f"{_HERE} what was missed is always asked for",
    "DumpConnectionDiagnostics": f"{_HERE} see `log_level: debug`",
    "EncryptedAuthUsername": "cannot be decrypted here: set `username` and `password`",
    "EncryptedAuthPassword": "cannot be decrypted here: set `username` and `password`",
    "ClientCertificateId": f"{_HERE} see `security.pki`",
    "AdditionalConfiguration": f"{_HERE} it belongs to that program",
}
"""Fields of an entry that have no meaning here, and why."""
NODE: Mapping[str, str] = {
    "DataSetClassFieldId": f"{_HERE} data sets have no class",
    "FetchDisplayName": f"{_HERE} names are browse names, or `name`",
    "HeartbeatBehavior": f"{_HERE} a heartbeat is the last value again",
    "SkipFirst": f"{_HERE} the first value is sent as every other",
    "AutoSetQueueSize": f"{_HERE} see `queue_size`",
    "CyclicReadMaxAge": f"{_HERE} values are read from the device",
    "CyclicReadMaxAgeTimespan": f"{_HERE} values are read from the device",
    "RegisterNode": f"{_HERE} nodes are monitored by their id",
    "IndexRange": "is not supported: the whole array is sent",
    "ConditionHandling": f"{_HERE} events are sent as they come",
    "QualityOfService": f"{_HERE} every message has QoS 1",
    "Topic": f"{_HERE} topics follow from fields and levels, see `payload.topic`",
    "TriggeredNodes": "is not supported: triggered variables are monitored by themselves",
    "TypeDefinitionId": f"{_HERE} the server tells the type",
    "MethodMetadata": f"{_HERE} methods are called by commands",
    "DataSetFieldName": f"{_HERE} fields are named by `name`",
}
"""Fields of a node that have no meaning here, and why."""
_TRIGGERS = {"status": "status", "statusvalue": "value", "statusvaluetimestamp": "timestamp"}
_MODES = {"samples": "json", "fullsamples": "json", "rawdatasets": "json", "singlerawdataset": "json"}
_ROOTS = {"i=84": "", "i=85": "/Objects"}


def read(path: Path) -> Imported:
    """Read a file.  Raises `ConfigError`."""
    said = json_of(path)
    entries = said if isinstance(said, list) else [said]
    found = Imported("published_nodes.json of OPC Publisher")
    connections = Connections(found.notes)
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ConfigError([f"{path}: [{number}]: must be an object with EndpointUrl and OpcNodes"])
        _Entry(Reader(entry, f"{path}: [{number}]", found.notes, ENTRY), connections, found).take()
    found.sources = connections.sources
    found.payload.setdefault("format", DATA_SETS)
    found.payload["topic"] = "{group}/{writer}"
    return found


class _Entry:
    def __init__(self, reader: Reader, connections: Connections, found: Imported) -> None:
        self._reader = reader
        self._connections = connections
        self._found = found
        self._notes: Notes = found.notes

    def take(self) -> None:
        reader = self._reader
        connection = self._connection()
        group, writer = reader.text("DataSetWriterGroup"), reader.text("DataSetWriterId")
        fields = {"group": group or "default", "writer": writer or "default"}
        for name, value in (reader.get("DataSetExtensionFields", dict) or {}).items():
            fields[field_name(str(name))] = str(value)
        defaults = self._defaults()
        self._messages()
        name = group
        nodes = [*reader.objects("OpcNodes"), *reader.objects("OpcEvents")]
        if (legacy := reader.get("NodeId", dict)) is not None:
            nodes.append(({"Id": legacy.get("Identifier", "")}, f"{reader.where}.NodeId"))
        for node, where in nodes:
            one = Reader(node, where, self._notes, NODE)
            is_cyclic = one.get("UseCyclicRead", bool) or False
            settings = {**connection, "mode": "poll"} if is_cyclic else connection
            source = self._connections.of(settings, f"{reader.where}.EndpointUrl", name)
            _Node(one, source, defaults, fields, self._notes).take()
        reader.rest()

    def _connection(self) -> Tree:
        reader = self._reader
        mode = reader.text("EndpointSecurityMode")
        policy, is_secure = reader.text("EndpointSecurityPolicy"), reader.get("UseSecurity", bool)
        if not mode and not policy:
            mode = "auto" if is_secure else "None"
        how = reader.text("OpcAuthenticationMode").casefold()
        username, password = reader.text("OpcAuthenticationUsername"), reader.text("OpcAuthenticationPassword")
        has_login = how == "usernamepassword" or (not how and bool(username))
        settings: Tree = {"url": reader.text("EndpointUrl")}
        settings |= secured(policy, mode, reader.where, self._notes, has_password=has_login)
        if has_login:
            settings |= {"username": username or "user", "password": {}}
            if password:
                self._notes.add(
                    f"{reader.where}.OpcAuthenticationPassword", "the password is not copied: set the variable"
                )
        elif how == "certificate":
            self._notes.add(
                f"{reader.where}.OpcAuthenticationMode",
                "log in with a certificate: set user_certificate and user_key of the source",
            )
        return settings

    def _defaults(self) -> Tree:
        reader, found = self._reader, Tree()
        for key, name in (("publishing_interval", "DataSetPublishingInterval"),
                          ("sampling_interval", "DataSetSamplingInterval")):  # fmt: skip
            if (seconds := _interval(reader, name, 0.001)) is not None:
                found[key] = seconds
        if heartbeat := _interval(reader, "DefaultHeartbeatInterval", 1.0):
            found["heartbeat"] = heartbeat
        return found

    def _messages(self) -> None:
        """What concerns messages: once for the whole gateway."""
        reader, payload = self._reader, self._found.payload
        mode, encoding = reader.text("MessagingMode").casefold(), reader.text("MessageEncoding").casefold()
        if mode:
            self._set(payload, "format", _MODES.get(mode, DATA_SETS), "MessagingMode")
        if encoding:
            if "uadp" in encoding or "avro" in encoding:
                self._notes.add(f"{reader.where}.MessageEncoding", "is not supported: messages are JSON")
            if "gzip" in encoding:
                self._set(payload, "compress", "gzip", "MessageEncoding")
        pubsub: Tree = {}
        if (count := reader.get("DataSetKeyFrameCount", int)) is not None:
            pubsub["key_frame_every"] = max(0, count)
        if pubsub:
            self._set(payload, "pubsub", pubsub, "DataSetKeyFrameCount")
        if (size := reader.get("BatchSize", int)) is not None and size > 0:
            self._set(payload, "max_values", min(100_000, size), "BatchSize")
        for name in ("MessageRetention", "WriterGroupMessageRetention"):
            if (retain := reader.get(name, bool)) is not None:
                self._set(payload, "retain", retain, name)
        for name in ("MessageTtlTimespan", "WriterGroupMessageTtlTimespan"):
            if text := reader.text(name):
                self._set(self._found.broker, "expiry", max(1.0, seconds_of_timespan(text, reader.where)), name)
        for name in ("QualityOfService", "WriterGroupQualityOfService"):
            if (text := reader.text(name)) and text.casefold() != "atleastonce":
                self._notes.add(f"{reader.where}.{name}", f"{name} is not supported: every message has QoS 1")
        for name in ("QueueName", "WriterGroupQueueName"):
            if reader.text(name):
                self._notes.add(f"{reader.where}.{name}", f"{name} has no meaning here: see `payload.topic`")

    def _set(self, tree: Tree, key: str, value: object, name: str) -> None:
        if tree.setdefault(key, value) != value:
            self._notes.add(
                f"{self._reader.where}.{name}", f"{name} differs from that of the first entry, which is used for all"
            )


class _Node:
    def __init__(
        self, reader: Reader, source: ImportedSource, defaults: Tree, fields: Mapping[str, str], notes: Notes
    ) -> None:
        self._reader = reader
        self._source = source
        self._defaults = defaults
        self._fields = dict(fields)
        self._notes = notes

    def take(self) -> None:
        reader = self._reader
        node = self._node()
        shown, field_id = reader.text("DisplayName"), reader.text("DataSetFieldId")
        name = shown or field_id
        events, attribute = reader.get("EventFilter", dict), reader.get("AttributeId", object)
        is_changes = reader.get("ModelChangeHandling", dict) is not None
        selection = self._sampled()
        if node is None:
            pass
        elif is_changes:
            self._notes.add(reader.where, "ModelChangeHandling has no meaning here: selected subtrees are watched")
        elif str(attribute or "Value") not in ("Value", "13"):
            self._notes.add(reader.where, "AttributeId is not supported: only values are sent; it is left out")
        elif events is not None:
            add_selection(self._source, self._events(node, name, events), reader.where, self._notes)
        else:
            named: Tree = {"node": node, "name": name} if name else {"node": node}
            add_selection(self._source, {**named, **selection, "fields": self._fields}, reader.where, self._notes)
        reader.rest()

    def _node(self) -> str | None:
        reader = self._reader
        text = node_text(reader.text("ExpandedNodeId") or reader.text("Id"))
        expanded = reader.text("Id")  # read, also where the other is used
        path = reader.get("BrowsePath", list) or reader.get("RelativePath", list) or []
        if not path:
            if not text and not expanded:
                self._notes.add(reader.where, "has no Id: it is left out")
                return None
            return text or node_text(expanded)
        if text and text not in _ROOTS:
            self._notes.add(reader.where, "a browse path from a node is not supported: write the path from the root")
            return None
        names = "/".join(str(each).lstrip("/.").rpartition(":")[2] for each in path)
        return f"{_ROOTS.get(text, '')}/{names}"

    def _sampled(self) -> Tree:
        reader, found = self._reader, dict(self._defaults)
        for key, name in (("publishing_interval", "OpcPublishingInterval"),
                          ("sampling_interval", "OpcSamplingInterval")):  # fmt: skip
            if (seconds := _interval(reader, name, 0.001)) is not None:
                found[key] = seconds
        if (heartbeat := _interval(reader, "HeartbeatInterval", 1.0)) is not None:
            found.pop("heartbeat", None)
            found |= {"heartbeat": heartbeat} if heartbeat > 0 else {}
        if not found.get("publishing_interval"):
            found.pop("publishing_interval", None)
        if (size := reader.get("QueueSize", int)) is not None and size > 0:
            found["queue_size"] = min(100_000, size)
        if reader.get("DiscardNew", bool):
            found["discard"] = "newest"
        if trigger := reader.text("DataChangeTrigger"):
            found["trigger"] = _TRIGGERS.get(trigger.casefold(), "value")
        kind, band = reader.text("DeadbandType").casefold(), reader.get("DeadbandValue", float)
        if band is not None and band > 0:
            found["deadband_percent" if kind == "percent" else "deadband"] = band
        return found

    def _events(self, node: str, name: str, said: Mapping[str, object]) -> Tree:
        """A selection of events.  A where clause stays with that program."""
        reader = Reader(said, f"{self._reader.where}.EventFilter", self._notes, {
            "WhereClause": "is not supported: use event_types and least_severity",
            "TypeDefinitionId": "", "SelectClauses": "",
        })  # fmt: skip
        found: Tree = {"events": node, "fields": self._fields}
        if name:
            found["name"] = name
        if kind := reader.text("TypeDefinitionId"):
            found["event_types"] = [node_text(kind)]
        paths = []
        for clause, _ in reader.objects("SelectClauses"):
            path = clause.get("BrowsePath")
            if isinstance(path, list) and path:
                paths.append("/".join(str(each).rpartition(":")[2] for each in path))
        if paths:
            found["event_fields"] = paths
        reader.rest()
        return found


def _interval(reader: Reader, name: str, unit_s: float) -> float | None:
    """Seconds of a number field, or of its twin that is a time span."""
    span, number = reader.text(f"{name}Timespan"), reader.get(name, float)
    if span:
        return seconds_of_timespan(span, f"{reader.where}.{name}Timespan")
    return number * unit_s if number is not None and number >= 0 else None
