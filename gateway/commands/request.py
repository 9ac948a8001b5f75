"""Requests: from the bytes of a message to a `Request`, or a refusal.  Pure.

    {"id": "7d0f…", "operation": "write", "deadline": "2026-11-30T08:00:05Z",
     "writes": [{"tag": "press-1/SpeedFactor", "value": 1.1}]}

Requests have the form of `schema.py`.  An unknown key is a mistake, since it would be ignored silently.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from gateway.commands.fields import (
    MOST_ITEMS,
    MOST_NAME,
    arguments,
    body_of,
    flag,
    identifier,
    instant,
    name,
    names,
    one_of,
    seconds,
    text,
    whole,
)
from gateway.commands.outcome import Refused
from gateway.commands.strict_json import read_object

Operation = Literal[
    "read",
    "write",
    "call",
    "browse",
    "refresh",
    "history",
    "subscribe",
    "unsubscribe",
    "acknowledge",
    "confirm",
    "diagnostics",
    "reload",
]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
ITSELF = "_gateway"
"""In place of a source: the gateway itself.  No source can have this name."""
OF_ITSELF = ("diagnostics", "reload")
"""What the gateway itself is asked for."""
MOST_LEVELS = 100
AGGREGATES = (
    "Average", "TimeAverage", "Total", "Minimum", "Maximum", "MinimumActualTime", "MaximumActualTime", "Range", "Count",
    "Start", "End", "Delta", "Interpolative", "DurationGood", "PercentGood", "StandardDeviationSample",
)  # fmt: skip
"""Of Part 13, those that servers usually have."""
EVERY = ("variables", "events")
MOST_INTERVAL_S = 31_536_000
MOST_NODES = 1000
"""Nodes, or values of a history, in one answer."""
_COMMON = frozenset(("id", "operation", "deadline", "sent", "respond_to", "dry_run"))
_OWN: Mapping[str, frozenset[str]] = {
    "read": frozenset(("tags",)),
    "write": frozenset(("writes", "all_or_nothing")),
    "call": frozenset(("method", "arguments")),
    "browse": frozenset(("below", "levels", "limit", "after", "attributes")),
    "refresh": frozenset(("tags",)),
    "history": frozenset(("tag", "start", "end", "limit", "after", "aggregate", "interval")),
    "acknowledge": frozenset(("condition", "event", "comment")),
    "confirm": frozenset(("condition", "event", "comment")),
    "subscribe": frozenset(("tags", "every", "publishing_interval", "sampling_interval", "heartbeat_interval")),
    "unsubscribe": frozenset(("tags", "every")),
    "diagnostics": frozenset(),
    "reload": frozenset(),
}
_ONE = {
    "call": "method", "browse": "below", "history": "tag", "acknowledge": "condition", "confirm": "condition",
}  # fmt: skip
"""Operations on one node, and the key of its name."""


@dataclass(frozen=True, slots=True)
class Details:
    """What single operations say beside the nodes that they want."""

    levels: int = 1
    """browse: how deep; 0: as deep as the rule allows."""
    limit: int = 200
    """browse, history: how many nodes or values in one answer."""
    after: str = ""
    """browse, history: where the earlier page ended (its `next`)."""
    attributes: bool = False
    """browse: those of the place as well."""
    start_s: float = 0.0
    end_s: float = 0.0
    """history: unix times; the end is not in it."""
    aggregate: str = ""
    """history: one of `AGGREGATES`; empty for the values themselves."""
    interval_s: float | None = None
    """history: of each aggregate (default: the whole time)."""
    publishing_s: float | None = None
    sampling_s: float | None = None
    """subscribe: the intervals (default: those of the source)."""
    heartbeat_s: float | None = None
    """subscribe: send the last value again when it has not changed for this long (default: never)."""
    every: str = ""
    """subscribe, unsubscribe: one of `EVERY`, instead of tags: all that were subscribed to at run time."""
    event: str = ""
    """acknowledge, confirm: EventId, in base64."""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A decoded request."""

    operation: Operation
    id: str = ""
    """Empty: the body has none."""
    deadline_s: float | None = None
    """Unix time.  None: the body has none."""
    sent_s: float | None = None
    """The time of sending by the requester's clock, as unix time."""
    respond_to: str = ""
    dry_run: bool = False
    """Make all checks and send nothing to the server."""
    tags: tuple[str, ...] = ()
    """The variables to read or write, or the one method to call."""
    values: tuple[object, ...] = ()
    """For a write: the value for each tag, as decoded from JSON."""
    all_or_nothing: bool = True
    """For a write: if one is refused, send none."""
    arguments: Mapping[str, object] = field(default_factory=dict)
    details: Details = Details()
    as_text: bool = False
    """Numbers and booleans may come as text, where the node has such a type."""


