"""The history methods of OPC Publisher: raw values, processed values, and the next page of either.  Pure.

A continuation token holds the request whose next page it is.  It is data from outside like any other: it names a
variable to look up among those of the rules, and a span that the rule bounds.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace

import orjson

from gateway.commands.codecs.reading import Body, node_of, number_in, object_in, text_in
from gateway.commands.fields import instant_of
from gateway.commands.outcome import Refused
from gateway.commands.request import AGGREGATES, MOST_INTERVAL_S, MOST_NODES, Details, Request
from gateway.commands.strict_json import read_object
from gateway.payload.forms import Json

_KEYS = frozenset(("startTime", "endTime", "numValues", "processingInterval", "aggregateType"))


def read_values(own_id: str, body: Body) -> Request:
    return _history(own_id, body, "")


def read_processed(own_id: str, body: Body) -> Request:
    return _history(own_id, body, text_in(object_in(body, "details"), "aggregateType"))


def read_next(own_id: str, body: Body) -> Request:
    try:
        said = read_object(base64.b64decode(text_in(body, "continuationToken", most=4000), validate=True))
    except (ValueError, binascii.Error) as error:
        raise Refused("invalid", "continuationToken: not one of an answer") from error
    found = _history(own_id, said, text_in(object_in(said, "details"), "aggregateType", ""))
    return replace(found, details=replace(found.details, after=text_in(said, "after")))


def _history(own_id: str, body: Body, aggregate: str) -> Request:
    """`startTime` is before `endTime`; values come in the order of time."""
    details = object_in(body, "details")
    if unknown := details.keys() - _KEYS:
        raise Refused("unsupported", f"details: keys that are not heard here: {', '.join(sorted(unknown))[:200]}")
    name = aggregate.rpartition("AggregateFunction_")[2]
    if name and name not in AGGREGATES:
        raise Refused("unsupported", f"aggregateType: one of {', '.join(AGGREGATES)}")
    interval_ms = number_in(details, "processingInterval", 1, MOST_INTERVAL_S * 1000) if name else None
    limit = int(number_in(details, "numValues", 1, 2**32)) if details.get("numValues") else MOST_NODES
    asked = Details(
        limit=min(limit, MOST_NODES), start_s=instant_of(text_in(details, "startTime"), "startTime"),
        end_s=instant_of(text_in(details, "endTime"), "endTime"), aggregate=name,
        interval_s=interval_ms / 1000 if interval_ms is not None else None,
    )  # fmt: skip
    return Request("history", own_id, tags=(node_of(text_in(body, "nodeId")),), details=asked)


def kept_of(body: Body) -> dict[str, Json]:
    """What the next page needs of this request."""
    if isinstance(token := body.get("continuationToken"), str):
        return {"token": token[:4000]}
    details = body.get("details")
    return {"nodeId": str(body.get("nodeId"))[:1000], "details": dict(details) if isinstance(details, dict) else {}}


def answer_of(result: Body, kept: Mapping[str, Json]) -> dict[str, object]:
    values = result.get("values")
    found: dict[str, object] = {"history": [_value(each) for each in values] if isinstance(values, Sequence) else []}
    if result.get("next"):
        asked = read_object(base64.b64decode(str(kept["token"]))) if "token" in kept else kept
        token = {"nodeId": asked["nodeId"], "details": asked["details"], "after": result["next"]}
        found["continuationToken"] = base64.b64encode(orjson.dumps(token)).decode()
    return found


def _value(each: Body) -> dict[str, object]:
    status = {"status": {"statusCode": each["status"]}} if each.get("status") else {}
    return {"value": each["value"], "sourceTimestamp": each["time"], **status}
