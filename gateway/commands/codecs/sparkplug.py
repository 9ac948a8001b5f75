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
from gateway.commands.codecs.reading import Body, number_in, text_in
from gateway.commands.fields import MOST_ITEMS
from gateway.commands.outcome import Refused
from gateway.commands.request import Request

TOPIC = "spBv1.0/factory/DCMD/{gateway}/{device}"
_LIFETIME_S = 60.0
_LATEST_MS = 1e14


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
    try:
        return (Wish(source, _request(body, own_id), id=own_id),)
    except Refused as error:
        return (refusal(error, id=own_id, source=source),)


def _request(body: Body, own_id: str) -> Request:
    """What comes on this topic without an edge node in between may be anything."""
    writes = body.get("writes")
    if not isinstance(writes, list) or not all(isinstance(each, list) and len(each) == 2 for each in writes):
        raise Refused("invalid", "writes: a list of names and values")
    names = tuple(text_in({"writes": name}, "writes") for name, _ in writes)
    if not 1 <= len(names) <= MOST_ITEMS or len(set(names)) < len(names):
        raise Refused("invalid", f"writes: 1 to {MOST_ITEMS} metrics, each once")
    sent_s = number_in(body, "timestamp", 0, _LATEST_MS) / 1000
    return Request("write", id=own_id, sent_s=sent_s, tags=names, values=tuple(value for _, value in writes))


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    return Encoded(dict(answer))


SPARKPLUG = Codec(TOPIC, _decode, _encode, lifetime_s=_LIFETIME_S)
