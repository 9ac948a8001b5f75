"""AsyncAPI 3.0: topics, messages, commands and presence, as the gateway sends (`send`) and takes (`receive`) them."""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from gateway.config import BrokerConfig
from gateway.modelling.command_schemas import command_definitions, schema_of_target
from gateway.modelling.description import CommandTarget, Description, Told, Topic
from gateway.modelling.messages import PRESENCE, definitions, name_of, schema_of_topic
from gateway.modelling.names import Names
from gateway.modelling.pieces import MARK, members, text_of, whole, with_pieces
from gateway.modelling.value_schemas import Schema
from gateway.payload.choose import format_of

_ROOT = "#/components/schemas/"
_SCHEMA_FORMAT = "application/schema+json;version=draft-07"
_VERSIONS = {"5": "5", "3.1.1": "3.1.1", "auto": "5"}


def asyncapi(description: Description, told: Told) -> Iterator[str]:
    """The document in pieces, as JSON, which is YAML as well."""
    names = Names(r"[^A-Za-z0-9_-]", most=80)
    servers = {broker.name: _server(broker) for broker in description.brokers}
    channels = _Channels(description, names)
    schemas = definitions(description, _ROOT) | (command_definitions(_ROOT) if description.command_topics else {})
    head = {
        "asyncapi": "3.0.0",
        "id": f"urn:connected-factory:{description.gateway}",
        "info": {
            "title": f"Gateway {description.gateway}",
            "version": description.version,
            "description": _about(description),
            "license": {"name": "none: a description of one plant"},
        },
        "defaultContentType": "application/json",
        "servers": servers,
        "channels": {MARK: None},
        "operations": {MARK: None},
        "components": {"schemas": schemas, "securitySchemes": _schemes(description)},
    }
    yield from with_pieces(head, [members(channels.channels()), members(channels.operations())])


def _about(description: Description) -> str:
    read = ", ".join(f"{table.name} ({table.url})" for table in description.sources)
    return f"Values of {read}, delivered by the gateway {description.gateway}."


def _server(broker: BrokerConfig) -> Schema:
    url = urlsplit(broker.url)
    port = url.port or {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}[url.scheme]
    host = f"[{url.hostname}]" if url.hostname and ":" in url.hostname else url.hostname or ""
    server: Schema = {"host": f"{host}:{port}", "protocol": url.scheme, "protocolVersion": _VERSIONS[broker.version]}
    if url.path.strip("/"):
        server["pathname"] = url.path
    if broker.tls.certificate is not None:
        server["security"] = [{"$ref": "#/components/securitySchemes/certificate"}]
    elif broker.username is not None:
        server["security"] = [{"$ref": "#/components/securitySchemes/password"}]
    return server


def _schemes(description: Description) -> Schema:
    schemes: Schema = {}
    if any(broker.tls.certificate is not None for broker in description.brokers):
        schemes["certificate"] = {"type": "X509"}
    if any(broker.tls.certificate is None and broker.username is not None for broker in description.brokers):
        schemes["password"] = {"type": "userPassword"}
    return schemes


