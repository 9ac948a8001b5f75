"""`gateway losses`: names, options and help."""

from typing import Annotated

import typer

from gateway.cli.words import USUAL_URL, TokenOption, UrlOption


def losses(
    since: Annotated[str, typer.Option(help="How far back: 30min, 12h; at most 24h.")] = "24h",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    url: UrlOption = USUAL_URL,
    token_file: TokenOption = None,
) -> None:
    """Show what a running gateway could not deliver: gaps at servers, and what the outbox or a broker gave up.

    It remembers 24 hours, also over a restart; Prometheus has the rest (`gateway_gaps_total`,
    `gateway_values_dropped_total`). Exit code 1 when something was lost.
    """
    from gateway.cli.losses import losses as work

    work(since, as_json, url, token_file)
