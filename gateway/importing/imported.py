"""What was found in a file of another program: sources with selections, and what could not be taken over."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from pydantic import ValidationError

from gateway.config import Selection
from gateway.errors import ConfigError

Tree = dict[str, object]
Kind = TypeVar("Kind")
MOST_NOTES = 200


class Notes:
    """What was not taken over, by what is told of it: how often, and where first."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, where: str, text: str) -> None:
        count, first = self._found.get(text, (0, where))
        self._found[text] = (count + 1, first)

    @property
    def lines(self) -> list[str]:
        told = [
            f"{first}{f' and {count - 1} more' if count > 1 else ''}: {text}"
            for text, (count, first) in self._found.items()
        ]
        more = [f"and {len(told) - MOST_NOTES} other notes"] if len(told) > MOST_NOTES else []
        return told[:MOST_NOTES] + more


@dataclass(slots=True)
class ImportedSource:
    """One server, with the keys of `SourceConfig` but `select`."""

    settings: Tree
    select: list[tuple[Tree, str]] = field(default_factory=list)
    """Selections, each with a comment; empty: none."""


@dataclass(slots=True)
class Imported:
    """The configuration as far as it was found."""

    origin: str
    sources: list[ImportedSource] = field(default_factory=list)
    payload: Tree = field(default_factory=dict)
    broker: Tree = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True)
class Reader:
    """Reads the fields of one object; what nobody asked for is told at the end."""

    said: Mapping[str, object]
    where: str
    notes: Notes
    meaningless: Mapping[str, str] = field(default_factory=dict)
    """Fields without a meaning here, and why."""
    _read: set[str] = field(default_factory=set)

    def get(self, name: str, kind: type[Kind]) -> Kind | None:
        """A field of this type; names differ by case in the wild.  Raises `ConfigError` for another type."""
        key = next((key for key in self.said if key.casefold() == name.casefold()), None)
        self._read.add(name.casefold())
        value = self.said.get(key) if key is not None else None
        if value is None:
            return None
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return cast(Kind, float(value))
        if not isinstance(value, kind) or (kind in (int, float) and isinstance(value, bool)):
            shown = {dict: "an object", list: "an array", str: "a text", bool: "true or false"}.get(kind, "a number")
            raise ConfigError([f"{self.where}.{name}: is {_shown(value)}, but must be {shown}"])
        return value

    def text(self, name: str) -> str:
        return self.get(name, str) or ""

    def objects(self, name: str) -> "list[tuple[Mapping[str, object], str]]":
        """The objects of an array, each with its place."""
        found: list[tuple[Mapping[str, object], str]] = []
        for number, each in enumerate(self.get(name, list) or []):
            where = f"{self.where}.{name}[{number}]"
            if not isinstance(each, dict):
                raise ConfigError([f"{where}: is {_shown(each)}, but must be an object"])
            found.append((each, where))
        return found

    def rest(self) -> None:
        """Tell of the fields that nobody read."""
        known = {name.casefold(): why for name, why in self.meaningless.items()}
        for key, value in self.said.items():
            if key.casefold() not in self._read and value not in (None, "", [], {}):
                why = known.get(key.casefold(), "is no field of this format that is known here")
                self.notes.add(f"{self.where}.{key}", f"{key} {why}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


_TIMESPAN = re.compile(r"^(?:(\d+)\.)?(\d{1,2}):(\d\d):(\d\d(?:\.\d{1,7})?)$")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|s|m|h)")
_IN_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of_timespan(text: str, where: str) -> float:
    """`1.02:03:04.5` of .NET.  Raises `ConfigError`."""
    match = _TIMESPAN.match(text)
    if match is None:
        raise ConfigError([f"{where}: {text!r} is no time span: write [days.]hours:minutes:seconds, as 00:00:10"])
    days, hours, minutes, seconds = match.groups()
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def seconds_of_duration(value: object, where: str) -> float:
    """`1h2m3s` of Go, or a number of seconds.  Raises `ConfigError`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).replace(" ", "")
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError([f"{where}: {value!r} is no duration: write 500ms, 10s or 1h30m"])
    return sum(float(number) * _IN_S[unit] for number, unit in parts)


_OTHER_URI = re.compile(r"^([^#;=]+:[^#]*)#([isgb]=.*)$", re.DOTALL)


def node_text(text: str) -> str:
    """A node id as the gateway writes it: `URI#s=…` is `nsu=URI;s=…`."""
    match = _OTHER_URI.match(text.strip())
    if match is None:
        return text.strip()
    return f"nsu={match[1].replace('%', '%25').replace(';', '%3B')};{match[2]}"


def add_selection(source: ImportedSource, selection: Tree, where: str, notes: Notes, comment: str = "") -> None:
    """Add a selection, if the gateway would take it; otherwise it is told why not."""
    try:
        Selection.model_validate(selection)
    except ValidationError as error:
        why = error.errors()[0]
        place = ".".join(map(str, why["loc"]))
        notes.add(where, f"is left out: {place}: {why['msg'].removeprefix('Value error, ')}")
        return
    source.select.append((selection, comment))


def field_name(text: str) -> str:
    """A name for a field of topics."""
    name = re.sub("[^a-z0-9_]+", "_", text.casefold()).strip("_")
    return name if name[:1].isalpha() else f"f_{name}" if name else "field"
