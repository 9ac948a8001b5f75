"""Commands in the form of the Open Manufacturing Platform's connector: envelope, and its sixteen command types.

    {"id": "…", "namespace": "iot.models.messages.…", "$schema": "…",
     "metadata": {"timestamp": "2026-11-30T08:00:00Z", "correlationIds": [], "senderIdentifier": {…}},
     "payload": {"requestTarget": {"endpointUrl": "opc.tcp://plc:4840"},
                 "requests": [{"commandType": "write", "nodeId": "nsu=urn:plant;s=Speed", "value": "1.1"}]}}

Requests come on `gateways/{gateway}/omp/{requester}/commands`, or on a fixed topic whose requester the configuration
names.  What is different from that connector, on purpose:

- The topic says who asks; a `senderIdentifier` that names another requester is refused.  The endpoint chooses one of
  the configured sources, and a node id is looked up among those of the rules: with its namespace URI, or a rule's name.
- `metadata.timestamp` begins a lifetime of a minute (`lifetime`); what comes later is answered as expired.
- The id is done once, and a repeat gets the same answer.  It is added to the `correlationIds` of the answer.
- Consecutive reads, and consecutive writes, are one request to the server; everything else is one by one.  Each such
  part is answered by a message of its own with `metadata.sequence {id, count}`, in any order.
- Writes of one part are done all or none.  Numbers and booleans may come as text, as they did, if the text is exactly
  one of the node's type.
- Every request is answered, also one that is refused; `outcome` and `reason` stand beside `message` and `statusCode`.
- What the gateway has no operation for is refused as `unsupported`.
"""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gateway.commands.codec import Codec, Context, Heard, Wish, refusal
from gateway.commands.codecs.omp_answers import encode
from gateway.commands.codecs.opc_publisher import node_of
from gateway.commands.codecs.reading import (
    Body,
    number_in,
    object_in,
    objects_in,
    printable,
    text_in,
)
from gateway.commands.fields import body_of, instant_of
from gateway.commands.outcome import Refused
from gateway.commands.request import Details, Request
from gateway.payload.forms import Json

TOPIC = "gateways/{gateway}/omp/{requester}/commands"
_REPLIES = "gateways/{gateway}/omp/{requester}/responses"
_LIFETIME_S = 60.0
_NAMESPACE = re.compile(r"(iot\.models\.messages).*", re.DOTALL)
_MOST_CORRELATIONS = 20
_MOST_LEVELS = 100
_PARTICIPANT = ("id", "name", "type", "route")
_ROOT = "i=84"
_JOINED = ("read", "write")
"""Several of these in a row are one request."""


def _decode(heard: Heard) -> Sequence[Wish]:
    own_id = ""
    try:
        body = body_of(heard.packet.payload)
        own_id = _guid(text_in(body, "id"), "id")
        return _wishes(heard, body, own_id)
    except Refused as error:
        return (refusal(error, id=own_id, context={"id": own_id}),)


def _wishes(heard: Heard, body: Body, own_id: str) -> Sequence[Wish]:
    if not _NAMESPACE.fullmatch(text_in(body, "namespace")):
        raise Refused("invalid", "namespace: begins with iot.models.messages")
    metadata, payload = object_in(body, "metadata"), object_in(body, "payload")
    sent_s = instant_of(text_in(metadata, "timestamp"), "timestamp")
    sender = _participant(metadata, "senderIdentifier")
    requests = objects_in(payload, "requests")
    endpoint = text_in(object_in(payload, "requestTarget"), "endpointUrl")
    common: dict[str, Json] = {
        "id": own_id, "correlations": _correlations(metadata), "sender": sender, "endpoint": endpoint[:300],
        "self": _destination(metadata),
    }  # fmt: skip
    claims = str(sender.get("name", ""))
    parts = list(_parts(requests))
    wishes = []
    for number, (kind, items) in enumerate(parts, 1):
        part_id = own_id if len(parts) == 1 else f"{own_id}#{number}"
        nodes: list[Json] = [str(item.get("nodeId", ""))[:300] for item in items]
        context: Context = {**common, "type": kind, "nodes": nodes, "part": number, "of": len(parts)}
        wish = Wish(id=part_id, claims=claims, context=context)
        try:
            source = heard.source_at(endpoint)
            request = replace(_request(kind, items), id=part_id, sent_s=sent_s)
            wishes.append(replace(wish, source=source, request=request))
        except Refused as error:
            wishes.append(replace(wish, error=error))
    return wishes


def _guid(text: str, what: str) -> str:
    try:
        return str(uuid.UUID(printable(text, what)))
    except ValueError as error:
        raise Refused("invalid", f"{what}: a GUID") from error


