"""Direct methods of Azure IoT Hub: the name of the method is the operation, its payload our request.

    $iothub/methods/POST/write/?$rid=1f    {"source": "press-shop", "writes": [{"tag": "press-1/Speed", "value": 1.1}]}
    $iothub/methods/res/200/?$rid=1f       the answer, as `gateway schema command` has it

The hub lets in who may call methods, so one requester of the configuration stands for all of them.  A call waits for
its answer, so the request has a short life (`lifetime`) where it states no deadline.  The hub counts its requests anew
at times: the id of one that names none is made of its number and its content, so a repeat is known as one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.fields import body_of
from gateway.commands.outcome import Refused
from gateway.commands.request import request_in

TOPIC = "$iothub/methods/POST/{method}/{rid}"
REPLIES = "$iothub/methods/res"
LIFETIME_S = 30.0
STATUS = {"done": 200, "accepted": 202, "refused": 403, "expired": 408, "failed": 500, "unknown": 504}


def request_of(operation: str, body: Mapping[str, object], number: str) -> Wish:
    """The wish of a body without an operation, and perhaps without an id."""
    digest = hashlib.blake2b(json.dumps([operation, body]).encode(), digest_size=8).hexdigest()
    given = body.get("id")
    own_id = given if isinstance(given, str) and given else f"{number}:{digest}"[:128]
    source = body.get("source")
    if not isinstance(source, str):
        raise Refused("invalid", "source: the name of a source, or _gateway")
    asked = {key: value for key, value in body.items() if key != "source"}
    request = request_in({**asked, "operation": operation, "id": own_id})
    return Wish(source, request, None, own_id)


def _decode(heard: Heard) -> Sequence[Wish]:
    rid = heard.names.get("rid", "")[:200]
    context: Context = {"rid": rid}
    try:
        if not rid.startswith("?$rid="):
            raise Refused("no_id", "a call names itself by ?$rid=")
        found = request_of(heard.names["method"], body_of(heard.packet.payload), rid.removeprefix("?$"))
    except Refused as error:
        return (refusal(error, id=rid[:128], context=context),)
    return (Wish(found.source, found.request, None, found.id, context=context),)


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    return Encoded(answer, below=f"{STATUS.get(str(answer['outcome']), 500)}/{context.get('rid', '')}")


IOT_HUB = Codec(TOPIC, _decode, _encode, REPLIES, frozenset(("method", "rid")), lifetime_s=LIFETIME_S)
