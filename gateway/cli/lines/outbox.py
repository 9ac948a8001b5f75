"""`gateway outbox`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import examples

outbox = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Inspect an outbox, copy its messages, or empty it.",
    epilog=examples(
        "gateway outbox show var/outbox",
        "gateway outbox peek var/outbox -n 3",
        "gateway outbox export var/outbox messages.jsonl",
    ),
)

FolderArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", help="Outbox: `outbox.path` of a configuration, or refused/… or dead-letters/… in it."
    ),
]

ReaderOption = Annotated[
    str | None,
    typer.Option("--broker", help="Only messages that this broker has not acknowledged. [default: all]"),
]


@outbox.command()
def show(folder: FolderArgument) -> None:
    """Show how much is stored, for which brokers, in which files, and what was lost or damaged."""

    from gateway.cli.outbox import show as work

    work(folder)


@outbox.command()
def peek(
    folder: FolderArgument,
    count: Annotated[int, typer.Option("-n", min=1, help="Number of messages.")] = 10,
    broker: ReaderOption = None,
) -> None:
    """Print the oldest messages, one line of JSON each."""

    from gateway.cli.outbox import peek as work

    work(folder, count, broker)


@outbox.command()
def export(
    folder: FolderArgument,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, one line of JSON per message.")],
    broker: ReaderOption = None,
) -> None:
    """Copy messages into a file. The outbox does not change, and a gateway may use it meanwhile.

    Exit code 130 after Ctrl-C, 74 when the file cannot be written; the file then holds the messages copied so far.
    """

    from gateway.cli.outbox import export as work

    work(folder, to, broker)


@outbox.command()
def purge(
    folder: FolderArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove all stored messages for good. No gateway may be using the outbox."""

    from gateway.cli.outbox import purge as work

    work(folder, yes)
