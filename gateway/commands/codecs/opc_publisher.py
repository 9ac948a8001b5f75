"""OPC Publisher's methods: read, write, call, browse and history, so that its users can move.

    {root}/methods/ValueWrite_V2     {"connection": {"endpoint": {"url": "opc.tcp://plc:4840"}},
                                      "request": {"nodeId": "nsu=urn:plant;s=Speed", "value": 1.1}}

The root is `gateways/{gateway}/opc-publisher/{requester}`, or what the configuration says.  Names of methods are taken
in any case, with or without `_V1` and `_V2`.  Answers go to the Response Topic with the Correlation Data and carry a
`StatusCode` (as of HTTP) among the user properties; the correlation is the id of the request.  MQTT 3.1.1 names the
request in its topic (`…/methods/ValueRead_V2/?$rid=7f0c…`), and the answer goes to `{replies}/{status}/?$rid=7f0c…`.

What is different, on purpose:

- The `endpoint` chooses one of the configured sources; its security, and credentials in `header`, are not read.
- Node ids are names to look up among those of the rules: with the namespace URI (`nsu=…;s=…` or `uri#s=…`).
- A request needs an expiry (or `lifetime` in the configuration), and is done once; `rid` has 8 characters or more.
- Values are in our JSON form and of exactly the node's type: `dataType` is not a wish to convert.
- `indexRange`, attributes and timestamps of writes are refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from gateway.commands.codec import Codec, Context, Encoded, Heard, Wish, refusal
from gateway.commands.codecs.opc_publisher_history import answer_of, kept_of, read_next, read_processed, read_values
from gateway.commands.codecs.reading import Body, node_of, object_in, printable, results_of, status_of, text_in
from gateway.commands.fields import body_of
from gateway.commands.outcome import Refused
from gateway.commands.request import Request
from gateway.payload.forms import Json

TOPIC = "gateways/{gateway}/opc-publisher/{requester}/methods/{method}"
_REPLIES = "gateways/{gateway}/opc-publisher/{requester}/responses"
_RID = "?$rid="
_SHORTEST_RID = 8
_VERSION = re.compile(r"_v[12]$")
_READ_WISHES = frozenset(("nodeId", "browsePath", "header", "maxAge", "timestampsToReturn"))


def _topics(topic: str) -> tuple[str, ...]:
    return topic, f"{topic}/{{rid}}"


def _decode(heard: Heard) -> Sequence[Wish]:
    rid = heard.names.get("rid", "")
    own_id = f"rid:{rid.removeprefix(_RID)}" if rid else ""
    context: Context = {"method": heard.names["method"][:100], **({"rid": rid[:200]} if rid else {})}
    try:
        if rid and (not rid.startswith(_RID) or len(rid) < len(_RID) + _SHORTEST_RID):
            raise Refused("no_id", f"a request names itself by {_RID} and {_SHORTEST_RID} characters or more")
        body = body_of(heard.packet.payload)
        source = heard.source_at(text_in(object_in(object_in(body, "connection"), "endpoint"), "url"))
        asked = object_in(body, "request")
        request = _request(heard.names["method"], asked, printable(own_id, "rid"))
        if request.operation == "history":
            context = {**context, "history": kept_of(asked)}
    except Refused as error:
        return (refusal(error, id=own_id[:128], context=context),)
    return (Wish(source, request, None, own_id, context=context),)


def _request(method: str, body: Body, own_id: str) -> Request:
    name = _VERSION.sub("", method.casefold())
    build = _METHODS.get(name)
    if build is None:
        raise Refused("unsupported", f"there are {', '.join(sorted(_METHODS))}")
    if body.get("browsePath"):
        raise Refused("unsupported", "browsePath: name the node by its id")
    return build(own_id, body)


def _read(own_id: str, body: Body) -> Request:
    if unknown := body.keys() - _READ_WISHES:
        raise Refused("unsupported", f"keys that are not heard here: {', '.join(sorted(unknown))[:200]}")
    return Request("read", own_id, tags=(node_of(text_in(body, "nodeId")),))


def _write(own_id: str, body: Body) -> Request:
    if "value" not in body:
        raise Refused("invalid", "value: is missing")
    if unknown := body.keys() - {"nodeId", "browsePath", "header", "value", "dataType"}:
        raise Refused("unsupported", f"keys that are not heard here: {', '.join(sorted(unknown))[:200]}")
    return Request("write", own_id, tags=(node_of(text_in(body, "nodeId")),), values=(body["value"],))


def _call(own_id: str, body: Body) -> Request:
    """Its arguments have places and no names."""
    given = body.get("arguments") or []
    if not isinstance(given, list) or not all(isinstance(each, dict) and "value" in each for each in given):
        raise Refused("invalid", 'arguments: a list of {"value": …}')
    arguments = {str(place): each["value"] for place, each in enumerate(given[:100])}
    return Request("call", own_id, tags=(node_of(text_in(body, "methodId")),), arguments=arguments)


def _browse(own_id: str, body: Body) -> Request:
    """What is right below; `nodes` of the answer are its references."""
    return Request("browse", own_id, tags=(node_of(text_in(body, "nodeId")),))


_METHODS: Mapping[str, Callable[[str, Body], Request]] = {
    "valueread": _read,
    "valuewrite": _write,
    "methodcall": _call,
    "browse": _browse,
    "nodebrowse": _browse,
    "historyreadvalues": read_values,
    "historyreadprocessedvalues": read_processed,
    "historyreadvaluesnext": read_next,
    "historyreadprocessedvaluesnext": read_next,
}


def _encode(answer: Mapping[str, object], context: Context) -> Encoded:
    code = _http_code(answer)
    body = _problem(answer, code) if code >= 400 else _body(answer, context)
    below = f"{code}/{context['rid']}" if "rid" in context else ""
    return Encoded(body, (("StatusCode", str(code)),), below)


def _http_code(answer: Mapping[str, object]) -> int:
    outcome, reason = answer["outcome"], str(answer.get("reason", ""))
    if outcome == "refused":
        return _CODES.get(reason, 400)
    return {"done": 200, "failed": 200, "expired": 408, "unknown": 504}.get(str(outcome), 202)


def _body(answer: Mapping[str, object], context: Context) -> dict[str, object]:
    """What the method gave; a StatusCode of the server stands in `errorInfo`, as there."""
    result = next(iter(results_of(answer)), {})
    found: dict[str, object] = {}
    outputs = result.get("outputs")
    if answer["operation"] == "call":
        values = list(outputs.values()) if isinstance(outputs, dict) else []
        found["results"] = [{"value": value} for value in values]
    elif answer["operation"] == "read" and "value" in result:
        found["value"] = result["value"]
        if result.get("type"):
            found["dataType"] = result["type"]
    if answer["operation"] == "history":
        found |= answer_of(result, _kept(context))
    if answer["operation"] == "browse" and isinstance(nodes := result.get("nodes"), list):
        found["node"] = {"nodeId": result.get("node", "")}
        found["references"] = [
            {"target": {"nodeId": each["node"], "browseName": each["path"], "nodeClass": each.get("class", "")}}
            for each in nodes
        ]
        if result.get("next"):
            found["continuationToken"] = result["next"]
    if status := status_of(result or answer):
        found["errorInfo"] = {"statusCode": status, "errorMessage": _detail(answer)}
    return found


def _problem(answer: Mapping[str, object], code: int) -> dict[str, object]:
    """RFC 9457."""
    return {
        "status": code,
        "title": str(answer.get("reason") or answer["outcome"]),
        "detail": _detail(answer),
        "errorInfo": {"statusCode": status_of(answer), "errorMessage": _detail(answer)},
    }


def _kept(context: Context) -> Mapping[str, Json]:
    kept = context.get("history")
    return kept if isinstance(kept, dict) else {}


def _detail(answer: Mapping[str, object]) -> Json:
    return str(answer.get("detail", ""))


_CODES: Mapping[str, int] = {
    "not_allowed": 403, "requester_unknown": 403, "access_denied": 403, "sender": 403, "response_topic": 403,
    "source_unknown": 404, "busy": 429, "too_fast": 429, "too_large": 413, "unsupported": 405,
    "source_away": 503, "stopped": 503, "restarted": 503, "journal_full": 503, "journal_damaged": 503,
    "id_reused": 409, "fault": 500,
}  # fmt: skip

OPC_PUBLISHER = Codec(TOPIC, _decode, _encode, _REPLIES, frozenset(("method",)), _topics)
