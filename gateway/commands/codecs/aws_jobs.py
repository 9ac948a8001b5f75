"""Jobs of AWS IoT: a job's document is a request of ours, with the name of its source.

    $aws/things/edge-1/jobs/notify-next    {"execution": {"jobId": "reload-7", "executionNumber": 1, "jobDocument":
                                               {"source": "_gateway", "operation": "reload"}}}
    $aws/things/edge-1/jobs/reload-7/update    {"status": "SUCCEEDED", "statusDetails": {"outcome": "done"}}

`_gateway` with `reload` or `diagnostics` is the gateway itself; its rule allows it as any other.  The next job is asked
for at the beginning of each session, and AWS names it after each update.  A document that names no deadline has the
lifetime of the codec from its arrival.
"""

from collections.abc import Mapping, Sequence

import orjson

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.codecs.iot_hub import LIFETIME_S, request_of
from gateway.commands.codecs.reading import object_in, text_in
from gateway.commands.fields import body_of
from gateway.commands.outcome import Refused

TOPIC = "$aws/things/{thing}/jobs"
_STATUS = {"done": "SUCCEEDED", "refused": "REJECTED"}
_MOST_TOLD = 1000
"""AWS takes values of 1024 characters."""


def _topics(topic: str) -> tuple[str, ...]:
    return (f"{topic}/notify-next", f"{topic}/$next/get/accepted")


def _decode(heard: Heard) -> Sequence[Wish]:
    context: Context = {}
    own_id = ""
    try:
        body = body_of(heard.packet.payload)
        if not body.get("execution"):
            return ()  # no job waits
        execution = object_in(body, "execution")
        if execution.get("status") in ("SUCCEEDED", "FAILED", "REJECTED"):
            return ()
        job = text_in(execution, "jobId", most=64)
        context, own_id = {"job": job}, f"job-{job}-{execution.get('executionNumber', 1)}"[:128]
        document = dict(object_in(execution, "jobDocument"))
        operation = str(document.pop("operation", ""))
        found = request_of(operation, {**document, "id": own_id}, own_id)
    except Refused as error:
        return (refusal(error, id=own_id, context=context),)
    return (Wish(found.source, found.request, None, own_id, context=context),)


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    details = {name: str(answer[name])[:_MOST_TOLD] for name in ("outcome", "reason", "detail") if answer.get(name)}
    results = orjson.dumps(answer.get("results", [])).decode()
    if len(results) <= _MOST_TOLD:
        details["results"] = results
    status = _STATUS.get(str(answer["outcome"]), "FAILED")
    return Encoded({"status": status, "statusDetails": details}, below=f"{context.get('job', '_')}/update")


AWS_JOBS = Codec(
    TOPIC, _decode, _encode, TOPIC, lifetime_s=LIFETIME_S, topics=_topics,
    asks=[("$aws/things/{thing}/jobs/$next/get", b"{}")],
)  # fmt: skip
