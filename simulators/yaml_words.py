"""The type of an unquoted word in YAML: text, number, Boolean or null.  Pure.

The word is read by the core schema of YAML 1.2 (10.3.2) and by YAML 1.1.  If the two differ, the word is a mistake.
"""

import math
import re
from collections.abc import Callable


def read_word(text: str) -> tuple[object, str]:
    """The value of an unquoted word, and what is wrong with it (empty: nothing)."""
    if len(text) > LONGEST or text[:1] not in _FIRST:
        return text, ""
    value = next((read(text) for form, read in _FORMS if form.fullmatch(text)), text)
    old = in_yaml_11(text)
    if isinstance(value, int) and abs(value) >= 2**64:
        return text, f"{text:.20}… has too many digits for a number: quote it if it is a text"
    if (old == value and type(old) is type(value)) or value != value:
        return value, ""
    written = " or ".join(dict.fromkeys(_written(text, each) for each in (value, old)))
    return value, f"{text} is {_called(old)} in YAML 1.1 and {_called(value)} in YAML 1.2: write {written}"


LONGEST = 200
"""No number, date or Boolean is longer."""
_FIRST = frozenset("+-.0123456789~nNtTfFyYoO=<") | {""}
"""The first characters of all words that may not be texts."""


_FORMS: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile(r"|~|null|Null|NULL"), lambda text: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: -math.inf if text[0] == "-" else math.inf),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: math.nan),
)


class _Date:
    """A word that YAML 1.1 reads as a date."""


def in_yaml_11(text: str) -> object:
    """The value of the word in YAML 1.1."""
    if text in _WORDS_11:
        return _WORDS_11[text]
    for form, read in _FORMS_11:
        if form.fullmatch(text):
            return read(text)
    return next((read(text) for form, read in _FORMS[:2] + _FORMS[6:] if form.fullmatch(text)), text)


def _sixties(text: str) -> float:
    sign, value = (-1 if text[0] == "-" else 1), 0.0
    for digits in text.lstrip("+-").replace("_", "").split(":"):
        value = 60 * value + float(digits)
    return sign * value


def _based(base: int) -> Callable[[str], object]:
    def read(text: str) -> object:
        digits = text.replace("_", "")
        return NotImplemented if digits.lstrip("+-") in ("0b", "0x") else int(digits, base)

    return read


_WORDS_11 = {
    form(word): meant
    for meant, words in ((True, ("yes", "on")), (False, ("no", "off")))
    for word in words
    for form in (str.lower, str.capitalize, str.upper)
}
_FORMS_11: tuple[tuple[re.Pattern[str], Callable[[str], object]], ...] = (
    (re.compile(r"[-+]?0b[01_]+"), _based(2)),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+"), _based(16)),
    (re.compile(r"[-+]?0[0-7_]+"), _based(8)),
    (re.compile(r"[-+]?(0|[1-9][0-9_]*)"), _based(10)),
    (re.compile(r"[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+"), lambda text: int(_sixties(text))),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*"), _sixties),
    (re.compile(r"([-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?"), lambda t: float(t.replace("_", ""))),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"), lambda text: _Date()),
    (
        re.compile(
            r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?"
            r"([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?"
        ),
        lambda text: _Date(),
    ),
    (re.compile(r"=|<<"), lambda text: NotImplemented),
)


def _called(value: object) -> str:
    if isinstance(value, str):
        return "a text"
    if isinstance(value, _Date):
        return "a date"
    return "something of its own" if value is NotImplemented else _written("", value)


def _written(text: str, value: object) -> str:
    """The form that every parser reads alike."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        shown = repr(value)
        return shown if "." in shown else shown.replace("e", ".0e")
    return f'"{text}"'
