"""YAML with line numbers: reads one document, and knows the line of each of its parts.

The dialect is the core schema of YAML 1.2, with `<<` for merging.  A word with another meaning in YAML 1.1 (`off`,
`010`, `1:30`, a date) is a mistake with a hint, so that every parser reads a file alike.  Tags, keys that are not
texts, aliases inside their own anchor, and null characters are mistakes too: no configuration needs them.

The document is built from the parser's events, one at a time and without recursion.  Size, depth and the number of
values behind aliases are limited before anything is built.

The gateway and the simulators share no code on purpose, so this file and its neighbours (`yaml_words`, `yaml_models`)
exist twice, equal except for the package's name; a test compares them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gateway.errors import ConfigError
from gateway.yaml_words import read_word

Place = tuple[int | str, ...]
Problem = tuple[Place, str]
"""The place, and what is wrong and what is allowed."""

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64
MAX_VALUES = 1_000_000
MAX_ALIASED = 100_000
"""How many values all aliases together may stand for."""
MAX_TOLD = 100
"""The largest number of mistakes reported at once."""

PARSER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser is twenty times faster; PyYAML has it when built with libyaml."""


@dataclass(slots=True)
class Part:
    """A value, the parts inside it, and its line."""

    line: int
    value: object
    inside: "dict[str, Part] | list[Part] | None" = None
    values: int = 1
    """The number of values in it, itself included."""

    def at(self, key: int | str) -> "Part | None":
        """The part under a key or index.  None: there is none."""
        if isinstance(self.inside, dict):
            return self.inside.get(key) if isinstance(key, str) else None
        if isinstance(self.inside, list) and isinstance(key, int) and key < len(self.inside):
            return self.inside[key]
        return None


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a YAML file, and the line of each of its parts."""

    path: Path
    root: Part

    @property
    def value(self) -> object:
        return self.root.value

    def holds(self, place: Place) -> bool:
        """Whether the place exists."""
        return len(list(self._way(place))) == len(place) + 1

    def line_of(self, place: Place) -> int:
        """The line of a part, or of the nearest enclosing part that exists."""
        return list(self._way(place))[-1].line

    def problem(self, place: Place, text: str) -> str:
        return f"{self.path}:{self.line_of(place)}: {dotted(place)}: {text}"

    def _way(self, place: Place) -> Iterator[Part]:
        part: Part | None = self.root
        for key in (*place, None):
            if part is None:
                return
            yield part
            part = part.at(key) if key is not None else None


def dotted(place: Place) -> str:
    """Format a place: `("sources", 0, "url")` becomes `sources[0].url`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or "the file"


