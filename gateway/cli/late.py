"""Commands whose modules are imported when they are asked for: help and completion need their names alone."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Literal, cast

import typer
from typer.core import TyperGroup
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

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, self.late[name].load() if name else stand_in, rest
