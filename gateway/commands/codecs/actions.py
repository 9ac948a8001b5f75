"""OPC UA Part 14 actions in JSON (1.05, 7.2.5.6): for subscribers of `opcua-pubsub` that also want something done.

    opcua/json/action-request/{gateway}/{requester}     ua-action-request
    opcua/json/action-response/{gateway}/{requester}    ua-action-response, or at ResponseAddress below it
    opcua/json/action-metadata/{gateway}/{source}       ua-action-metadata, retained

A source is a DataSetWriter (`DataSetWriterName`), and has four action targets: 1 Read, 2 HistoricalRead, 3 Write and
4 Call, numbered as UA Cloud Commander does.  Each message of a request is one command, answered by a response of its
own.  `RequestId` and `ActionTargetId` come back; `ActionState` is 1 (Executing) for `accepted`, and 2 (Done) for the
final answer.  The id is the MessageId, with the RequestId where there are several messages.

`Timestamp` and `TimeoutHint` (ms) together are the deadline; an expiry of the packet, or `lifetime` of the
configuration, will do as well.  `RequestorId` may be left out; naming another requester is refused.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.commands.codec import MOST_WISHES, Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.codecs.reading import (
    Body,
    number_in,
    object_in,
    objects_in,
    printable,
    status_of,
    text_in,
)
from gateway.commands.fields import body_of, instant_of, one_of
from gateway.commands.outcome import Refused
from gateway.commands.request import AGGREGATES, MOST_INTERVAL_S, MOST_NODES, Details, Request
from gateway.payload.forms import Json
from gateway.topics import expand

TOPIC = "opcua/json/action-request/{gateway}/{requester}"
_REPLIES = "opcua/json/action-response/{gateway}/{requester}"
METADATA = "opcua/json/action-metadata/{gateway}/{source}"
_EXECUTING, _DONE = 1, 2
READ, HISTORY, WRITE, CALL = 1, 2, 3, 4
_MOST_TAGS = 100
_KEYS: Mapping[int, frozenset[str]] = {
    READ: frozenset(("Tags",)),
    HISTORY: frozenset(("Tag", "Start", "End", "Limit", "After", "Aggregate", "Interval")),
    WRITE: frozenset(("Tags", "Values")),
    CALL: frozenset(("Method", "Arguments")),
}
_LONGEST_MS = 86_400_000.0


def _decode(heard: Heard) -> Sequence[Wish]:
    try:
        body = body_of(heard.packet.payload)
        return _wishes(heard, body)
    except Refused as error:
        return (refusal(error),)


def _wishes(heard: Heard, body: Body) -> Sequence[Wish]:
    if body.get("MessageType") != "ua-action-request":
        raise Refused("invalid", "MessageType: ua-action-request")
    if text_in(body, "PublisherId", heard.gateway) != heard.gateway:
        raise Refused("source_unknown", f"PublisherId: this is {heard.gateway}")
    message_id = printable(text_in(body, "MessageId", most=100), "MessageId")
    common = Wish(
        respond_to=text_in(body, "ResponseAddress", ""),
        correlation=_octets(text_in(body, "CorrelationData", "")),
        claims=text_in(body, "RequestorId", ""),
    )
    sent_s = instant_of(text_in(body, "Timestamp"), "Timestamp")
    deadline_s = sent_s + number_in(body, "TimeoutHint", 0, _LONGEST_MS) / 1000 if "TimeoutHint" in body else None
    messages = objects_in(body, "Messages", MOST_WISHES)
    numbers = [int(number_in(each, "RequestId", 0, 65_535)) for each in messages]
    if len(set(numbers)) < len(numbers):
        raise Refused("invalid", "two messages have one RequestId")
    wishes = []
    for message, number in zip(messages, numbers, strict=True):
        own_id = f"{message_id}#{number}" if len(messages) > 1 else message_id
        context: Context = {"number": number, "publisher": heard.gateway, "message": message_id}
        wish = replace(common, id=own_id, context=context)
        try:
            source = heard.source_at(text_in(message, "DataSetWriterName"))
            target = int(number_in(message, "ActionTargetId", 0, 65_535))
            context = {**context, "target": target, "writer": source}
            request = _request(target, object_in(message, "Payload"))
        except Refused as error:
            wishes.append(replace(wish, error=error, context=context))
            continue
        request = replace(request, id=own_id, sent_s=sent_s, deadline_s=deadline_s)
        wishes.append(replace(wish, source=source, request=request, context=context))
    return wishes


def _octets(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except (binascii.Error, ValueError) as error:
        raise Refused("invalid", "CorrelationData: base64") from error


def _request(target: int, payload: Body) -> Request:
    keys = _KEYS.get(target)
    if keys is None:
        raise Refused("unsupported", "ActionTargetId: 1 Read, 2 HistoricalRead, 3 Write or 4 Call")
    if unknown := payload.keys() - keys:
        raise Refused("invalid", f"Payload: unknown keys: {', '.join(sorted(unknown))[:200]!r}")
    if target == CALL:
        arguments = object_in(payload, "Arguments") if "Arguments" in payload else {}
        if len(arguments) > _MOST_TAGS:
            raise Refused("invalid", f"Arguments: at most {_MOST_TAGS}")
        return Request("call", tags=(text_in(payload, "Method"),), arguments=arguments)
    if target == HISTORY:
        return _history(payload)
    tags = _texts(payload, "Tags")
    if target == READ:
        return Request("read", tags=tags)
    values = payload.get("Values")
    if not isinstance(values, list) or len(values) != len(tags):
        raise Refused("invalid", "Values: a list with one for each of Tags")
    return Request("write", tags=tags, values=tuple(values))


def _history(payload: Body) -> Request:
    """One page, from `Start` to before `End`."""
    interval_s = number_in(payload, "Interval", 0.001, MOST_INTERVAL_S) if "Interval" in payload else None
    details = Details(
        limit=int(number_in(payload, "Limit", 1, MOST_NODES)) if "Limit" in payload else MOST_NODES,
        after=text_in(payload, "After", ""), start_s=instant_of(text_in(payload, "Start"), "Start"),
        end_s=instant_of(text_in(payload, "End"), "End"), aggregate=one_of(payload, "Aggregate", AGGREGATES),
        interval_s=interval_s,
    )  # fmt: skip
    return Request("history", tags=(text_in(payload, "Tag"),), details=details)


def _texts(payload: Body, key: str) -> tuple[str, ...]:
    found = payload.get(key)
    if not isinstance(found, list) or not 1 <= len(found) <= _MOST_TAGS:
        raise Refused("invalid", f"{key}: a list of 1 to {_MOST_TAGS}")
    texts = tuple(text_in({key: each}, key) for each in found)
    if len(set(texts)) < len(texts):
        raise Refused("invalid", "a tag stands twice")
    return texts


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    payload: dict[str, object] = {
        "Outcome": answer["outcome"], "Reason": answer.get("reason", ""), "Detail": answer.get("detail", ""),
        "Results": answer.get("results", []),
    }  # fmt: skip
    told: dict[str, object] = {
        "DataSetWriterName": context.get("writer", answer.get("source", "")),
        "ActionTargetId": context.get("target", 0),
        "MessageType": "ua-action-response",
        "RequestId": context.get("number", 0),
        "Timestamp": answer["time"],
        "ActionState": _DONE if answer["final"] else _EXECUTING,
        "Status": status_of(answer),
        "Payload": payload,
    }
    body = {
        "MessageId": f"{answer['id']}:{'final' if answer['final'] else 'accepted'}",
        "MessageType": "ua-action-response",
        "PublisherId": answer["gateway"],
        "Timestamp": answer["time"],
        "Messages": [told],
    }
    return Encoded(body)


def _field(name: str, built_in: int, rank: int, text: str) -> dict[str, Json]:
    return {"Name": name, "Description": {"Text": text}, "BuiltInType": built_in, "ValueRank": rank}


_UINT32, _DOUBLE, _STRING, _VARIANT, _OBJECT = 7, 11, 12, 24, 22
_REQUEST: list[Json] = [
    _field("Tags", _STRING, 1, "Read, Write: names as the rules have them, or node ids"),
    _field("Values", _VARIANT, 1, "Write: one for each tag"),
    _field("Tag", _STRING, -1, "HistoricalRead: one name or node id"),
    _field("Start", _STRING, -1, "HistoricalRead: an instant with its offset"),
    _field("End", _STRING, -1, "HistoricalRead: an instant with its offset; not in it"),
    _field("Limit", _UINT32, -1, "HistoricalRead: values in one answer"),
    _field("After", _STRING, -1, "HistoricalRead: `next` of the page before"),
    _field("Aggregate", _STRING, -1, "HistoricalRead: such as Average, instead of the values"),
    _field("Interval", _DOUBLE, -1, "HistoricalRead: seconds of each aggregate"),
    _field("Method", _STRING, -1, "Call: its name"),
    _field("Arguments", _OBJECT, -1, "Call: by name"),
]
_RESPONSE: list[Json] = [
    _field("Outcome", _STRING, -1, "accepted, done, refused, failed, expired or unknown"),
    _field("Reason", _STRING, -1, "Why it is refused"),
    _field("Detail", _STRING, -1, "For people"),
    _field("Results", _OBJECT, 1, "What became of each tag, or of the method"),
]


def _announce(gateway: str, sources: Sequence[str]) -> Sequence[tuple[str, Mapping[str, object]]]:
    """What may be asked for; the same whoever may do it."""
    return [
        (expand(METADATA, {"gateway": gateway, "source": source}), _metadata(gateway, source, number))
        for number, source in enumerate(sources, 1)
    ]


def _metadata(gateway: str, source: str, number: int) -> dict[str, Json]:
    targets: list[Json] = [
        {"ActionTargetId": target, "Name": name, "Description": {"Text": text}}
        for target, name, text in (
            (READ, "Read", "Read the values of variables"),
            (HISTORY, "HistoricalRead", "Read the history of a variable, page by page"),
            (WRITE, "Write", "Write values, all or nothing"),
            (CALL, "Call", "Call a method"),
        )
    ]
    return {
        "MessageId": f"{gateway}/{source}/actions",
        "MessageType": "ua-action-metadata",
        "PublisherId": gateway,
        "DataSetWriterId": number,
        "DataSetWriterName": source,
        "ActionTargets": targets,
        "Request": {"Name": "Request", "Fields": _REQUEST},
        "Response": {"Name": "Response", "Fields": _RESPONSE},
    }


ACTIONS = Codec(TOPIC, _decode, _encode, _REPLIES, tells_accepted=True, announce=_announce)