class _Channels:
    """The channels, and what is done with them, under the same names."""

    def __init__(self, description: Description, names: Names) -> None:
        self._description = description
        self._topics = [(names.of(topic.topic), topic) for topic in description.topics]
        self._lists = [(names.of(topic.described_on), topic) for topic in description.topics if topic.described_on]
        self._presence = [(names.of(f"{broker}-presence"), broker) for broker in description.presence]
        self._requests = [(names.of(f"commands-{source}"), source) for source in description.command_topics]
        self._replies = names.of("replies") if description.command_topics else ""

    def channels(self) -> Iterator[tuple[str, Iterable[str]]]:
        for name, topic in self._topics:
            yield name, self._of_topic(topic)
        for name, topic in self._lists:
            about = f"What the messages on {topic.topic} refer to: retained."
            message = _message({"$ref": f"{_ROOT}{name_of(topic)}"}, topic, about)
            yield name, whole(self._channel(topic.described_on, topic.brokers, {"description": message}))
        for name, broker in self._presence:
            content = {"payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": PRESENCE}}
            channel = self._channel(self._description.presence[broker], (broker,), {"presence": content})
            yield name, whole(channel)
        yield from self._commands()

    def _of_topic(self, topic: Topic) -> Iterator[str]:
        kind = "Events" if topic.is_of_events else "Values"
        about = f"{kind} of {len(topic.points)} variable{'s' * (len(topic.points) != 1)} of {topic.source}."
        message = _message({MARK: None}, topic, about)
        channel = self._channel(topic.topic, topic.brokers, {"values": message})
        yield from _replaced(channel, schema_of_topic(topic, _ROOT))

    def _channel(self, address: str, brokers: Iterable[str], messages: Schema) -> Schema:
        servers = [{"$ref": f"#/servers/{broker}"} for broker in brokers]
        escaped = address.replace("{", "%7B").replace("}", "%7D") if "{requester}" not in address else address
        return {"address": escaped, "servers": servers, "messages": messages}

    def _commands(self) -> Iterator[tuple[str, Iterable[str]]]:
        tables = {table.name: table for table in self._description.sources}
        parameters = {"requester": {"description": "Who asks; the broker's access list binds it to the user."}}
        for name, source in self._requests:
            content = {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"{_ROOT}command"}}
            message: Schema = {"contentType": "application/json", "payload": content}
            message["description"] = "\n".join(("Allowed:", *map(_told, tables[source].commands)))
            address = self._description.command_topics[source]
            channel = self._channel(address, self._brokers(), {"request": message})
            yield name, whole({**channel, "parameters": parameters})
        if self._replies:
            content = {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"{_ROOT}command"}}
            answer: Schema = {"contentType": "application/json", "payload": content}
            channel = self._channel(self._description.replies, self._brokers(), {"answer": answer})
            with_parameters = {"parameters": parameters} if "{requester}" in self._description.replies else {}
            yield self._replies, whole({**channel, **with_parameters})

    def _brokers(self) -> list[str]:
        return [broker.name for broker in self._description.brokers]

    def operations(self) -> Iterator[tuple[str, Iterable[str]]]:
        for name, topic in self._topics:
            yield f"send-{name}", whole(_sending(name, topic.is_retained))
        for name, _ in (*self._lists, *self._presence):
            yield f"send-{name}", whole(_sending(name, True))
        for name, _ in self._requests:
            reply = {
                "channel": {"$ref": f"#/channels/{self._replies}"},
                "address": {"location": "$message.header#/responseTopic"},
            }
            yield (
                f"receive-{name}",
                whole({"action": "receive", "channel": {"$ref": f"#/channels/{name}"}, "reply": reply}),
            )


def _sending(name: str, is_retained: bool) -> Schema:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "bindings": {"mqtt": {"qos": 1, "retain": is_retained, "bindingVersion": "0.2.0"}},
    }


def _message(schema: Schema, topic: Topic, about: str) -> Schema:
    return {
        "summary": about,
        "contentType": format_of(topic.payload).content_type,
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": schema},
    }


def _replaced(channel: Schema, schema: Iterable[str]) -> Iterator[str]:
    """The channel, with the pieces of a schema in place of its mark."""
    before, _, after = text_of(channel).partition(text_of({MARK: None}))
    yield before
    yield from schema
    yield after


def _told(target: CommandTarget) -> str:
    if target.is_method:
        return f"- call {target.name} ({', '.join(each.name for each in target.inputs)})"
    limits = schema_of_target(target)
    bounds = "".join(f" {key} {limits[key]}" for key in ("minimum", "maximum", "enum") if key in limits)
    return f"- {', '.join(target.operations)} {target.name}{bounds if 'write' in target.operations else ''}"
