"""YAML with places: read a plant file, and say of each mistake on which line it stands.

The gateway has a twin of this file; the two packages share no code on purpose.
"""

import difflib
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from simulators.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]
BOOL = "tag:yaml.org,2002:bool"
MERGE = "tag:yaml.org,2002:merge"


class Yaml12(yaml.SafeLoader):
    """Only true and false are booleans, as YAML 1.2 has it: `off` is a word, and the name of a state."""


Yaml12.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != BOOL or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Located:
    """The content of a YAML file, and the line on which each part of it stands."""

    path: Path
    value: object
    lines: dict[Place, int]

    def line_of(self, place: Place) -> int:
        """The line of a part, or of the nearest thing around it that exists."""
        return next((self.lines[place[:end]] for end in range(len(place), -1, -1) if place[:end] in self.lines), 1)

    def problem(self, place: Place, text: str) -> str:
        return f"{self.path}:{self.line_of(place)}: {dotted(place)}: {text}"


def dotted(place: Place) -> str:
    """`("lines", 0, "name")` as `lines[0].name`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or "the file"


def read_yaml(path: Path) -> Located:
    """Read one YAML document.  Raises `ConfigError` when it cannot be read, is not YAML, or repeats a key."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=Yaml12)
        value: object = yaml.load(text, Loader=Yaml12)
    except OSError as error:
        raise ConfigError([f"{path}:1: the file: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}:1: the file: is not UTF-8 text: {error.reason}"]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([f"{path}:{line}: the file: is not YAML: {error.problem}"]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError([f"{path}:1: the file: is not YAML: {error}"]) from error
    if root is None:
        raise ConfigError([f"{path}:1: the file: is empty"])
    located = Located(path, value, {})
    problems = list(_walk(root, (), located))
    if problems:
        raise ConfigError(problems)
    return located


def _walk(node: yaml.Node, place: Place, located: Located) -> typing.Iterator[str]:
    located.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*place, index), located)
    elif isinstance(node, yaml.MappingNode):
        yield from _walk_mapping(node, place, located)


def _walk_mapping(node: yaml.MappingNode, place: Place, located: Located) -> typing.Iterator[str]:
    merged = [value for key, value in node.value if key.tag == MERGE]
    own = [(key, value) for key, value in node.value if key.tag != MERGE]
    first: dict[str, int] = {}
    for key, value in own:
        name, line = str(key.value), key.start_mark.line + 1
        if name in first:
            yield f"{located.path}:{line}: {dotted((*place, name))}: stands twice, first on line {first[name]}"
        first.setdefault(name, line)
        located.lines[*place, name] = line
        yield from _walk(value, (*place, name), located)
    for mapping in (m for value in merged for m in (value.value if isinstance(value, yaml.SequenceNode) else [value])):
        _adopt(mapping, place, located)


def _adopt(node: yaml.Node, place: Place, located: Located) -> None:
    """Note the lines of what `<<` brings in, where the mapping has no key of its own."""
    aside = Located(located.path, None, {})
    for _ in _walk(node, place, aside):
        pass  # told where it stands
    for inner, line in aside.lines.items():
        located.lines.setdefault(inner, line)


def validated(model: type[Model], located: Located) -> Model:
    """The file as a model.  Raises `ConfigError` with one line per mistake: file, line, key, what is wrong."""
    try:
        return model.model_validate(located.value)
    except ValidationError as error:
        found = sorted(
            (located.line_of(real(e["loc"], located)), _sentence(model, e, located))
            for e in _worth_telling(error.errors())
        )
        raise ConfigError([f"{located.path}:{line}: {text}" for line, text in found]) from error


def _worth_telling(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """All but this: pydantic calls a list too short when all of its items have mistakes of their own."""
    inner = {e["loc"][:end] for e in errors for end in range(len(e["loc"]))}
    return [e for e in errors if e["type"] != "too_short" or e["loc"] not in inner]


def real(place: Place, located: Located) -> Place:
    """The place without the names of union members that pydantic puts between the keys of the file."""
    kept: Place = ()
    here, named = located.value, False
    for index, part in enumerate(place):
        last = index == len(place) - 1
        if not named and not last and isinstance(here, dict) and part in (here.get("kind"), here.get("law")):
            named = True  # `kind: orders` may well have a key `orders`
        elif (*kept, part) in located.lines or (last and isinstance(part, str) and not _is_member(part)):
            kept, here, named = (*kept, part), _inside(here, part), False
    return kept


def _inside(value: object, part: int | str) -> object:
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


def _is_member(part: str) -> bool:
    return "[" in part or part in ("float", "int", "str")


def _sentence(model: type[BaseModel], error: ErrorDetails, located: Located) -> str:
    place = real(error["loc"], located)
    where = dotted(place)
    match error["type"]:
        case "missing":
            return f"{where}: is missing{_meaning(model, place)}"
        case "extra_forbidden":
            return f"{where}: no such key{_nearest(model, place)}"
        case "value_error":
            return f"{where}: {error['msg'].removeprefix('Value error, ')}"
        case _:
            text = error["msg"][:1].lower() + error["msg"][1:]
            return f"{where}: {text}{_meaning(model, place)}, not {error['input']!r:.60}"


def _meaning(model: type[BaseModel], place: Place) -> str:
    for owner in _owners(model, place[:-1]) if place else []:
        field = owner.model_fields.get(str(place[-1]))
        if field and field.description:
            return f" ({' '.join(field.description.split())})"
    return ""


def _nearest(model: type[BaseModel], place: Place) -> str:
    names = sorted({name for owner in _owners(model, place[:-1]) for name in owner.model_fields})
    near = difflib.get_close_matches(str(place[-1]), names, n=1)
    return f": did you mean {near[0]}?" if near else f": allowed are {', '.join(names)}" if names else ""


def _owners(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """The models that may hold the keys at `place`."""
    current: list[type[BaseModel]] = [model]
    for part in place:
        if isinstance(part, str):
            fields = [m.model_fields[part] for m in current if part in m.model_fields]
            current = [m for field in fields for m in _models_in(field.annotation)]
    return current


def _models_in(annotation: object) -> list[type[BaseModel]]:
    arguments = typing.get_args(annotation)
    if not arguments and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in arguments for m in _models_in(inner)]
