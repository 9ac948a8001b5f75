"""A W3C Web of Things Thing Description 1.1: the plant behind the gateway as one Thing.

| here | in the TD |
| --- | --- |
| a variable | a property; its form is the server's own node (`opc.tcp`), for who may go there |
| a topic | an event, with the schema of its messages; its form is the topic at each broker |
| a variable or method for commands | an action; its input is the request, its form the topic of requests |
| presence | an event |
"""

from collections.abc import Iterable, Iterator
from urllib.parse import quote

from gateway.config import BrokerConfig
from gateway.modelling.command_schemas import request_schema
from gateway.modelling.description import Description, Point, Told, Topic
from gateway.modelling.messages import PRESENCE, definitions, schema_of_topic
from gateway.modelling.names import Names
from gateway.modelling.pieces import MARK, members, text_of, whole, with_pieces
from gateway.modelling.units import unit_of
from gateway.modelling.value_schemas import Schema, schema_of_point, type_name
from gateway.payload.choose import format_of

_ROOT = "#/schemaDefinitions/"
_CONTEXT: list[object] = [
    "https://www.w3.org/2022/wot/td/v1.1",
    {
        "mqv": "https://www.w3.org/2019/wot/mqtt#",
        "uav": "http://opcfoundation.org/UA/WoT-Binding/",
        "cf": "urn:connected-factory:terms:",
    },
]
WRITABLE = 2


def wot(description: Description, told: Told) -> Iterator[str]:
    """The document in pieces."""
    writer = _Writer(description, Names(r"[^A-Za-z0-9_./~-]", most=200))
    head = {
        "@context": _CONTEXT,
        "@type": "Thing",
        "id": f"urn:connected-factory:{quote(description.gateway)}",
        "title": description.gateway,
        "version": {"instance": description.version},
        "description": f"The plant that the gateway {description.gateway} reads.",
        "securityDefinitions": writer.security(),
        "security": [writer.default_security],
        **({"schemaDefinitions": found} if (found := definitions(description, _ROOT)) else {}),
        "properties": {MARK: None},
        "actions": {MARK: None},
        "events": {MARK: None},
    }
    yield from with_pieces(head, [members(writer.properties()), members(writer.actions()), members(writer.events())])


