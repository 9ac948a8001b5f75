"""Commands whose modules are imported when they are asked for: help and completion need their names alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from importlib import import_module
from typing import Any, ClassVar, Literal, cast

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_command

MARKUP: Literal["markdown"] = "markdown"


@dataclass(frozen=True)
class Late:
    """A command, or a group of commands, that another module holds.

    `place` is `module:name` of a function or of a `typer.Typer`; `summary` is what the list of commands says of it.
    `epilog` follows the options of a function.  A group has its own.
    """

    name: str
    place: str
    summary: str
    epilog: str | None = None

    def announced(self) -> Callable[[], None]:
        """What stands for the command in the list.  It does nothing."""

        def stand_in() -> None: ...

        stand_in.__doc__ = self.summary
        return stand_in

    def load(self) -> Any:
        """The command itself, as the library calls it.  Imports its module."""
        module, name = self.place.split(":")
        held = getattr(import_module(module), name)
        group = typer.Typer(add_completion=False, rich_markup_mode=MARKUP, callback=lambda: None)
        if isinstance(held, typer.Typer):
            group.add_typer(held, name=self.name)
        else:
            group.command(self.name, epilog=self.epilog)(held)
        return cast(TyperGroup, get_command(group)).commands[self.name]


class LateGroup(TyperGroup):
    """Puts the command that a line names in the place of what stands for it in the list."""

    late: ClassVar[dict[str, Late]]

    def main(self, *args: Any, **options: Any) -> Any:
        with values_made_when_given():
            return super().main(*args, **options)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, self.late[name].load() if name else stand_in, rest


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
