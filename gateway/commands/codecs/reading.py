"""Typed access to the parts of a foreign message.  A part that is missing or of another type is `Refused`."""

import re
from collections.abc import Mapping

from gateway.commands.outcome import Refused

MOST_TEXT = 1000
MOST_LIST = 100
Body = Mapping[str, object]
_URI_ID = re.compile(r"([a-z][a-z0-9+.-]*:[^#]*)#([isgb]=.+)", re.DOTALL | re.IGNORECASE)


def object_in(body: Body, key: str) -> Body:
    found = body.get(key)
    if not isinstance(found, dict):
        raise Refused("invalid", f"{key}: an object")
    return found


def objects_in(body: Body, key: str, most: int = MOST_LIST) -> list[Body]:
    found = body.get(key)
    if not isinstance(found, list) or not 1 <= len(found) <= most or not all(isinstance(each, dict) for each in found):
        raise Refused("invalid", f"{key}: a list of 1 to {most} objects")
    return found


def text_in(body: Body, key: str, default: str | None = None, most: int = MOST_TEXT) -> str:
    """A text; where it may be missing, `default`."""
    found = body.get(key, default)
    if not isinstance(found, str) or len(found) > most or (not found and default is None):
        raise Refused("invalid", f"{key}: a text of 1 to {most} characters")
    return found


def number_in(body: Body, key: str, low: float, high: float) -> float:
    found = body.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
        raise Refused("invalid", f"{key}: a number from {low:g} to {high:g}")
    return found


def node_of(text: str) -> str:
    """A node id as the rules' side writes it: `uri#s=x` is `nsu=uri;s=x`."""
    found = _URI_ID.fullmatch(text)
    return f"nsu={found[1]};{found[2]}" if found is not None else text


def printable(text: str, what: str, most: int = 128) -> str:
    """A text that may be the id of a request."""
    if len(text) > most or not text.isprintable():
        raise Refused("invalid", f"{what}: at most {most} printable characters")
    return text


def results_of(answer: Body) -> list[Body]:
    """The parts of an answer in the form of `schema.py`."""
    found = answer.get("results", ())
    assert isinstance(found, list | tuple)
    return list(found)


def status_of(told: Body, default: int = 0) -> int:
    """StatusCode of an answer or one of its parts; of what was refused, what a server would say."""
    found = told.get("status", 0)
    if isinstance(found, int) and found:
        return found
    if told.get("outcome") == "refused":
        return _STATUSES.get(str(told.get("reason")), BAD_USER_ACCESS_DENIED)
    return {"expired": BAD_TIMEOUT, "unknown": BAD_REQUEST_TIMEOUT}.get(str(told.get("outcome")), default)


BAD_TIMEOUT = 0x800A_0000
BAD_REQUEST_TIMEOUT = 0x8085_0000
BAD_USER_ACCESS_DENIED = 0x801F_0000
_STATUSES: Mapping[str, int] = {
    "argument": 0x80AB_0000,  # BadInvalidArgument
    "busy": 0x8010_0000,  # BadTooManyOperations
    "clock": 0x8023_0000,  # BadInvalidTimestamp
    "invalid": 0x8007_0000,  # BadDecodingError
    "no_deadline": 0x8023_0000,
    "not_exact": 0x803C_0000,  # BadOutOfRange
    "not_finite": 0x803C_0000,
    "not_in_enumeration": 0x803C_0000,
    "not_in_values": 0x803C_0000,
    "not_writable": 0x803B_0000,  # BadNotWritable
    "off_step": 0x803C_0000,
    "out_of_range": 0x803C_0000,
    "rank": 0x8074_0000,  # BadTypeMismatch
    "source_away": 0x800D_0000,  # BadServerNotConnected
    "source_unknown": 0x804F_0000,  # BadServerUriInvalid
    "too_fast": 0x8010_0000,
    "too_large": 0x80B8_0000,  # BadRequestTooLarge
    "too_long": 0x803C_0000,
    "type": 0x8074_0000,
    "type_unsupported": 0x8074_0000,
    "unsupported": 0x803D_0000,  # BadNotSupported
}
"""StatusCode for a reason to refuse (Part 4, 7.38.2); every other reason is BadUserAccessDenied."""
