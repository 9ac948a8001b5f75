"""`gateway group`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.words import examples

group = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Show who does what in a group of gateways, and move, drain and check it.",
    epilog=examples(
        "gateway group status my-gateway.yaml",
        "gateway group drain my-gateway.yaml host-3",
        "gateway group move my-gateway.yaml press-shop host-1",
        "gateway group check my-gateway.yaml",
    ),
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The configuration of the group.")]

UndoOption = Annotated[bool, typer.Option("--undo", help="Take that wish back.")]


@group.command()
def status(
    file: FileArgument, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Show each source and broker: whose it is, since when, the epoch of its claim, and how far behind it is."""

    from gateway.cli.group import status as work

    work(file, as_json)


@group.command()
def drain(
    file: FileArgument, member: Annotated[str, typer.Argument(metavar="MEMBER")], undo: UndoOption = False
) -> None:
    """Let a member hand over everything and take nothing, until that is undone."""

    from gateway.cli.group import drain as work

    work(file, member, undo)


@group.command()
def move(
    file: FileArgument,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A source, or `broker/NAME`.")],
    member: Annotated[str, typer.Argument(metavar="MEMBER")] = "",
    undo: UndoOption = False,
) -> None:
    """Let a member have a source (or a broker) for as long as it is there."""

    from gateway.cli.group import move as work

    work(file, source, member, undo)


@group.command()
def check(file: FileArgument) -> None:
    """Check what a group needs: versions, sync setting of NATS, clocks, and the identity that members share."""

    from gateway.cli.group import check as work

    work(file)
