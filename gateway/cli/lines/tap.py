"""`gateway tap`: names, options and help."""

from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli.words import USUAL_URL, TokenOption


class Stage(StrEnum):
    DECODE = "decode"
    SHAPE = "shape"
    ENCODE = "encode"


def tap(
    url: Annotated[
        str, typer.Argument(metavar="[URL]", help="The gateway's HTTP address: `http` of its configuration.")
    ] = USUAL_URL,
    source: Annotated[str, typer.Option(help="Only what comes from this source.")] = "",
    tag: Annotated[
        str,
        typer.Option(
            metavar="PATTERN", help="Only tags of such a name, source/name or node; messages on their topics."
        ),
    ] = "",
    stream: Annotated[str, typer.Option(metavar="PATTERN", help="Only messages of such streams.")] = "",
    stage: Annotated[Stage | None, typer.Option(help="Only what has just been decoded, shaped or encoded.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many values and messages.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    token_file: TokenOption = None,
) -> None:
    """Show what passes inside a running gateway: values as decoded and as shaped, messages as stored.

    The gateway takes 500 a second at most, and keeps 2000 for a slow terminal; what is not shown is counted. It costs
    the gateway nothing while nobody looks. Patterns: `*` matches within a level, `**` across levels. Ctrl-C ends it.
    """
    from gateway.cli.tap import tap as work

    work(url, source, tag, stream, stage.value if stage else "", count, as_json, token_file)
