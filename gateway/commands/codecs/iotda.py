"""Commands of Huawei's IoTDA: the name of the command is the operation, its parameters our request.

    $oc/devices/edge-1/sys/commands/request_id=7f
        {"service_id": "opcua", "command_name": "write",
         "paras": {"source": "press-shop", "request": "{\\"writes\\": [{\\"tag\\": \\"Speed\\", \\"value\\": 1.1}]}"}}
    $oc/devices/edge-1/sys/commands/response/request_id=7f
        {"result_code": 0, "response_name": "done", "paras": {"answer": "…"}}

A product's model has parameters of plain types: what is more than that stands in `request`, as JSON text, and the
answer in `answer`.
"""

from collections.abc import Mapping, Sequence

import orjson

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.codecs.iot_hub import LIFETIME_S, request_of
from gateway.commands.codecs.reading import object_in, text_in
from gateway.commands.fields import body_of
from gateway.commands.outcome import Refused

TOPIC = "$oc/devices/{thing}/sys/commands/{rid}"
REPLIES = "$oc/devices/{thing}/sys/commands/response"


def _decode(heard: Heard) -> Sequence[Wish]:
    rid = heard.names.get("rid", "")[:200]
    context: Context = {"rid": rid}
    try:
        if not rid.startswith("request_id="):
            raise Refused("no_id", "a command names itself by request_id=")
        body = body_of(heard.packet.payload)
        given = dict(object_in(body, "paras"))
        if "request" in given:
            given |= body_of(text_in(given, "request", most=10_000).encode())
            del given["request"]
        found = request_of(text_in(body, "command_name"), given, rid)
    except Refused as error:
        return (refusal(error, id=rid[:128], context=context),)
    return (Wish(found.source, found.request, None, found.id, context=context),)


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    body = {
        "result_code": 0 if answer["outcome"] in ("done", "accepted") else 1,
        "response_name": str(answer["outcome"]),
        "paras": {"answer": orjson.dumps(answer).decode()},
    }
    return Encoded(body, below=str(context.get("rid", "")))


IOTDA = Codec(TOPIC, _decode, _encode, REPLIES, frozenset(("rid",)), lifetime_s=LIFETIME_S)
