"""Thing model of Alibaba's IoT Platform: properties to set, and services.

    /sys/P1/edge-1/thing/service/property/set          {"id": "7", "version": "1.0", "params": {"Press1_Speed": 1.5},
                                                        "method": "thing.service.property.set"}
    /sys/P1/edge-1/thing/service/property/set_reply    {"id": "7", "code": 200, "data": {}, "message": "done"}
    /sys/P1/edge-1/thing/service/read                  {"id": "8", "params": {"source": "press-shop", "request": "…"}}

`things` says which variable a property is.  A service is an operation, as an action is at Tencent.
"""

from collections.abc import Mapping, Sequence

import orjson

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.codecs.desired import told_of
from gateway.commands.codecs.iot_hub import LIFETIME_S, STATUS
from gateway.commands.codecs.reading import object_in, printable, text_in
from gateway.commands.codecs.tencent import asked_by_action
from gateway.commands.codecs.things import write_of
from gateway.commands.fields import body_of
from gateway.commands.outcome import Refused

TOPIC = "/sys/{product}/{thing}/thing/service"
_SET = "property/set"


def _topics(topic: str) -> tuple[str, ...]:
    return (f"{topic}/{_SET}", f"{topic}/{{service}}")


def _decode(heard: Heard) -> Sequence[Wish]:
    service = heard.names.get("service", _SET)
    context: Context = {"service": service}
    own_id = ""
    try:
        body = body_of(heard.packet.payload)
        asked_id = printable(text_in(body, "id", most=64), "id")
        context, own_id = {**context, "id": asked_id}, f"{service}-{asked_id}"[:128]
        params = dict(object_in(body, "params"))
        found = write_of(heard, params, own_id) if service == _SET else asked_by_action(service, params, own_id)
    except Refused as error:
        return (refusal(error, id=own_id, context=context),)
    return (Wish(found.source, found.request, None, found.id, context=context),)


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    service = str(context.get("service", _SET))
    data = {} if service == _SET else {"answer": orjson.dumps(answer).decode()}
    code = STATUS.get(str(answer["outcome"]), 500)
    body = {"id": context.get("id", ""), "code": code, "data": data, "message": told_of(answer)}
    return Encoded(body, below=f"{service}_reply")


ALIBABA = Codec(TOPIC, _decode, _encode, TOPIC, lifetime_s=LIFETIME_S, topics=_topics, is_by_name=True)
