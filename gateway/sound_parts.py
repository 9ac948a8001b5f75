"""The valid parts of a file with mistakes, as a model: for checks that compare several parts."""

import typing
from types import UnionType
from typing import Annotated, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

Model = TypeVar("Model", bound=BaseModel)


def sound_parts(model: type[Model], value: object) -> Model:
    """The model of `value`, with defaults in place of invalid parts.

    Missing required parts become an empty text or list.  Rules over several keys are not applied.  `model_fields_set`
    names the given keys, valid or not.
    """
    given = value if isinstance(value, dict) else {}
    found: dict[str, object] = {}
    for name, field in model.model_fields.items():
        try:
            if name in given:
                found[name] = _part(field, given[name])
                continue
        except ValidationError:
            pass
        if field.is_required():
            found[name] = () if typing.get_origin(field.annotation) is tuple else ""
    return model.model_construct({name for name in model.model_fields if name in given}, **found)


def _part(field: FieldInfo, value: object) -> object:
    """The valid part of one field.  Raises `ValidationError` when there is none."""
    inner, is_list = _model_in(field.annotation)
    if inner is not None and is_list and isinstance(value, list):
        return tuple(sound_parts(inner, each) for each in value)
    if inner is not None and not is_list and isinstance(value, dict):
        return sound_parts(inner, value)
    annotated: typing.Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(annotated).validate_python(value)


def _model_in(annotation: object) -> tuple[type[BaseModel] | None, bool]:
    """The model in `Model`, `Model | None` or `tuple[Model, ...]`, and whether it is a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return _model_in(arguments[0])[0], True
    if origin in (UnionType, typing.Union):
        return next((found for each in arguments if (found := _model_in(each))[0] is not None), (None, False))
    return None, False
