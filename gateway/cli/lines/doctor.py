"""`gateway doctor`: names, options and help."""

from typing import Annotated

import typer

from gateway.cli.words import FileArgument


def doctor(
    file: FileArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each finding.")] = False,
) -> None:
    """Look at everything that a configuration needs, and say what is wrong, and what helps.

    Versions, files and their modes, names and ports of all servers and brokers, logins, clocks, the ends of
    certificates, the outbox and its disk. Changes nothing, and may run beside the gateway. Exit code 0 when nothing is
    wrong, 1 when something is, 78 when the configuration has mistakes.
    """
    from gateway.cli.doctor import doctor as work

    work(file, as_json)
