"""`gateway top`: names, options and help."""

from typing import Annotated

import typer

from gateway.cli.words import USUAL_URL, TokenOption


def top(
    url: Annotated[
        str, typer.Argument(metavar="[URL]", help="The gateway's HTTP address: `http` of its configuration.")
    ] = USUAL_URL,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    token_file: TokenOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print one screen and end.")] = False,
) -> None:
    """Show a running gateway in this terminal: verdict, servers, brokers, the disk, the last events.

    The same as the live page. Ctrl-C ends it. Exit code 69 when no gateway answers at the first look.
    """
    from gateway.cli.top import top as work

    work(url, every, token_file, once)
