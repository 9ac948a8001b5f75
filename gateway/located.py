"""YAML with places: read a file, validate it into a pydantic model, and say of each mistake where it stands."""

import difflib
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import ConfigError
from gateway.sound_parts import sound_parts

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]
Problem = tuple[Place, str]
"""Where, and what is wrong and what is allowed."""


@dataclass(frozen=True, slots=True)
class Located:
    """The content of a YAML file, and the line on which every part of it stands."""

    path: Path
    value: object
    lines: dict[Place, int]

    def line_of(self, place: Place) -> int:
        """The line of a part, or of the nearest thing around it that exists."""
        for end in range(len(place), -1, -1):
            if place[:end] in self.lines:
                return self.lines[place[:end]]
        return 1


def read_yaml(path: Path) -> Located:
    """Read one YAML document.  Raises `ConfigError` when it cannot be read, is not YAML, or repeats a key."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 text: {error.reason}"]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([f"{path}:{line}: is not YAML: {error.problem}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError([f"{path}: is not YAML: {error}"]) from error
    if root is None:
        raise ConfigError([f"{path}: is empty"])
    lines: dict[Place, int] = {}
    problems: list[str] = []
    _walk(root, (), root.start_mark.line + 1, lines, problems, path)
    if problems:
        raise ConfigError(problems)
    return Located(path, yaml.safe_load(text), lines)


def _walk(node: yaml.Node, place: Place, line: int, lines: dict[Place, int], problems: list[str], path: Path) -> None:
    lines[place] = line
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*place, index), item.start_mark.line + 1, lines, problems, path)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            if inner in lines:
                problems.append(
                    f"{path}:{key.start_mark.line + 1}: {dotted(inner)}: this key stands twice,"
                    f" first on line {lines[inner]}: remove one"
                )
            _walk(value, inner, key.start_mark.line + 1, lines, problems, path)


def dotted(place: Place) -> str:
    """`("sources", 0, "url")` as `sources[0].url`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the file"


def validated(
    model: type[Model], located: Located, check: Callable[[Model], Sequence[Problem]] = lambda model: ()
) -> Model:
    """The file as a model.

    Raises `ConfigError` with one line per mistake: file, line, key, what is wrong, what is allowed.  What `check` finds
    is told in the same list; where the file has mistakes it gets what is right (`gateway/sound_parts.py`).
    """
    found: list[tuple[int, str]] = []
    try:
        value = model.model_validate(located.value)
    except ValidationError as error:
        found = [(located.line_of(e["loc"]), _sentence(model, e)) for e in _told(error.errors())]
        value = sound_parts(model, located.value)
    found += [(located.line_of(place), f"{dotted(place)}: {text}") for place, text in check(value)]
    if found:
        raise ConfigError([f"{located.path}:{line}: {text}" for line, text in sorted(found)])
    return value


def _told(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """The errors worth telling: pydantic calls a list too short when all of its items have mistakes of their own."""
    inner = {e["loc"][:end] for e in errors for end in range(len(e["loc"]))}
    return [e for e in errors if e["type"] != "too_short" or e["loc"] not in inner]


def _sentence(model: type[BaseModel], error: ErrorDetails) -> str:
    place = error["loc"]
    where = dotted(place)
    match error["type"]:
        case "missing":
            return f"{where}: is missing{_meaning(model, place)}"
        case "extra_forbidden":
            return f"{where}: no such key{_nearest(model, place)}"
        case "too_short":
            return f"{where}: needs at least one item{_meaning(model, place)}"
        case "tuple_type" | "list_type":
            return f"{where}: write a list here{_meaning(model, place)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{where}: write keys with values here{_meaning(model, place)}"
        case "value_error":
            return f"{where}: {error['msg'].removeprefix('Value error, ')}"
        case _:
            text = error["msg"][:1].lower() + error["msg"][1:]
            return f"{where}: {text.removesuffix('.')}{_meaning(model, place)}"


def _meaning(model: type[BaseModel], place: Place) -> str:
    owner = _owner(model, place[:-1])
    field = owner.model_fields.get(str(place[-1])) if owner and place else None
    text = (field.description or "") if field else ""
    return f" ({' '.join(text.split())})" if text else ""


def _nearest(model: type[BaseModel], place: Place) -> str:
    owner = _owner(model, place[:-1])
    if owner is None:
        return ""
    near = difflib.get_close_matches(str(place[-1]), owner.model_fields, n=1)
    return f": did you mean {near[0]}?" if near else f": allowed are {', '.join(owner.model_fields)}"


def _owner(model: type[BaseModel], place: Place) -> type[BaseModel] | None:
    """The model that holds the keys at `place`."""
    current: object = model
    for part in place:
        if isinstance(part, int):
            continue
        found = _models_in(current)
        if not found:
            return None
        field = found[0].model_fields.get(part)
        current = field.annotation if field else None
    found = _models_in(current)
    return found[0] if found else None


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """The models that an annotation such as `tuple[Selection, ...]` or `Secret | None` speaks of."""
    if (
        isinstance(annotation, type)
        and not isinstance(annotation, types.GenericAlias)
        and issubclass(annotation, BaseModel)
    ):
        return [annotation]
    return [m for inner in typing.get_args(annotation) for m in _models_in(inner)]
