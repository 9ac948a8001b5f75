"""Desired state: what a digital twin or a shadow says that variables shall be.  Each of them is a write of its own.

    {"press-shop": {"Press1/Speed": 1.5}, "_gateway": {"reload": "2026-11-30"}}

The first level is a source, the second a variable that a rule names; of the gateway itself only `reload` is asked, by
any new value.  The id of a write is made of the version in which the cloud changed that property, so what a cloud says
again, at every connect and in every delta, is done once.  A null is a property that was taken away: nothing happens.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from gateway.commands.codec import MOST_WISHES, Context, Wish
from gateway.commands.outcome import Refused
from gateway.commands.request import ITSELF, Request, request_in
from gateway.payload.forms import Json

RELOAD = "reload"
_MOST_KEPT = 500
"""Characters of a value that are kept for the answer; a longer one is told as null."""


@dataclass(frozen=True, slots=True)
class Property:
    """One desired property."""

    source: str
    name: str
    value: object
    version: str


def wishes_of(kind: str, found: Iterator[Property]) -> list[Wish]:
    """A wish for each property, at most `MOST_WISHES`; what is more is refused by one more."""
    wishes: list[Wish] = []
    for number, each in enumerate(found):
        if number >= MOST_WISHES:
            wishes.append(Wish(error=Refused("invalid", f"more than {MOST_WISHES} properties at once"), id=kind))
            break
        wishes.append(_wish(kind, each))
    return wishes


def _wish(kind: str, asked: Property) -> Wish:
    said = json.dumps([asked.source, asked.name, asked.value]).encode()
    digest = hashlib.blake2b(said, digest_size=8).hexdigest()
    own_id = f"{kind}-{asked.version}-{digest}"[:128]
    kept: Json = asked.value if _is_small(asked.value) else None  # type: ignore[assignment]  # decoded from JSON
    context: Context = {"source": asked.source, "name": asked.name, "version": asked.version, "value": kept}
    try:
        request = _request(asked, own_id)
    except Refused as error:
        return Wish(asked.source, None, error, own_id, context=context)
    return Wish(asked.source, request, None, own_id, context=context)


def _request(asked: Property, own_id: str) -> Request:
    if asked.source == ITSELF:
        if asked.name != RELOAD:
            raise Refused("unsupported", f"{ITSELF}: only {RELOAD} is a property")
        return request_in({"operation": "reload", "id": own_id})
    if isinstance(asked.value, Mapping):
        raise Refused("invalid", f"{asked.name}: a value, not an object")
    writes = [{"tag": asked.name, "value": asked.value}]
    return request_in({"operation": "write", "id": own_id, "writes": writes})


def _is_small(value: object) -> bool:
    try:
        return len(orjson.dumps(value)) <= _MOST_KEPT
    except TypeError:  # an integer of more than 64 bits: no variable has it
        return False


def properties_in(body: object, version: str, versions: object = None, key: str = "") -> Iterator[Property]:
    """The properties of a document, without its own `$…`.  `versions` has that of each, below `key`, if known."""
    for source, names in body.items() if isinstance(body, Mapping) else ():
        if source.startswith("$"):
            continue
        if not isinstance(names, Mapping):
            yield Property(source, "", {}, version)  # is refused: a source has variables
            continue
        for name, value in names.items():
            if value is not None:
                yield Property(source, name, value, _at(versions, source, name, key) or version)


def _at(versions: object, *path: str) -> str:
    for step in path:
        versions = versions.get(step) if isinstance(versions, Mapping) else None
    return str(versions) if isinstance(versions, int) else ""


def told_of(answer: Mapping[str, object]) -> str:
    """Outcome, and reason where there is one."""
    return ": ".join(str(answer[name]) for name in ("outcome", "reason", "detail") if answer.get(name))[:500]
