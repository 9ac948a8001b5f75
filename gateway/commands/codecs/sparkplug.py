"""Sparkplug B: a DCMD of a host writes to the metrics of a device.

    spBv1.0/{group}/DCMD/{edge node}/{device}    the topic, as it is configured; {device} stays

It belongs to a broker with values in the format `sparkplug`: the edge node there knows what an alias means, and hands
the writes over as JSON (`gateway/payload/sparkplug/orders.py`).  The topic does not tell who asks, so `requester` does.

All metrics of one DCMD are written, or none.  Its timestamp begins a lifetime of a minute (`lifetime`).  The same
DCMD, which has the same timestamp, is done once.  Sparkplug has no answers: the new value comes as a DDATA; for those
who want to know more, an answer in the gateway's own form goes to `replies`.
"""

import hashlib
from collections.abc import Mapping, Sequence

import orjson

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.outcome import Refused
from gateway.commands.request import Request

TOPIC = "spBv1.0/factory/DCMD/{gateway}/{device}"
_LIFETIME_S = 60.0


def _decode(heard: Heard) -> Sequence[Wish]:
    try:
        body = orjson.loads(heard.packet.payload)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return (refusal(Refused("invalid", "no edge node has resolved it: is the values' format sparkplug?")),)
    topic_and_body = heard.packet.topic.encode() + b"\0" + heard.packet.payload
    own_id = f"dcmd-{hashlib.sha256(topic_and_body).hexdigest()[:32]}"
    source = str(body.get("source", ""))
    if "error" in body:
        return (refusal(Refused("invalid", str(body["error"])), id=own_id, source=source),)
    writes = body["writes"]
    names = tuple(str(name) for name, _ in writes)
    if len(set(names)) < len(names):
        return (refusal(Refused("invalid", "a metric stands twice"), id=own_id, source=source),)
    request = Request(
        "write", id=own_id, sent_s=body["timestamp"] / 1000, tags=names, values=tuple(value for _, value in writes)
    )
    return (Wish(source, request, id=own_id),)


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    return Encoded(dict(answer))


SPARKPLUG = Codec(TOPIC, _decode, _encode, lifetime_s=_LIFETIME_S)
