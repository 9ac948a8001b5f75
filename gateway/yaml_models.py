"""A YAML document as a pydantic model.  Each mistake is reported with its line, what is wrong and what is allowed.

The file exists twice, like `yaml_positions`.
"""

import difflib
import types
import typing
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import ConfigError
from gateway.yaml_positions import MAX_TOLD, Document, Place, Problem, dotted

Model = TypeVar("Model", bound=BaseModel)

_MEMBER_KEYS = ("kind", "law")
"""Keys whose value selects the member of a union that a mapping belongs to."""
_NAMED_KEYS = 8
"""A message names up to this many possible keys.  If there are more, it names the required ones."""


def validated(
    model: type[Model],
    document: Document,
    check: Callable[[Model], Sequence[Problem]] = lambda model: (),
    sound: Callable[[type[Model], object], Model] | None = None,
) -> Model:
    """The document as a model.

    Raises `ConfigError` with one line per mistake, in the order of the file.  The problems of `check` are in the same
    list. If the document has mistakes, `check` gets the part that `sound` makes of the rest; without `sound` it does
    not run. Messages do not repeat the content of the file for models with `hide_input_in_errors`.
    """
    problems: list[tuple[int, str]] = []
    value: Model | None = None
    try:
        value = model.model_validate(document.value)
    except ValidationError as error:
        told = [(_place(e["loc"], document), e) for e in _worth_telling(error.errors(include_url=False))]
        told.sort(key=lambda each: document.line_of(each[0]))
        problems += [(document.line_of(place), _sentence(model, place, e)) for place, e in told[:MAX_TOLD]]
    checked = sound(model, document.value) if value is None and sound is not None else value
    found = check(checked) if checked is not None else ()
    problems += [(document.line_of(place), f"{dotted(place)}: {text}") for place, text in found]
    if problems or value is None:
        raise ConfigError([f"{document.path}:{line}: {text}" for line, text in sorted(problems)[:MAX_TOLD]])
    return value


def _worth_telling(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """All errors except one kind: pydantic calls a list too short when all of its items have mistakes."""
    inner = {e["loc"][:end] for e in errors for end in range(len(e["loc"]))}
    return [e for e in errors if e["type"] != "too_short" or e["loc"] not in inner]


def _place(given: Place, document: Document) -> Place:
    """The place in the file: without the names of union members that pydantic inserts."""
    kept: Place = ()
    here, named = document.value, False
    for index, part in enumerate(given):
        last = index == len(given) - 1
        if not named and not last and isinstance(here, dict) and part in [here.get(key) for key in _MEMBER_KEYS]:
            named = True  # a member `orders` may have a key `orders`
        elif document.holds((*kept, part)) or (last and isinstance(part, str) and not _is_member(part)):
            kept, here, named = (*kept, part), _inside(here, part), False
    return kept


def _inside(value: object, part: int | str) -> object:
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


def _is_member(part: str) -> bool:
    return "[" in part or part in ("float", "int", "str")


def _sentence(model: type[BaseModel], place: Place, error: ErrorDetails) -> str:
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
            return f"{where}: write keys with values here{_keys(model, place)}{_meaning(model, place)}"
        case "value_error":
            return f"{where}: {error['msg'].removeprefix('Value error, ')}"
        case _:
            text = error["msg"][:1].lower() + error["msg"][1:]
            given = "" if model.model_config.get("hide_input_in_errors") else f", not {error['input']!r:.60}"
            return f"{where}: {text.removesuffix('.')}{_meaning(model, place)}{given}"


def _meaning(model: type[BaseModel], place: Place) -> str:
    for owner in _owners(model, place[:-1]) if place else []:
        field = owner.model_fields.get(str(place[-1]))
        if field and field.description:
            return f" ({' '.join(field.description.split())})"
    return ""


def _nearest(model: type[BaseModel], place: Place) -> str:
    names = _names(_owners(model, place[:-1]))
    near = difflib.get_close_matches(str(place[-1]), names, n=1)
    return f": did you mean {near[0]}?" if near else f": allowed are {', '.join(names)}" if names else ""


def _keys(model: type[BaseModel], place: Place) -> str:
    """The keys that are allowed there."""
    owners = _owners(model, place)
    names = _names(owners)
    if len(names) > _NAMED_KEYS:
        names = [
            *(n for n in names if any(o.model_fields[n].is_required() for o in owners if n in o.model_fields)),
            "…",
        ]
    return f": {', '.join(names)}" if names else ""


def _names(owners: list[type[BaseModel]]) -> list[str]:
    return list(dict.fromkeys(name for owner in owners for name in owner.model_fields))


def _owners(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """The models that may hold the keys at a place."""
    current: list[type[BaseModel]] = [model]
    for part in place:
        if isinstance(part, str):
            fields = [m.model_fields[part] for m in current if part in m.model_fields]
            current = [m for field in fields for m in _models_in(field.annotation)]
    return current


def _models_in(annotation: object) -> list[type[BaseModel]]:
    """The models in an annotation such as `tuple[Selection, ...]` or `Secret | None`."""
    if isinstance(annotation, types.GenericAlias) or not isinstance(annotation, type):
        return [m for inner in typing.get_args(annotation) for m in _models_in(inner)]
    return [annotation] if issubclass(annotation, BaseModel) else []
