"""The command line makes values when they are given: `--help` and completion need none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod
from typing import Any

from typer.core import TyperArgument, TyperGroup, TyperOption


class LateGroup(TyperGroup):
    """Commands that read their line so."""

    def main(self, *args: Any, **options: Any) -> Any:
        with values_made_when_given():
            return super().main(*args, **options)


@contextmanager
def values_made_when_given() -> Iterator[None]:
    """Meanwhile the library makes a value of what a line gives, and of nothing else.

    It makes values with pydantic, which costs as much to import as all of `--help`: to make None of an option that
    is not given, and all values of a line whose next word is asked for by TAB.
    """
    kinds: tuple[Any, ...] = (TyperOption, TyperArgument)
    made = [kind.process_value for kind in kinds]
    for kind, make in zip(kinds, made, strict=True):
        kind.process_value = partialmethod(_if_given, make)
    try:
        yield
    finally:
        for kind, make in zip(kinds, made, strict=True):
            kind.process_value = make


def _if_given(param: Any, make: Callable[[Any, Any, Any], Any], ctx: Any, value: Any) -> Any:
    if ctx.resilient_parsing:
        return value
    if value is None and not (param.required or param.multiple or param.nargs != 1):
        return param.callback(ctx, param, None) if param.callback else None
    return make(param, ctx, value)
