"""`gateway init`: a configuration to begin with."""

from typing import Annotated

import typer

from gateway.cli.common import problems_told
from gateway.cli.writing import OutOption, write
from gateway.shipped import about, example_text, examples


def _examples(incomplete: str) -> list[tuple[str, str]]:
    return [(name, about(path)) for name, path in examples().items() if name.startswith(incomplete)]


def init(
    output: OutOption = None,
    example: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", autocompletion=_examples, help="Write this example, as it comes with the program."
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the examples that come with the program.")] = False,
) -> None:
    """Write a configuration to begin with."""
    with problems_told():
        if example is not None and not listed:
            write([example_text(example)], output)
            return
    for name, path in examples().items():
        typer.echo(f"{name:22} {about(path)}")
