"""Requests: from the bytes of a message to a `Request`, or a refusal.  Pure.

    {"id": "7d0f…", "operation": "write", "deadline": "2026-11-30T08:00:05Z",
     "writes": [{"tag": "press-1/SpeedFactor", "value": 1.1}]}

Requests are those of `schema.py`; a key that it does not know is a mistake, because it would be a wish unheard.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gateway.commands.outcome import Refused
from gateway.commands.strict_json import MOST_BYTES, read_object

Operation = Literal["read", "write", "call"]
OPERATIONS: tuple[Operation, ...] = ("read", "write", "call")
MOST_ITEMS = 100
MOST_NAME = 1000
MOST_ID = 128
_COMMON = frozenset(("id", "operation", "deadline", "sent", "respond_to", "dry_run"))
_OWN: Mapping[str, frozenset[str]] = {
    "read": frozenset(("tags",)),
    "write": frozenset(("writes", "all_or_nothing")),
    "call": frozenset(("method", "arguments")),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants, as he says it."""

    operation: Operation
    id: str = ""
    """Empty where the body has none."""
    deadline_s: float | None = None
    """Unix time; None where the body has none."""
    sent_s: float | None = None
    """When it was sent, by the requester's clock."""
    respond_to: str = ""
    dry_run: bool = False
    """All checks, and nothing is sent."""
    tags: tuple[str, ...] = ()
    """What to read, to write, or the one method to call."""
    values: tuple[object, ...] = ()
    """For a write: what to write to each, as JSON has it."""
    all_or_nothing: bool = True
    """For a write: when one is refused, nothing is sent."""
    arguments: Mapping[str, object] = field(default_factory=dict)


def digest_of(source: str, request: Request) -> str:
    """What tells a repeat from another request of the same id: all that is asked for, and not until when."""
    asked = (source, request.operation, request.dry_run, request.tags, request.values, request.all_or_nothing)
    return hashlib.sha256(json.dumps([*asked, request.arguments], sort_keys=True).encode()).hexdigest()


def id_in(payload: bytes) -> tuple[str, str]:
    """The id and the `respond_to` of a request, as far as it can be read; for the answer to one that is refused."""
    try:
        body = read_object(payload)
        return _id(body), _text(body, "respond_to", MOST_NAME)
    except (ValueError, Refused):
        return "", ""


def decode(payload: bytes) -> Request:
    """Raises `Refused` for whatever is no request."""
    if len(payload) > MOST_BYTES:
        raise Refused("too_large", f"{len(payload)} bytes, more than {MOST_BYTES}")
    try:
        body = read_object(payload)
    except ValueError as error:
        raise Refused("invalid", f"not JSON as it is taken here: {error}") from error
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
        known, _id(body), _instant(body, "deadline"), _instant(body, "sent"), _text(body, "respond_to", MOST_NAME),
        _flag(body, "dry_run", False), tags, values, _flag(body, "all_or_nothing", True), _arguments(body),
    )  # fmt: skip


def _items(operation: Operation, body: Mapping[str, object]) -> tuple[tuple[str, ...], tuple[object, ...]]:
    if operation == "call":
        return (_name(body.get("method"), "method"),), ()
    key = "tags" if operation == "read" else "writes"
    items = body.get(key)
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_ITEMS:
        raise Refused("invalid", f"{key}: a list of 1 to {MOST_ITEMS}")
    if operation == "read":
        return tuple(_name(item, "tags") for item in items), ()
    for item in items:
        if not isinstance(item, dict) or item.keys() != {"tag", "value"}:
            raise Refused("invalid", 'writes: each is {"tag": …, "value": …}')
    return tuple(_name(item["tag"], "tag") for item in items), tuple(item["value"] for item in items)


def _name(value: object, what: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_NAME:
        raise Refused("invalid", f"{what}: a text of 1 to {MOST_NAME} characters")
    return value


def _id(body: Mapping[str, object]) -> str:
    found = _text(body, "id", MOST_ID)
    if not found.isprintable():
        raise Refused("invalid", "id: printable characters only")
    return found


def _text(body: Mapping[str, object], key: str, most: int) -> str:
    value = body.get(key, "")
    if not isinstance(value, str) or len(value) > most:
        raise Refused("invalid", f"{key}: a text of at most {most} characters")
    return value


def _flag(body: Mapping[str, object], key: str, default: bool) -> bool:
    value = body.get(key, default)
    if not isinstance(value, bool):
        raise Refused("invalid", f"{key}: true or false")
    return value


def _instant(body: Mapping[str, object], key: str) -> float | None:
    if key not in body:
        return None
    value = body[key]
    try:
        if not isinstance(value, str) or len(value) > 40:
            raise ValueError
        found = datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError
        return found.timestamp()
    except (ValueError, OverflowError) as error:
        raise Refused("invalid", f"{key}: an instant with its offset, such as 2026-11-30T08:00:05Z") from error


def _arguments(body: Mapping[str, object]) -> Mapping[str, object]:
    value = body.get("arguments", {})
    if not isinstance(value, dict) or len(value) > MOST_ITEMS:
        raise Refused("invalid", f"arguments: an object of at most {MOST_ITEMS} names and values")
    return value
