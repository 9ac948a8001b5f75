"""What a stranger sends as a command, on any topic and with any properties: a request or a refusal, and an answer."""

import re
from contextlib import suppress

import orjson

from gateway.commands.answers import Answer
from gateway.commands.arrival import Arrival, check_time, expand_of_clouds, hall_of, lies_below, read
from gateway.commands.codecs.choose import CODECS
from gateway.commands.entries import Entry, known_of
from gateway.commands.forms import Told, answer_of, audit_of
from gateway.commands.limits import value_to_write
from gateway.commands.outcome import Refused
from gateway.commands.request import digest_of
from gateway.config.commands import CommandsConfig, WriteConfig
from gateway.delivery import Packet
from gateway.operations import Facts, FieldForm, Form
from gateway.values import Typed

_CONFIG = CommandsConfig.model_validate(
    {
        "requesters": ["mes", "other"], "rules": [{"source": "shop", "node": "i=1", "read": True}],
        "codecs": [{"format": name} for name in sorted(CODECS) if name != "native"],
    }
)  # fmt: skip
_HALL = hall_of("edge", _CONFIG, {"shop": ("shop",), "opc.tcp://shop:4840": ("shop",)})
_LEVELS = {
    "requester": "mes", "source": "shop", "method": "ValueWrite_V2", "rid": "?$rid=12345678", "device": "shop",
    "product": "pumps", "service": "restart", "version": "?$version=7", "status": "200",
}  # fmt: skip
_TOPICS = [
    re.sub(r"\{(\w+)\}", lambda found: _LEVELS[found[1]], topic)
    for listening in _HALL.listenings for topic in listening.templates
]  # fmt: skip
"""One for each way that requests come."""
_HOMES = [expand_of_clouds(each.replies, {"gateway": "edge", **_LEVELS}) for each in _HALL.listenings]
_HOME = _HOMES[0]
_NOW_NS = 1_795_996_800_000_000_000
_FORMS = {
    "i=11": Form(11), "s=Doors": Form(3, options=((0, "a"), (3, "b"))), "s=Mode": Form(6, members=((0, "a"), (1, "b"))),
    "s=Self": Form(22, data_type="s=Self", encoding="s=SelfBinary", kind=1, fields=(
        FieldForm("a", "i=11", 0, is_optional=True), FieldForm("b", "s=Self", 1, is_optional=True),
        FieldForm("c", "s=Doors", 2, is_optional=True), FieldForm("d", "s=Mode", 0, is_optional=True),
    )),
}  # fmt: skip
_KINDS = [
    *(Facts(n, rank, (), 3, 3, Typed(n, None)) for n in range(27) for rank in (-1, 1, -2, 2)),
    *(Facts(form.built_in, rank, (), 3, 3, None, data_type=name, forms=_FORMS)
      for name, form in _FORMS.items() for rank in (-1, 1, 2, 0)),
]  # fmt: skip


def run(data: bytes) -> None:
    """The first two bytes choose what the payload comes with, and on which topic."""
    how, where, payload = data[0] if data else 0, data[1] if data[1:] else 0, data[2:]
    topic, length = _TOPICS[where % len(_TOPICS)], payload[:1][0] if payload else 0
    response = payload[1 : 1 + length].decode("utf-8", "replace") if how & 1 else ""
    packet = Packet(
        topic if not how & 2 else f"gateways/edge/commands/{response or 'x'}/y", payload, response_topic=response,
        correlation=payload[:300] if how & 4 else b"", expiry_s=length if how & 8 else None,
    )  # fmt: skip
    for arrival in read(packet, _HALL, "broker", _NOW_NS):
        _check(arrival, how)


def _check(arrival: Arrival, how: int) -> None:
    asked = arrival.asked
    assert asked.requester != "mes" or any(lies_below(asked.topic, home) for home in _HOMES), asked.topic
    told = Told("refused", arrival.error.reason, str(arrival.error)) if arrival.error else Told("done")
    orjson.dumps(audit_of(asked, "edge", told, _NOW_NS, 1))
    answer = Answer(
        asked.topic, b"", answer_of(asked, "edge", told, _NOW_NS), _NOW_NS, None, asked.codec, asked.context
    ).message(_NOW_NS)  # fmt: skip
    assert asked.requester != "mes" or any(lies_below(answer.topic, home) for home in _HOMES), answer.topic
    key = (asked.requester, asked.id)
    entry = Entry(key, "", "broker", asked.topic, b"", asked.source, asked.operation, 1, 1, asked.codec, asked.context)
    assert known_of([orjson.loads(orjson.dumps(entry.begun))])[0].entries[key].context == asked.context
    if asked.request is None:
        return
    digest_of(asked.source, asked.request)
    with suppress(Refused):
        check_time(asked, _CONFIG, _NOW_NS, _NOW_NS)
    for value in asked.request.values:
        for facts in _KINDS:
            with suppress(Refused):
                value_to_write(facts, WriteConfig(minimum=0.5, step=0.1) if how & 16 else WriteConfig(), value)


def seeds() -> list[bytes]:
    bodies: list[dict[str, object]] = [
        {"id": "a", "operation": "read", "tags": ["x"], "deadline": "2026-11-30T00:00:05Z", "respond_to": _HOME},
        {"id": "a", "operation": "write", "writes": [{"tag": "x", "value": v} for v in (1, 1.5, "1", True, [1, 2])]},
        {"operation": "call", "method": "x", "arguments": {"a": {"locale": "de", "text": "x"}}, "dry_run": True},
        {
            "connection": {"endpoint": {"url": "opc.tcp://shop:4840"}},
            "request": {"nodeId": "urn:x#s=a", "methodId": "i=1", "value": 1.5, "arguments": [{"value": 1}]},
        },
        {
            "id": "0f8fad5b-d9cb-469f-a165-70867728950e", "namespace": "iot.models.messages.commands.request",
            "metadata": {
                "timestamp": "2026-11-30T00:00:00Z", "correlationIds": ["a"],
                "senderIdentifier": {"id": "1", "name": "other", "type": "application"},
            },
            "payload": {
                "requestTarget": {"endpointUrl": "shop"},
                "requests": [
                    {"commandType": kind, "nodeId": "i=1", "value": [{"key": "a", "value": "1.5"}],
                     "arguments": [{"key": "a", "value": "1"}], "browseDepth": "2"}
                    for kind in ("read", "read", "write", "call", "browseChildNodes", "createSubscriptions")
                ],
            },
        },
        {
            "MessageId": "a", "MessageType": "ua-action-request", "Timestamp": "2026-11-30T00:00:00Z",
            "TimeoutHint": 5000, "RequestorId": "other", "ResponseAddress": _HOMES[-1], "CorrelationData": "AQI=",
            "Messages": [
                {"DataSetWriterName": "shop", "ActionTargetId": n, "RequestId": n, "Payload": payload}
                for n, payload in ((1, {"Tags": ["x"]}), (3, {"Tags": ["x"], "Values": [1]}), (4, {"Method": "m"}))
            ],
        },
    ]  # fmt: skip
    return [
        bytes([how, where]) + orjson.dumps(body)
        for how in (0, 9, 28) for where in range(len(_TOPICS)) for body in bodies
    ] + [b"", b"\x01\xff"]  # fmt: skip
