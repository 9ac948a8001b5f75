"""The shadow of an AWS thing: its delta is what shall be otherwise.

    $aws/things/edge-1/shadow/update/delta    {"version": 8, "timestamp": 1796032800,
                                               "state": {"press-shop": {"Press1/Speed": 1.5}}}
    $aws/things/edge-1/shadow/update          {"state": {"reported": {"press-shop": {"Press1/Speed": 1.5}}}}

What is done is reported, so the delta ends; what is not stands below `refused`, with the reason, and the delta stays.
The shadow is asked for at the beginning of each session.  `desired` says what a document means.
"""

from collections.abc import Mapping, Sequence

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.codecs.desired import properties_in, told_of, wishes_of
from gateway.commands.codecs.iot_hub import LIFETIME_S
from gateway.commands.fields import body_of
from gateway.commands.outcome import Refused

TOPIC = "$aws/things/{thing}/shadow"


def _topics(topic: str) -> tuple[str, ...]:
    return (f"{topic}/update/delta", f"{topic}/get/accepted")


def _decode(heard: Heard) -> Sequence[Wish]:
    try:
        body = body_of(heard.packet.payload)
    except Refused as error:
        return (refusal(error, id="shadow"),)
    state, metadata, version = body.get("state"), body.get("metadata"), str(body.get("version", 0))
    if isinstance(state, Mapping) and heard.packet.topic.endswith("/get/accepted"):
        state = state.get("delta", {})
        metadata = metadata.get("desired") if isinstance(metadata, Mapping) else None
    return wishes_of("shadow", properties_in(state, version, metadata, "timestamp"))


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    source, name = str(context.get("source", "_")), str(context.get("name", "_"))
    is_done = answer["outcome"] in ("done", "accepted")
    refused = {source: {name: None if is_done else told_of(answer)}}
    done = {source: {name: context.get("value")}} if is_done else {}
    return Encoded({"state": {"reported": {**done, "refused": refused}}}, below="update")


AWS_SHADOW = Codec(
    TOPIC, _decode, _encode, TOPIC, lifetime_s=LIFETIME_S, topics=_topics,
    asks=[("$aws/things/{thing}/shadow/get", b"")],
)  # fmt: skip
