"""Requests of `gateway command`, from the words of the command line."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from gateway.cli.verbs import Verb
from gateway.commands.forms import instant_of
from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options say; None: nothing."""

    partly: bool = False
    levels: int | None = None
    limit: int | None = None
    after: str | None = None
    start: str | None = None
    end: str | None = None
    aggregate: str | None = None
    interval: float | None = None
    comment: str | None = None
    publishing_interval: float | None = None
    sampling_interval: float | None = None


OPTIONS: Mapping[Verb, tuple[str, ...]] = {
    Verb.WRITE: ("partly",),
    Verb.BROWSE: ("levels", "limit", "after"),
    Verb.HISTORY: ("limit", "after", "start", "end", "aggregate", "interval"),
    Verb.SUBSCRIBE: ("publishing_interval", "sampling_interval"),
    **dict.fromkeys((Verb.ACKNOWLEDGE, Verb.ACK, Verb.CONFIRM), ("comment",)),
}
"""Which options go with which verb."""


def body_of(verb: Verb, items: Sequence[str], wish: Wish) -> dict[str, object]:
    """What is asked for.  Raises `ConfigError` for what makes no request."""
    _check_options(verb, wish)
    given = {key: value for key in OPTIONS.get(verb, ()) if (value := getattr(wish, key)) not in (None, False)}
    match verb:
        case Verb.WRITE:
            return _write(items, wish.partly)
        case Verb.CALL:
            return _call(items)
        case Verb.BROWSE:
            return {"operation": verb.value, "below": _one(verb, items), **given}
        case Verb.HISTORY:
            now_ns = time.time_ns()
            span = {"start": instant_of(now_ns - 3600 * 10**9), "end": instant_of(now_ns)}
            return {"operation": verb.value, "tag": _one(verb, items), **span, **given}
        case Verb.ACKNOWLEDGE | Verb.ACK | Verb.CONFIRM:
            if len(items) != 2:
                raise ConfigError([f"{verb.value}: a condition and the EventId of its alarm, in base64"], 2)
            operation = "confirm" if verb is Verb.CONFIRM else "acknowledge"
            return {"operation": operation, "condition": items[0], "event": items[1], **given}
        case Verb.DIAGNOSTICS | Verb.RELOAD:
            if items:
                raise ConfigError([f"{verb.value}: nothing more to say, such as {items[0]!r}"], 2)
            return {"operation": verb.value}
    if not items:
        raise ConfigError([f"{verb.value}: name at least one tag"], 2)
    return {"operation": verb.value, "tags": list(items), **given}


def _check_options(verb: Verb, wish: Wish) -> None:
    every = {key for keys in OPTIONS.values() for key in keys}
    for key in sorted(every - set(OPTIONS.get(verb, ()))):
        if getattr(wish, key) not in (None, False):
            fits = ", ".join(each.value for each, keys in OPTIONS.items() if key in keys)
            raise ConfigError([f"--{key.replace('_', '-')} goes with {fits}, not with {verb.value}"], 2)


def _one(verb: Verb, items: Sequence[str]) -> str:
    if len(items) != 1:
        raise ConfigError([f"{verb.value}: name one node"], 2)
    return items[0]


def _write(items: Sequence[str], partly: bool) -> dict[str, object]:
    if len(items) % 2 or not items:
        raise ConfigError(["write: needs a value after each tag, such as press-1/SpeedFactor 1.1"], 2)
    writes = [{"tag": tag, "value": _value(text)} for tag, text in zip(items[::2], items[1::2], strict=True)]
    return {"operation": "write", "writes": writes, "all_or_nothing": not partly}


def _call(items: Sequence[str]) -> dict[str, object]:
    if not items:
        raise ConfigError(["call: name a method"], 2)
    method, *arguments = items
    wrong = [text for text in arguments if "=" not in text]
    if wrong:
        raise ConfigError([f"call: arguments must be NAME=VALUE, not {wrong[0]!r}"], 2)
    named = dict(text.split("=", 1) for text in arguments)
    return {"operation": "call", "method": method, "arguments": {name: _value(text) for name, text in named.items()}}


def _value(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
