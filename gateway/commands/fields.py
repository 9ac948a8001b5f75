"""The fields of a request, each read with its bounds; whatever has another form is refused.  Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from gateway.commands.outcome import Refused
from gateway.commands.strict_json import MOST_BYTES, read_object

MOST_ITEMS = 100
MOST_NAME = 1000
MOST_ID = 128


def body_of(payload: bytes) -> dict[str, object]:
    """The one object of a message."""
    if len(payload) > MOST_BYTES:
        raise Refused("too_large", f"{len(payload)} bytes, more than {MOST_BYTES}")
    try:
        return read_object(payload)
    except ValueError as error:
        raise Refused("invalid", f"not JSON that is accepted here: {error}") from error


def name(value: object, what: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_NAME:
        raise Refused("invalid", f"{what}: a text of 1 to {MOST_NAME} characters")
    return value


def names(body: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A list of names, each once."""
    items = body.get(key)
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_ITEMS:
        raise Refused("invalid", f"{key}: a list of 1 to {MOST_ITEMS}")
    return tuple(name(item, key) for item in items)


def identifier(body: Mapping[str, object]) -> str:
    found = text(body, "id", MOST_ID)
    if not found.isprintable():
        raise Refused("invalid", "id: printable characters only")
    return found


def text(body: Mapping[str, object], key: str, most: int) -> str:
    value = body.get(key, "")
    if not isinstance(value, str) or len(value) > most:
        raise Refused("invalid", f"{key}: a text of at most {most} characters")
    return value


def flag(body: Mapping[str, object], key: str, default: bool) -> bool:
    value = body.get(key, default)
    if not isinstance(value, bool):
        raise Refused("invalid", f"{key}: true or false")
    return value


def whole(body: Mapping[str, object], key: str, default: int, most: int) -> int:
    """A whole number from 1."""
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise Refused("invalid", f"{key}: a whole number from 1 to {most}")
    return value


def seconds(body: Mapping[str, object], key: str, most_s: float) -> float | None:
    """A positive number of seconds."""
    if key not in body:
        return None
    value = body[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most_s:
        raise Refused("invalid", f"{key}: seconds, more than 0 and at most {most_s:g}")
    return float(value)


def one_of(body: Mapping[str, object], key: str, known: Sequence[str]) -> str:
    """One of these texts; empty where there is none."""
    if key not in body:
        return ""
    value = body[key]
    if not isinstance(value, str) or value not in known:
        raise Refused("invalid", f"{key}: one of {', '.join(known)}")
    return value


def instant(body: Mapping[str, object], key: str) -> float | None:
    """Unix time; None where there is none."""
    return instant_of(body[key], key) if key in body else None


def instant_of(value: object, what: str) -> float:
    """Unix time of an instant with its offset; it may have more digits of a second than Python keeps."""
    try:
        if not isinstance(value, str) or len(value) > 40:
            raise ValueError
        found = datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError
        return found.timestamp()
    except (ValueError, OverflowError) as error:
        raise Refused("invalid", f"{what}: an instant with its offset, such as 2026-11-30T08:00:05Z") from error


def arguments(body: Mapping[str, object]) -> Mapping[str, object]:
    value = body.get("arguments", {})
    if not isinstance(value, dict) or len(value) > MOST_ITEMS:
        raise Refused("invalid", f"arguments: an object of at most {MOST_ITEMS} names and values")
    return value