def digest_of(source: str, request: Request) -> str:
    """A hash of everything requested, without the deadline.  It distinguishes a repeat from a reused id."""
    asked = (source, request.operation, request.dry_run, request.tags, request.values, request.all_or_nothing)
    more = [asdict(request.details)] if request.details != Details() else []
    return hashlib.sha256(json.dumps([*asked, request.arguments, *more], sort_keys=True).encode()).hexdigest()


def id_in(payload: bytes) -> tuple[str, str]:
    """The id and the `respond_to` of an invalid request, as far as they can be read, for the answer."""
    try:
        body = read_object(payload)
        return identifier(body), text(body, "respond_to", MOST_NAME)
    except (ValueError, Refused):
        return "", ""


def decode(payload: bytes) -> Request:
    """Decode a request.  Raises `Refused` if it is invalid."""
    return request_in(body_of(payload))


def request_in(body: Mapping[str, object]) -> Request:
    """The request in a decoded object.  Raises `Refused` if it is invalid."""
    operation = body.get("operation")
    known = next((each for each in OPERATIONS if each == operation), None)
    if known is None:
        raise Refused("invalid", f"operation: one of {', '.join(OPERATIONS)}")
    unknown = body.keys() - _COMMON - _OWN[known]
    if unknown:
        raise Refused("invalid", f"unknown keys: {', '.join(sorted(unknown))[:200]!r}")
    tags, values = _items(known, body)
    if len(set(tags)) < len(tags):
        raise Refused("invalid", "a tag stands twice")
    return Request(
        known, identifier(body), instant(body, "deadline"), instant(body, "sent"), text(body, "respond_to", MOST_NAME),
        flag(body, "dry_run", False), tags, values, flag(body, "all_or_nothing", True), arguments(body),
        _details(known, body),
    )  # fmt: skip


def _items(operation: Operation, body: Mapping[str, object]) -> tuple[tuple[str, ...], tuple[object, ...]]:
    if operation in OF_ITSELF:
        return (ITSELF,), ()
    if operation in _ONE:
        return (name(body.get(_ONE[operation]), _ONE[operation]),), ()
    if operation in ("subscribe", "unsubscribe") and "every" in body and "tags" not in body:
        return (), ()
    if operation != "write":
        return names(body, "tags"), ()
    items = body.get("writes")
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_ITEMS:
        raise Refused("invalid", f"writes: a list of 1 to {MOST_ITEMS}")
    for item in items:
        if not isinstance(item, dict) or item.keys() != {"tag", "value"}:
            raise Refused("invalid", 'writes: each is {"tag": …, "value": …}')
    return tuple(name(item["tag"], "tag") for item in items), tuple(item["value"] for item in items)


def _details(operation: Operation, body: Mapping[str, object]) -> Details:
    if operation == "browse":
        return Details(
            levels=whole(body, "levels", 1, MOST_LEVELS), limit=whole(body, "limit", 200, MOST_NODES),
            after=text(body, "after", MOST_NAME), attributes=flag(body, "attributes", False),
        )  # fmt: skip
    if operation == "history":
        start_s, end_s = instant(body, "start"), instant(body, "end")
        if start_s is None or end_s is None:
            raise Refused("invalid", "history: start and end")
        return Details(
            limit=whole(body, "limit", MOST_NODES, MOST_NODES), after=text(body, "after", MOST_NAME), start_s=start_s,
            end_s=end_s, aggregate=one_of(body, "aggregate", AGGREGATES),
            interval_s=seconds(body, "interval", MOST_INTERVAL_S),
        )  # fmt: skip
    if operation == "unsubscribe":
        return Details(every=_every(body))
    if operation == "subscribe":
        return Details(
            every=_every(body), heartbeat_s=seconds(body, "heartbeat_interval", MOST_INTERVAL_S),
            publishing_s=seconds(body, "publishing_interval", MOST_INTERVAL_S),
            sampling_s=seconds(body, "sampling_interval", MOST_INTERVAL_S),
        )  # fmt: skip
    if operation in ("acknowledge", "confirm"):
        return Details(event=name(body.get("event"), "event"), comment=text(body, "comment", MOST_NAME))
    return Details()


def _every(body: Mapping[str, object]) -> str:
    if "every" in body and "tags" in body:
        raise Refused("invalid", "tags or every, not both")
    return one_of(body, "every", EVERY)
