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
- Consecutive reads, and consecutive writes, are one request to the server, and so are the variables of one
  `createSubscriptions` that have the same intervals; everything else is one by one.  Each such part is answered by a
  message of its own with `metadata.sequence {id, count}`, in any order.
- Writes of one part are done all or none.  Numbers and booleans may come as text, as they did, if the text is exactly
  one of the node's type.
- Every request is answered, also one that is refused; `outcome` and `reason` stand beside `message` and `statusCode`.
- Subscriptions are kept over a restart, so `restoreSubscriptions` and `restoreAlarmSubscriptions` change nothing and
  list them.  The `All` of a removal are those made at run time, by whomever, that the rules allow the requester to
  remove.  The `heartbeatInterval` of alarms is not used, since an event is no state; their types and fields are not
  chosen by the request.
- `sourceNodeId` of `respondToAlarmEvents` is the condition, or the node that has one.  `serverDiscovery` lists what is
  below the root, as deep as the rule for `i=84` allows, in pages.  `browse` tells the attributes of a node without
  its value, which is for `read`.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import replace

from gateway.commands.codec import MOST_WISHES, Codec, Context, Heard, Wish, refusal
from gateway.commands.codecs.omp_answers import encode
from gateway.commands.codecs.omp_commands import nodes_of, parts_of, request_of
from gateway.commands.codecs.reading import Body, object_in, objects_in, printable, text_in
from gateway.commands.fields import body_of, instant_of
from gateway.commands.outcome import Refused
from gateway.payload.forms import Json

TOPIC = "gateways/{gateway}/omp/{requester}/commands"
_REPLIES = "gateways/{gateway}/omp/{requester}/responses"
_LIFETIME_S = 60.0
_NAMESPACE = re.compile(r"(iot\.models\.messages).*", re.DOTALL)
_MOST_CORRELATIONS = 20
_PARTICIPANT = ("id", "name", "type", "route")


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
    parts = parts_of(requests)
    if len(parts) > MOST_WISHES:
        raise Refused("invalid", f"requests: at most {MOST_WISHES}, and so many different intervals and alarms in all")
    wishes = []
    for number, (kind, items) in enumerate(parts, 1):
        part_id = own_id if len(parts) == 1 else f"{own_id}#{number}"
        nodes: list[Json] = [node[:300] for node in nodes_of(kind, items)]
        context: Context = {**common, "type": kind, "nodes": nodes, "part": number, "of": len(parts)}
        wish = Wish(id=part_id, claims=claims, context=context)
        try:
            source = heard.source_at(endpoint)
            request = replace(request_of(kind, items), id=part_id, sent_s=sent_s)
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


OMP = Codec(TOPIC, _decode, encode, _REPLIES, lifetime_s=_LIFETIME_S)
