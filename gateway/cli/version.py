"""`gateway version`."""

from importlib.metadata import version

import typer


def show_version() -> None:
    """Print the version."""
    typer.echo(version("connected-factory"))
