"""From a JSON value to one value of exactly a built-in type, or a refusal; `shapes.py` has what is made of several.
Pure.

Nothing is converted: a text is not a number, 1.5 is not an integer, 300 is not a Byte, and `true` is not 1.  64-bit
numbers beyond 2^53 are written as text, as in Part 6, 5.4.2.3, since most JSON writers round them.
"""

import base64
import binascii
import math
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from gateway.commands.outcome import Refused
from gateway.model import TICKS_PER_SECOND
from gateway.operations import Form, Members
from gateway.values import NAMES_OF_TYPES, LocalizedText, Structure, Typed

EXACT = 2**53
"""Up to here every integer is exact as a 64-bit floating-point number, which most JSON readers use."""
INTEGERS: Mapping[int, tuple[int, int]] = {
    2: (-(2**7), 2**7 - 1), 3: (0, 2**8 - 1), 4: (-(2**15), 2**15 - 1), 5: (0, 2**16 - 1),
    6: (-(2**31), 2**31 - 1), 7: (0, 2**32 - 1), 8: (-(2**63), 2**63 - 1), 9: (0, 2**64 - 1),
}  # fmt: skip
"""Lowest and highest of each built-in type."""
LONG = (8, 9)
FLOAT, DOUBLE = 10, 11
NUMBERS = (*INTEGERS, FLOAT, DOUBLE)
TEXTS = (12, 21)
_START = datetime(1601, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def scalar(form: Form, value: object) -> object:
    """One value in the form of `gateway/values.py`; no array and no structure.  Raises `Refused`."""
    if form.members:
        return _member(value, form.members)
    if form.options:
        return _option_set(form, value)
    if form.built_in in INTEGERS:
        return _integer(form.built_in, value)
    read = _READERS.get(form.built_in)
    if read is None:
        raise Refused("type_unsupported", f"values of type {name_of(form.built_in)} cannot be written")
    return read(value)


_WHOLE = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?", re.ASCII)


def number_or_text(built_in: int, value: object) -> object:
    """A number or boolean of this type, where it came as text; everything else as it is."""
    if not isinstance(value, str):
        return value
    if built_in in INTEGERS and built_in not in LONG and _WHOLE.fullmatch(value):
        return int(value)
    if built_in in (FLOAT, DOUBLE) and _NUMBER.fullmatch(value):
        return float(value)
    return {"true": True, "false": False}.get(value.lower(), value) if built_in == 1 else value


def name_of(built_in: int) -> str:
    """The name of a built-in type."""
    return NAMES_OF_TYPES[built_in] if built_in < len(NAMES_OF_TYPES) else f"type {built_in}"


def wrong(wanted: str, value: object) -> Refused:
    kind = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array", dict: "an object"}
    return Refused("type", f"{kind.get(type(value), 'null')}; expected {wanted}")


def _member(value: object, members: Members) -> int:
    """A member of an enumeration, by number or by name."""
    found = [number for number, name in members if (name == value if isinstance(value, str) else number == value)]
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise wrong("a number or name of the enumeration", value)
    if len(found) != 1:
        raise Refused("not_in_enumeration", f"the members are {_shown(members)}")
    return found[0]


def _option_set(form: Form, value: object) -> int:
    """The names of the bits that are set, or their number."""
    if isinstance(value, list):
        bits = {name: bit for bit, name in form.options}
        wrong = [name for name in value if not isinstance(name, str) or name not in bits]
        if wrong or len(set(map(str, value))) < len(value):
            raise Refused("not_in_enumeration", f"the bits are {_shown(form.options)}, each at most once")
        return sum(1 << bits[name] for name in value)
    number = _integer(form.built_in, value)
    if number & ~sum(1 << bit for bit, _ in form.options):
        raise Refused("not_in_enumeration", f"the bits are {_shown(form.options)}")
    return number


def _shown(members: Members) -> str:
    return ", ".join(f"{number} {name}" for number, name in members[:20])


def _integer(built_in: int, value: object) -> int:
    low, high = INTEGERS[built_in]
    number = value
    if built_in in LONG and isinstance(value, str):
        if not value.removeprefix("-").isascii() or not value.removeprefix("-").isdecimal() or len(value) > 20:
            raise wrong(f"a whole number for {name_of(built_in)}", value)
        number = int(value)
    elif isinstance(value, bool) or not isinstance(value, int):
        raise wrong(f"a whole number for {name_of(built_in)}", value)
    elif abs(value) > EXACT and low <= value <= high:
        raise Refused("not_exact", f"{value} is beyond 2^53: write it as text")
    assert isinstance(number, int)
    if not low <= number <= high:
        raise Refused("out_of_range", f"{name_of(built_in)} goes from {low} to {high}")
    return number


def _floating(built_in: int, value: object) -> float:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        raise Refused("not_finite", f"{value} cannot be written")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(f"a number for {name_of(built_in)}", value)
    if isinstance(value, int) and abs(value) > EXACT:
        raise Refused("not_exact", f"{value} is beyond 2^53")
    number = float(value)
    if not math.isfinite(number):
        raise Refused("not_finite", "NaN and infinite numbers cannot be written")
    if built_in == FLOAT:
        number = single(number)
        if not math.isfinite(number):
            raise Refused("out_of_range", "outside the range of Float")
    return number


def single(number: float) -> float:
    """The nearest 32-bit floating-point number."""
    with np.errstate(over="ignore"):
        return float(np.float32(number))


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise wrong("true or false", value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise wrong("a text", value)
    return value


def _instant(value: object) -> int:
    """Ticks, with the microseconds that Python keeps."""
    try:
        if not isinstance(value, str) or len(value) > 40:
            raise ValueError
        found = datetime.fromisoformat(value)
        if found.tzinfo is None or found < _START:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise Refused("type", "expected a time with its UTC offset, such as 2026-11-30T08:00:05Z") from error
    return (found - _START) // _MICROSECOND * (TICKS_PER_SECOND // 1_000_000)


def _guid(value: object) -> uuid.UUID:
    try:
        return uuid.UUID(_text(value))
    except ValueError as error:
        raise Refused("type", "expected a Guid, such as 72962b91-fa75-4ae6-8d28-b404dc7daf63") from error


def _octets(value: object) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("type", "expected base64") from error


def _localized(value: object) -> LocalizedText:
    if isinstance(value, dict) and value.keys() <= {"locale", "text"} and "text" in value:
        locale = value.get("locale")
        return LocalizedText(_text(locale) if locale is not None else None, _text(value["text"]))
    return LocalizedText(None, _text(value))


_READERS: Mapping[int, Callable[[object], object]] = {
    1: _boolean,
    FLOAT: lambda value: _floating(FLOAT, value),
    DOUBLE: lambda value: _floating(DOUBLE, value),
    12: _text,
    13: _instant,
    14: _guid,
    15: _octets,
    21: _localized,
}


def same(wanted: Typed, found: Typed | None) -> bool:
    """Whether the value read back is the written one, in the precision of its type."""
    return found is not None and found.type == wanted.type and _equal(wanted.value, found.value)


def _equal(wanted: object, found: object) -> bool:
    """-0.0 equals 0.0."""
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_equal, wanted, found))
    if isinstance(wanted, Structure):
        return isinstance(found, Structure) and found.type_id == wanted.type_id and (
            found.fields.keys() == wanted.fields.keys()
            and all(same(part, found.fields[name]) for name, part in wanted.fields.items())
        )  # fmt: skip
    if isinstance(wanted, LocalizedText) and isinstance(found, LocalizedText):
        return wanted.text == found.text and (wanted.locale in (None, "") or wanted.locale == found.locale)
    return type(wanted) is type(found) and wanted == found
