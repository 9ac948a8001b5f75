"""`gateway audit`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import examples

FINAL = ("done", "refused", "failed", "expired", "unknown")
"""Outcomes; a test holds that these are all."""

audit = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Show who requested which commands, and check that nobody changed that record.",
    epilog=examples(
        "gateway audit show var/outbox",
        "gateway audit show var/outbox --outcome unknown --json",
        "gateway audit verify var/outbox",
    ),
)

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="`outbox.path` of a configuration.")]


@audit.command()
def show(
    folder: FolderArgument,
    outcome: Annotated[str | None, typer.Option(help=f"Only this outcome: {', '.join(FINAL)}.")] = None,
    requester: Annotated[str | None, typer.Option(help="Only this requester.")] = None,
    last: Annotated[int, typer.Option("-n", min=1, help="Number of lines.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as stored.")] = False,
) -> None:
    """Show the latest requests: time, requester, operation, values before and after, and outcome."""

    from gateway.cli.audit import show as work

    work(folder, outcome, requester, last, as_json)


@audit.command()
def verify(folder: FolderArgument) -> None:
    """Check the chain of hashes.  Exit code 1 if a line was changed, removed or inserted.

    Anybody who can write the files can make a new chain: keep the last hash in another place, and compare.
    """

    from gateway.cli.audit import verify as work

    work(folder)
