"""Desired properties of an Azure IoT Hub twin.

    $iothub/twin/PATCH/properties/desired/?$version=8    {"press-shop": {"Press1/Speed": 1.5}, "$version": 8}
    $iothub/twin/PATCH/properties/reported/?$rid=8       {"press-shop": {"Press1/Speed":
                                                             {"value": 1.5, "ac": 200, "av": 8, "ad": "done"}}}

The whole twin is asked for at the beginning of each session, so what was desired meanwhile is heard of.  Answers have
the form of IoT Plug and Play: code, version, description.  `desired` says what a document means.
"""

import re
from collections.abc import Mapping, Sequence

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.codecs.desired import properties_in, told_of, wishes_of
from gateway.commands.codecs.iot_hub import LIFETIME_S, STATUS
from gateway.commands.fields import body_of
from gateway.commands.outcome import Refused

TOPIC = "$iothub/twin"
REPLIES = "$iothub/twin/PATCH/properties/reported"
_LAST = "$lastUpdatedVersion"


def _topics(topic: str) -> tuple[str, ...]:
    return (f"{topic}/PATCH/properties/desired/{{version}}", f"{topic}/res/{{status}}/{{rid}}")


def _decode(heard: Heard) -> Sequence[Wish]:
    if heard.names.get("status", "200") != "200" or not heard.packet.payload:
        return ()  # the hub confirms what was reported
    try:
        body: object = body_of(heard.packet.payload)
    except Refused as error:
        return (refusal(error, id="twin"),)
    is_whole = "status" in heard.names
    desired = body.get("desired") if is_whole and isinstance(body, Mapping) else body
    if not isinstance(desired, Mapping):
        return ()
    said = re.search(r"\$version=(\d+)", heard.names.get("version", ""))
    version = str(desired.get("$version") or (said[1] if said is not None else 0))
    return wishes_of("twin", properties_in(desired, version, desired.get("$metadata"), _LAST))


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    version = str(context.get("version", 0))
    told = {
        "value": context.get("value"), "ac": STATUS.get(str(answer["outcome"]), 500),
        "av": int(version) if version.isdigit() else 0, "ad": told_of(answer),
    }  # fmt: skip
    body = {str(context.get("source", "_")): {str(context.get("name", "_")): told}}
    return Encoded(body, below=f"?$rid={version}")


IOT_HUB_TWIN = Codec(
    TOPIC, _decode, _encode, REPLIES, lifetime_s=LIFETIME_S, topics=_topics,
    asks=[("$iothub/twin/GET/?$rid=desired", b"")],
)  # fmt: skip
