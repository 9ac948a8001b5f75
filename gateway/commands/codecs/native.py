"""The gateway's own requests and answers, as `schema.py` has them."""

from collections.abc import Mapping, Sequence

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish
from gateway.commands.outcome import Refused
from gateway.commands.request import decode, id_in

TOPIC = "gateways/{gateway}/commands/{requester}/{source}"


def _decode(heard: Heard) -> Sequence[Wish]:
    payload, source = heard.packet.payload, heard.names["source"]
    try:
        request = decode(payload)
    except Refused as error:
        own_id, respond_to = id_in(payload)
        return (Wish(source, None, error, own_id, respond_to),)
    return (Wish(source, request, None, request.id, request.respond_to),)


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    return Encoded(answer)


NATIVE = Codec(TOPIC, _decode, _encode, fields=frozenset(("source",)), tells_accepted=True)