def _correlations(metadata: Body) -> list[Json]:
    found = metadata.get("correlationIds") or []
    if not isinstance(found, list) or len(found) > _MOST_CORRELATIONS:
        raise Refused("invalid", f"correlationIds: a list of at most {_MOST_CORRELATIONS}")
    return [printable(text_in({"correlationIds": each}, "correlationIds"), "correlationIds") for each in found]


def _participant(metadata: Body, key: str) -> dict[str, Json]:
    if metadata.get(key) is None:
        return {}
    found = object_in(metadata, key)
    return {name: text_in(found, name, most=200) for name in _PARTICIPANT if found.get(name) is not None}


def _destination(metadata: Body) -> dict[str, Json]:
    """Whom the request takes us for."""
    found = metadata.get("destinationIdentifiers") or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Refused("invalid", "destinationIdentifiers: a list of objects")
    return _participant({"destinationIdentifiers": found[0]}, "destinationIdentifiers") if found else {}


def _parts(requests: Sequence[Body]) -> list[tuple[str, list[Body]]]:
    """What goes to the server at once: neighbours of one kind that read, or write, different nodes."""
    found: list[tuple[str, list[Body]]] = []
    for item in requests:
        kind = text_in(item, "commandType")
        last, items = found[-1] if found else ("", [])
        if kind == last in _JOINED and item.get("nodeId") not in [each.get("nodeId") for each in items]:
            items.append(item)
        else:
            found.append((kind, [item]))
    return found


def _request(kind: str, items: Sequence[Body]) -> Request:
    if kind not in COMMANDS:
        raise Refused("invalid", f"commandType: one of {', '.join(COMMANDS)}")
    build = COMMANDS[kind]
    if build is None:
        raise Refused("unsupported", f"{kind}: the gateway has no such operation")
    return build(items)


def _node(item: Body) -> str:
    return node_of(text_in(item, "nodeId"))


def _read(items: Sequence[Body]) -> Request:
    return Request("read", tags=tuple(map(_node, items)))


def _write(items: Sequence[Body]) -> Request:
    if any("value" not in item for item in items):
        raise Refused("invalid", "value: is missing")
    values = tuple(_value(item["value"]) for item in items)
    return Request("write", tags=tuple(map(_node, items)), values=values, as_text=True)


def _call(items: Sequence[Body]) -> Request:
    [item] = items
    arguments = _pairs(item.get("arguments") or [])
    if arguments is None:
        raise Refused("invalid", 'arguments: a list of {"key": …, "value": …}')
    return Request("call", tags=(_node(item),), arguments=arguments, as_text=True)


def _browse(items: Sequence[Body]) -> Request:
    return Request("browse", tags=(_node(items[0]),))


def _browse_children(items: Sequence[Body]) -> Request:
    return Request("browse", tags=(_node(items[0]),), details=Details(levels=_depth(items[0])))


def _browse_root(items: Sequence[Body]) -> Request:
    return Request("browse", tags=(_ROOT,), details=Details(levels=_depth(items[0])))


def _depth(item: Body) -> int:
    """A number, or a text as that connector's users sent it."""
    found = item.get("browseDepth", 1)
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) < 4:
        found = int(found)
    return int(number_in({"browseDepth": found}, "browseDepth", 1, _MOST_LEVELS))


def _value(value: object) -> object:
    """Lists of `{key, dataType, value}` are structures."""
    pairs = _pairs(value) if isinstance(value, list) and value else None
    if pairs is not None:
        return pairs
    return [_value(each) for each in value] if isinstance(value, list) else value


def _pairs(value: object) -> Mapping[str, object] | None:
    """What a list of keys and values says; None where it is none."""
    if not isinstance(value, list) or not all(
        isinstance(each, dict) and {"key", "value"} <= each.keys() for each in value
    ):
        return None
    found = {text_in(each, "key"): _value(each["value"]) for each in value}
    if len(found) < len(value):
        raise Refused("invalid", "a key stands twice")
    return found


COMMANDS: Mapping[str, Callable[[Sequence[Body]], Request] | None] = {
    "read": _read,
    "write": _write,
    "call": _call,
    "browse": _browse,
    "browseChildNodes": _browse_children,
    "browseChildNodesFromRoot": _browse_root,
    "createSubscriptions": None,
    "removeSubscriptions": None,
    "removeAllSubscriptions": None,
    "restoreSubscriptions": None,
    "createAlarmSubscriptions": None,
    "removeAlarmSubscriptions": None,
    "removeAllAlarmSubscriptions": None,
    "restoreAlarmSubscriptions": None,
    "respondToAlarmEvents": None,
    "serverDiscovery": None,
}
"""The command types, and what makes a request of each; None for those that the gateway has no operation for."""

OMP = Codec(TOPIC, _decode, encode, _REPLIES, lifetime_s=_LIFETIME_S)
