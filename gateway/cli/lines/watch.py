"""`gateway watch`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import PASSWORD


def watch(
    url: Annotated[str, typer.Argument(metavar="URL", help="The broker, such as mqtt://127.0.0.1:1883.")],
    topic: Annotated[
        str, typer.Argument(metavar="[TOPIC]", help="Topic filter to subscribe to; '#' is all.")
    ] = "factory/#",
    lines: Annotated[
        bool, typer.Option("--lines", help="Print one line per message instead of the table of streams.")
    ] = False,
    username: Annotated[
        str | None,
        typer.Option(help=f"User name; {PASSWORD} in the environment holds the password, else you are asked."),
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the trusted authorities, for mqtts://.")] = None,
) -> None:
    """Subscribe to a broker, show messages in any of the gateway's formats, and check that none is missing.

    Every message carries its stream and sequence number, so repeats and gaps show. Exit code 1 when messages were
    missing.
    """

    from gateway.cli.watch import watch as work

    work(url, topic, lines, username, ca)
