"""A strict reader for JSON from outside: bounded, no repeated keys, no `NaN`, no number that becomes infinite.

The reader of the standard library accepts all of these (of repeated keys the last one wins), so two readers could
understand one message differently.
"""

import json
import re
from math import isfinite

MOST_BYTES = 65_536
MOST_DEPTH = 16
_MOST_DIGITS = 40
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def read_object(octets: bytes) -> dict[str, object]:
    """Decode one object.  Raises only `ValueError`, with the problem."""
    if len(octets) > MOST_BYTES:
        raise ValueError(f"{len(octets)} bytes, more than {MOST_BYTES}")
    if _depth(octets) > MOST_DEPTH:
        raise ValueError(f"nested more than {MOST_DEPTH} deep")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    found = json.loads(
        text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_number
    )
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error for every problem
    _check_texts(found)
    return found


def _depth(octets: bytes) -> int:
    """The deepest nesting, found without recursion."""
    deepest = depth = 0
    for octet in _STRINGS.sub(b"", octets):
        if octet in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif octet in b"]}":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _check_texts(value: object) -> None:
    """Raises `ValueError` for half a surrogate pair: it is not a character and cannot be encoded again."""
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError("a text with half a surrogate pair")
    for part in (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_texts(part)


def _constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _number(text: str) -> float:
    found = float(text)
    if len(text) > 10 * _MOST_DIGITS or not isfinite(found):
        raise ValueError("a number beyond the range of IEEE 754")
    return found
