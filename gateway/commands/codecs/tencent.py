"""Thing model of Tencent's IoT Explorer: properties to set, and actions.

    $thing/down/property/P1/edge-1    {"method": "control", "clientToken": "7f", "params": {"Press1_Speed": 1.5}}
    $thing/up/property/P1/edge-1      {"method": "control_reply", "clientToken": "7f", "code": 0, "status": "done"}
    $thing/down/action/P1/edge-1      {"method": "action", "clientToken": "80", "actionId": "read",
                                       "params": {"source": "press-shop", "request": "{\\"tags\\": [\\"Speed\\"]}"}}

`things` says which variable a property is.  An action is an operation; its parameters are those of a request, or JSON
text of them in `request`.  The answer stands in `response.answer`.
"""

from collections.abc import Mapping, Sequence

import orjson

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.codecs.desired import told_of
from gateway.commands.codecs.iot_hub import LIFETIME_S, STATUS, request_of
from gateway.commands.codecs.reading import object_in, printable, text_in
from gateway.commands.codecs.things import write_of
from gateway.commands.fields import body_of
from gateway.commands.outcome import Refused

TOPIC = "$thing/down"
REPLIES = "$thing/up"
_METHODS = {"control": "property", "action": "action"}


def _topics(topic: str) -> tuple[str, ...]:
    return tuple(f"{topic}/{kind}/{{product}}/{{thing}}" for kind in _METHODS.values())


def _decode(heard: Heard) -> Sequence[Wish]:
    kind, product, thing = heard.packet.topic.split("/")[-3:]
    below = f"{kind}/{product}/{thing}"
    context: Context = {"below": below}
    token = ""
    try:
        body = body_of(heard.packet.payload)
        method = body.get("method")
        if isinstance(method, str) and method.endswith("_reply"):
            return ()  # the cloud has taken what we reported
        if _METHODS.get(str(method)) != kind:
            raise Refused("invalid", "method: control for properties, action for actions")
        token = printable(text_in(body, "clientToken"), "clientToken")
        context = {**context, "token": token, "method": str(method)}
        found = _asked(heard, str(method), body, f"{kind}-{token}"[:128])
    except Refused as error:
        return (refusal(error, id=token, context=context),)
    return (Wish(found.source, found.request, None, found.id, context=context),)


def _asked(heard: Heard, method: str, body: Mapping[str, object], own_id: str) -> Wish:
    params = dict(object_in(body, "params"))
    if method == "control":
        return write_of(heard, params, own_id)
    return asked_by_action(text_in(body, "actionId"), params, own_id)


def asked_by_action(operation: str, params: dict[str, object], own_id: str) -> Wish:
    """The request of an action or a service: its name is the operation.  Raises `Refused`."""
    if "request" in params:
        params |= body_of(text_in(params, "request", most=10_000).encode())
        del params["request"]
    return request_of(operation, {**params, "id": own_id}, own_id)


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    status, method = STATUS.get(str(answer["outcome"]), 500), str(context.get("method", "control"))
    body: dict[str, object] = {
        "method": f"{method}_reply", "clientToken": context.get("token", ""), "code": 0 if status == 200 else status,
        "status": told_of(answer),
    }  # fmt: skip
    if method == "action":
        body["response"] = {"answer": orjson.dumps(answer).decode()}
    return Encoded(body, below=str(context.get("below", "")))


TENCENT = Codec(TOPIC, _decode, _encode, REPLIES, lifetime_s=LIFETIME_S, topics=_topics, is_by_name=True)