class _Writer:
    def __init__(self, description: Description, names: Names) -> None:
        self._description = description
        self._names = names
        self._urls = {table.name: table.url for table in description.sources}
        self._brokers = {broker.name: broker for broker in description.brokers}

    @property
    def default_security(self) -> str:
        return _security(self._description.brokers[0])

    def security(self) -> Schema:
        """The schemes in use: of the brokers, and `auto` for the servers, whose endpoints tell theirs."""
        found: Schema = {"at_the_server": {"scheme": "auto", "description": "as the OPC UA endpoint tells"}}
        for broker in self._description.brokers:
            name = _security(broker)
            found[name] = {"scheme": "nosec" if name == "open" else "basic" if name == "password" else "auto"}
        return found

    def properties(self) -> Iterator[tuple[str, Iterable[str]]]:
        for point in self._description.points:
            yield self._names.of("/".join(point.path)), whole(self._property(point))

    def _property(self, point: Point) -> Schema:
        unit = unit_of(point.facts.unit_code, point.tag.unit)
        said = {key: value for key, value in schema_of_point(point).items() if not key.startswith("x-")}
        can_write = bool(point.facts.access & WRITABLE)
        found: Schema = {
            **_td_schema(said),
            "title": "/".join(point.path),
            "uav:id": point.tag.node_id,
            "cf:dataType": type_name(point),
            "readOnly": not can_write,
            "observable": True,
        }
        if point.tag.unit:
            found["unit"] = point.tag.unit
        if unit is not None:
            found["cf:unece"] = unit.code
        if point.facts.low is not None:
            found["cf:euRange"] = [point.facts.low, point.facts.high]
        href = f"{self._urls[point.source]}/?id={quote(point.tag.node_id, safe=';=:')}"
        operations = ["readproperty", "observeproperty", "unobserveproperty", *(["writeproperty"] if can_write else [])]
        found["forms"] = [{
            "href": href, "contentType": "application/opcua+uadp", "op": operations, "security": ["at_the_server"],
        }]  # fmt: skip
        return found

    def events(self) -> Iterator[tuple[str, Iterable[str]]]:
        for topic in self._description.topics:
            yield self._names.of(topic.topic), self._event(topic)
        for name, address in self._description.presence.items():
            said: Schema = {"data": _td_schema(PRESENCE), "forms": [_form(self._brokers[name], address, retain=True)]}
            yield self._names.of(address), whole({"title": "presence", **said})

    def _event(self, topic: Topic) -> Iterator[str]:
        content = format_of(topic.payload).content_type
        forms = [
            {**_form(self._brokers[name], topic.topic, retain=topic.is_retained), "contentType": content}
            for name in topic.brokers
        ]
        count = len(topic.points)
        event = {"title": topic.topic, "description": f"{count} variables", "data": {MARK: None}, "forms": forms}
        before, _, after = text_of(event).partition(text_of({MARK: None}))
        yield before
        yield from schema_of_topic(topic, _ROOT)
        yield after

    def actions(self) -> Iterator[tuple[str, Iterable[str]]]:
        for table in self._description.sources:
            for target in table.commands:
                address = self._description.command_topics[table.name]
                forms = [
                    _form(broker, address, retain=False, packet="publish", op="invokeaction")
                    for broker in self._description.brokers
                ]
                said = {
                    "title": f"{', '.join(target.operations)} {target.name}",
                    "description": f"Allowed for {', '.join(target.requesters)}.",
                    "uav:id": target.node_id,
                    "input": _td_schema(request_schema(target)),
                    "safe": not {"write", "call"} & set(target.operations),
                    "idempotent": False,
                    "uriVariables": {"requester": {"type": "string", "enum": list(target.requesters)}},
                    "forms": forms,
                }
                yield self._names.of(f"{table.name}/{target.name}"), whole(said)


def _security(broker: BrokerConfig) -> str:
    if broker.tls.certificate is not None:
        return "certificate"
    return "password" if broker.username is not None else "open"


def _form(broker: BrokerConfig, topic: str, *, retain: bool, packet: str = "subscribe", op: str = "") -> Schema:
    """The form of the MQTT binding: the address has the topic as its path."""
    base = broker.url.rstrip("/")
    return {
        "href": f"{base}/{quote(topic, safe='/{}')}",
        "contentType": "application/json",
        "op": [op] if op else ["subscribeevent", "unsubscribeevent"],
        "security": [_security(broker)],
        "mqv:controlPacket": packet,
        "mqv:qos": "1",
        "mqv:retain": retain,
    }


def _td_schema(schema: Schema) -> Schema:
    """A data schema of the TD: one `type` for each, so that `null` is a choice."""
    kind = schema.get("type")
    if isinstance(kind, list):
        rest = {key: value for key, value in schema.items() if key not in ("type", "description", "title")}
        told = {key: value for key, value in schema.items() if key in ("description", "title")}
        choices = [{"type": "null"} if each == "null" else _td_schema({**rest, "type": each}) for each in kind]
        return {**told, "oneOf": choices}
    found: Schema = {}
    for key, value in schema.items():
        if key == "anyOf" and isinstance(value, list):
            found["oneOf"] = [_td_schema(each) for each in value]
        elif key == "oneOf" and isinstance(value, list):
            found[key] = [_td_schema(each) for each in value]
        elif key == "properties" and isinstance(value, dict):
            found[key] = {name: _td_schema(each) for name, each in value.items()}
        elif key == "items" and isinstance(value, dict):
            found[key] = _td_schema(value)
        else:
            found[key] = value
    return found
