"""Property sets of Huawei's IoTDA: a write of all of them, or of none.

    $oc/devices/edge-1/sys/properties/set/request_id=7f
        {"services": [{"service_id": "press-shop", "properties": {"Press1_Speed": 1.5}}]}
    $oc/devices/edge-1/sys/properties/set/response/request_id=7f
        {"result_code": 0, "result_desc": "done"}

`service_id` is the name of a source, or else the properties alone say which one is meant (`things`).
"""

from collections.abc import Mapping, Sequence

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.codecs.desired import told_of
from gateway.commands.codecs.iot_hub import LIFETIME_S
from gateway.commands.codecs.reading import object_in, objects_in, text_in
from gateway.commands.codecs.things import write_of
from gateway.commands.fields import body_of
from gateway.commands.outcome import Refused

TOPIC = "$oc/devices/{thing}/sys/properties/set/{rid}"
REPLIES = "$oc/devices/{thing}/sys/properties/set/response"


def _decode(heard: Heard) -> Sequence[Wish]:
    rid = heard.names.get("rid", "")[:128]
    context: Context = {"rid": rid}
    try:
        if not rid.startswith("request_id="):
            raise Refused("no_id", "a request names itself by request_id=")
        services = objects_in(body_of(heard.packet.payload), "services")
        if len(services) > 1:
            raise Refused("invalid", "services: one at once")
        service = text_in(services[0], "service_id")
        source = service if heard.endpoints.get(service.casefold()) == (service,) else ""
        found = write_of(heard, object_in(services[0], "properties"), rid, source)
    except Refused as error:
        return (refusal(error, id=rid, context=context),)
    return (Wish(found.source, found.request, None, found.id, context=context),)


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    body = {"result_code": 0 if answer["outcome"] in ("done", "accepted") else 1, "result_desc": told_of(answer)}
    return Encoded(body, below=str(context.get("rid", "")))


IOTDA_PROPERTIES = Codec(TOPIC, _decode, _encode, REPLIES, frozenset(("rid",)), lifetime_s=LIFETIME_S, is_by_name=True)
