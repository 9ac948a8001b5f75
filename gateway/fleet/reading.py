"""One presence message, which may hold anything: whoever may publish on the topic has written it.

What is not a presence is `Rejected`, with a reason of a small set.  Texts are cut, and characters that a terminal would
obey are replaced.  Presence of older gateways, without `health`, and status messages of OPC UA PubSub are read, too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from gateway.errors import Rejected

MOST_BYTES = 2**20
"""The longest message: that of a gateway with thousands of streams, and the names of what may be commanded."""
MOST_TEXT = 300
MOST_NAME = 128
_MOST = 2.0**53
"""No number is larger, in seconds or values."""
_PUBSUB_STATES = {2: "online", 3: "offline", 0: "offline"}
"""Operational, Error (the last will) and Disabled (Part 14, 6.2.1)."""

Facts = Mapping[str, object]


class _WrongError(Exception):
    """A part of a message is not what it should be."""


@dataclass(frozen=True, slots=True)
class Counted:
    up: int
    all: int


@dataclass(frozen=True, slots=True)
class Condition:
    """How a gateway is, as its `health` tells it."""

    sources: Counted
    brokers: Counted
    backlog_values: int = 0
    backlog_age_s: float = 0.0
    lost_values: int = 0
    gap: tuple[datetime | None, str, str] | None = None
    """Time, source and cause of the last one."""
    group: tuple[str, str] | None = None
    """Its name, and the member that speaks."""
    refused: str = ""
    pulled: tuple[str, str] | None = None
    """The revision of the configuration that was pulled last, and what came of it."""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What a gateway has said about itself."""

    name: str
    online: bool
    reason: str = ""
    """Why it is offline: `stopped` or `lost`."""
    since: datetime | None = None
    time: datetime | None = None
    """When it said so, by its own clock."""
    heartbeat_s: float | None = None
    version: str = ""
    config: str = ""
    condition: Condition | None = None
    """None: an older gateway, or one that is offline."""


def read(payload: bytes) -> Told:
    """What a message tells.  Raises `Rejected`: `too_large`, `not_json`, `not_presence`."""
    if len(payload) > MOST_BYTES:
        raise Rejected("too_large", f"{len(payload)} bytes, a presence has at most {MOST_BYTES}")
    try:
        body = orjson.loads(payload)
    except ValueError as error:
        raise Rejected("not_json", "this is not JSON") from error
    if not isinstance(body, dict):
        raise Rejected("not_presence", "this is no object")
    try:
        return _status(body) if body.get("MessageType") == "ua-status" else _presence(body)
    except (_WrongError, ValueError, OverflowError) as error:
        raise Rejected("not_presence", str(error)) from error


def _presence(body: Facts) -> Told:
    state = _text(body, "state")
    if state not in ("online", "offline"):
        raise _WrongError("state is neither online nor offline")
    told = Told(
        name=_text(body, "gateway", MOST_NAME),
        online=state == "online",
        reason=_text(body, "reason"),
        since=_instant(body, "since"),
        time=_instant(body, "time"),
        heartbeat_s=_number(body, "heartbeat_s") if "heartbeat_s" in body else None,
        version=_text(body, "version", MOST_NAME),
        config=_text(body, "config", MOST_NAME),
        condition=_condition(_part(body, "health")),
    )
    if not told.name:
        raise _WrongError("the name is missing")
    return told


def _condition(health: Facts | None) -> Condition | None:
    if health is None:
        return None
    backlog, gap = _part(health, "backlog") or {}, _part(health, "gap")
    group, pulled = _part(health, "group"), _part(health, "pulled")
    return Condition(
        sources=_counted(health, "sources"),
        brokers=_counted(health, "brokers"),
        backlog_values=int(_number(backlog, "values")),
        backlog_age_s=_number(backlog, "age_s"),
        lost_values=int(_number(health, "lost_values")),
        gap=None if gap is None else (_instant(gap, "time"), _text(gap, "source"), _text(gap, "cause")),
        group=None if group is None else (_text(group, "name"), _text(group, "member")),
        refused=_text(_part(health, "refused") or {}, "why"),
        pulled=None if pulled is None else (_text(pulled, "revision"), _text(pulled, "outcome")),
        trouble=_text(health, "trouble"),
    )


def _status(body: Facts) -> Told:
    status = body.get("Status")
    if type(status) is not int or status not in _PUBSUB_STATES:
        raise _WrongError("Status is none of this gateway's")
    reason = {3: "lost", 0: "stopped"}.get(status, "")
    return Told(_text(body, "PublisherId", MOST_NAME), _PUBSUB_STATES[status] == "online", reason)


# -- parts that may be of any type


def _part(facts: Facts, key: str) -> Facts | None:
    found = facts.get(key)
    if found is not None and not isinstance(found, dict):
        raise _WrongError(f"{key} is no object")
    return found


def _text(facts: Facts, key: str, most: int = MOST_TEXT) -> str:
    found = facts.get(key, "")
    if not isinstance(found, str):
        raise _WrongError(f"{key} is no text")
    return clean(found, most)


def clean(text: str, most: int = MOST_TEXT) -> str:
    """The text without what a terminal obeys, at most so long."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(each if each.isprintable() else "\ufffd" for each in cut)


def _number(facts: Facts, key: str) -> float:
    found = facts.get(key, 0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found) or found < 0:
        raise _WrongError(f"{key} is no number from 0")
    return min(float(found), _MOST)


def _counted(facts: Facts, key: str) -> Counted:
    part = _part(facts, key) or {}
    return Counted(int(_number(part, "up")), int(_number(part, "all")))


def _instant(facts: Facts, key: str) -> datetime | None:
    found = _text(facts, key)
    if not found:
        return None
    instant = datetime.fromisoformat(found)
    return instant.astimezone(UTC) if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
