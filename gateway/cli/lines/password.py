"""`gateway password`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer


def password(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration file of the gateway.")],
    broker: Annotated[str, typer.Argument(metavar="[BROKER]", help="Its name, where there are several.")] = "",
    new_file: Annotated[
        Path | None, typer.Option(help="File with the new password; without it, you are asked.")
    ] = None,
    try_it: Annotated[bool, typer.Option("--try/--no-try", help="Log in with it before it is kept.")] = True,
) -> None:
    """Give a broker another password: log in with it, then keep it in the file that the configuration names.

    A running gateway reads that file at every login, so it needs no restart and no reload. Nothing is changed when the
    broker refuses it: exit code 69. Change it at the broker first; a session that is open stays open.
    """
    from gateway.cli.password import password as work

    work(file, broker, new_file, try_it)