def read_yaml(path: Path) -> Document:
    """Read one document.  Raises `ConfigError`, with file and line, when it is not valid YAML of this dialect."""
    return Document(path, _Composer(path).compose(_text_of(path)))


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{path}:1: the file: is larger than {MAX_BYTES // 2**20} MiB"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: the file: is not UTF-8 text: {error.reason}"]) from error
    strange = _STRANGE.search(text)
    if strange:
        line = text.count("\n", 0, strange.start()) + 1
        told = f"U+{ord(strange[0]):04X}"
        raise ConfigError([f"{path}:{line}: the file: is not YAML: a {told} stands there, which no YAML file may hold"])
    return text


_STRANGE = re.compile("[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML 1.2 does not allow (5.1), and those that only YAML 1.1 takes for a line end (NEL, LS, PS)."""


class _Fatal(Exception):  # noqa: N818 - it is caught here
    """A mistake that makes everything behind it unreadable."""


@dataclass(slots=True)
class _Open:
    """A collection whose end event has not come yet."""

    part: Part
    anchor: str | None
    key: Part | None = None
    """The key whose value comes next."""
    merged: list[Part] = field(default_factory=list)


class _Composer:
    """Builds the parts from the events."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problems: list[str] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Part | None] = {}
        self._root: Part | None = None
        self._line = 1
        self._values = 0
        self._aliased = 0

    def compose(self, text: str) -> Part:
        try:
            for event in yaml.parse(text, Loader=PARSER):
                if event.start_mark is not None:
                    self._line = event.start_mark.line + 1
                self._take(event)
                if len(self._problems) >= MAX_TOLD:
                    break
        except yaml.MarkedYAMLError as error:
            if error.problem_mark is not None:
                self._line = min(error.problem_mark.line, text.rstrip("\n").count("\n")) + 1
            self._mistake(f"the file: is not YAML: {error.problem}")
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # an escape of a character that does not exist
            self._mistake(f"the file: is not YAML: {error}")
        except _Fatal as error:
            self._mistake(str(error))
        if self._root is None and not self._problems:
            self._line = 1
            self._mistake("the file: is empty")
        if self._problems or self._root is None:
            raise ConfigError(self._problems)
        return self._root

    def _mistake(self, text: str) -> None:
        self._problems.append(f"{self._path}:{self._line}: {text}")

    def _here(self, key: Part | None = None) -> str:
        """The place of the next part, or of the one under `key`."""
        place: list[int | str] = []
        for each in self._open:
            if isinstance(each.part.inside, list):
                place.append(len(each.part.inside))
            elif each.key is not None:
                place.append(str(each.key.value))
        return dotted((*place, *([str(key.value)] if key else [])))

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._add(self._scalar(event), event.anchor)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._begin(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.AliasEvent():
                self._add(self._alias(event), None)
            case yaml.DocumentStartEvent() if self._root is not None:
                raise _Fatal("the file: a second document begins: one file holds one")

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        is_list = isinstance(event, yaml.SequenceStartEvent)
        if self._awaits_key:
            raise _Fatal(f"{self._here()}: a {'list' if is_list else 'mapping'} cannot be a key{_TEMPLATE}")
        if len(self._open) == MAX_DEPTH:
            raise _Fatal(f"the file: is nested deeper than {MAX_DEPTH} levels")
        if event.tag not in (None, "!", f"{_CORE}{'seq' if is_list else 'map'}"):
            self._mistake(f"{self._here()}: {_NO_TAGS}")
        inside: dict[str, Part] | list[Part] = [] if is_list else {}
        self._open.append(_Open(Part(self._line, [] if is_list else {}, inside), event.anchor))
        if event.anchor:
            self._anchors[event.anchor] = None

    def _end(self) -> None:
        ended = self._open.pop()
        for merged in ended.merged:
            assert isinstance(merged.inside, dict)
            for key, part in merged.inside.items():
                if key not in ended.part.inside:  # type: ignore[operator]  # it is a dict for mappings
                    _put(ended.part, key, part)
        self._add(ended.part, ended.anchor)

    @property
    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].part.inside, dict) and self._open[-1].key is None

    def _add(self, part: Part, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = part
        self._values += not self._awaits_key
        if max(self._values, part.values) > MAX_VALUES:
            raise _Fatal(f"the file: holds more than {MAX_VALUES} values")
        if not self._open:
            self._root = part
        elif self._awaits_key:
            self._open[-1].key = self._key(part)
        elif isinstance(self._open[-1].part.inside, list):
            _append(self._open[-1].part, part)
        else:
            self._add_value(self._open[-1], part)

    def _key(self, part: Part) -> Part:
        if not isinstance(part.value, str | _Merge):
            what = "a mapping or a list" if part.inside is not None else "a number, true, false or null"
            self._mistake(f"{self._here()}: a key must be a text, not {what}: quote it")
        return part

    def _add_value(self, top: _Open, part: Part) -> None:
        key, top.key = top.key, None
        assert key is not None
        if isinstance(key.value, _Merge):
            self._merge(top, key, part)
            return
        before = top.part.at(str(key.value))
        if before is not None:
            self._line = key.line
            self._mistake(f"{self._here(key)}: stands twice, first on line {before.line}: remove one")
        _put(top.part, str(key.value), Part(key.line, part.value, part.inside, part.values))

    def _merge(self, top: _Open, key: Part, part: Part) -> None:
        each = part.inside if isinstance(part.inside, list) else [part]
        if top.merged or not all(isinstance(merged.inside, dict) for merged in each):
            self._line = key.line
            self._mistake(f"{self._here(key)}: write one << with a mapping, or with a list of mappings")
        else:
            top.merged = each

    def _alias(self, event: yaml.AliasEvent) -> Part:
        if event.anchor not in self._anchors:  # not named in the message: it may be a password that begins with *
            raise _Fatal(
                f"{self._here()}: an alias (*) whose anchor (&) is nowhere before it: quote it if it is a text"
            )
        part = self._anchors[event.anchor]
        if part is None:
            raise _Fatal(f"{self._here()}: an alias that stands for what it is a part of")
        self._aliased += part.values
        if self._aliased > MAX_ALIASED:
            raise _Fatal(f"{self._here()}: aliases stand for more than {MAX_ALIASED} values by here")
        return part

    def _scalar(self, event: yaml.ScalarEvent) -> Part:
        text, tag = event.value, event.tag
        if _NO_TEXT.search(text):
            self._mistake(f"{self._here()}: holds a character that no text may hold (null, or half of a pair)")
        if tag in ("!", f"{_CORE}str") or (tag is None and not event.implicit[0]):
            return Part(self._line, text)
        if tag is None and text == "<<" and self._awaits_key:
            return Part(self._line, _Merge())
        value, problem = read_word(text)
        if tag is not None and not isinstance(value, _TAGGED.get(tag.removeprefix(_CORE), ())):
            problem = _NO_TAGS
        if problem:
            self._mistake(f"{self._here()}: {problem}")
        return Part(self._line, float(value) if tag == f"{_CORE}float" and isinstance(value, int) else value)


class _Merge:
    """The key `<<`."""

    def __str__(self) -> str:
        return "<<"


_CORE = "tag:yaml.org,2002:"
_TAGGED: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}
_NO_TAGS = "tags (! and a word) mean nothing here: leave it out, or quote it if it is a text"
_TEMPLATE = " (if this is a template such as {{ … }}, fill it in first)"
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def _put(mapping: Part, key: str, part: Part) -> None:
    assert isinstance(mapping.inside, dict)
    assert isinstance(mapping.value, dict)
    mapping.inside[key] = part
    mapping.value[key] = part.value
    mapping.values += part.values


def _append(sequence: Part, part: Part) -> None:
    assert isinstance(sequence.inside, list)
    assert isinstance(sequence.value, list)
    sequence.inside.append(part)
    sequence.value.append(part.value)
    sequence.values += part.values
