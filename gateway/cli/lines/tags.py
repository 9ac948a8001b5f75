"""`gateway tags`: names, options and help."""

from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli.words import USUAL_URL, TokenOption, UrlOption


class Severity(StrEnum):
    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"
    UNKNOWN = "unknown"


def tags(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD...]", help="Each must be in the source, name, node, fields or topic."),
    ] = None,
    severity: Annotated[Severity | None, typer.Option(help="Only tags of this severity.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many to show.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    url: UrlOption = USUAL_URL,
    token_file: TokenOption = None,
) -> None:
    """Find tags of a running gateway: value, status and why, both times, topic and route, what a rule holds back.

    What has not come yet is read from the server once. Exit code 1 when no tag is found.
    """
    from gateway.cli.tags import tags as work

    work(words, severity.value if severity else "", limit, as_json, url, token_file)
