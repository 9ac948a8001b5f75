"""`gateway import`: the configuration of another program as one of this gateway."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import problems_told
from gateway.cli.writing import OutOption, write
from gateway.errors import ConfigError
from gateway.importing.formats import IMPORT_FORMATS
from gateway.importing.writing import written

FORMATS_TOLD = "; ".join(f"{name}: {form.about}" for name, form in IMPORT_FORMATS.items())


def _formats(incomplete: str) -> list[tuple[str, str]]:
    return [(name, form.about) for name, form in IMPORT_FORMATS.items() if name.startswith(incomplete)]


def import_file(
    form: Annotated[
        str, typer.Argument(metavar="FORMAT", autocompletion=_formats, help=f"The form of the file.  {FORMATS_TOLD}.")
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of the other program.")],
    output: OutOption = None,
    name: Annotated[str, typer.Option(help="Name of the gateway.", show_default=True)] = "edge-1",
    broker: Annotated[str, typer.Option(metavar="URL", help="The MQTT broker.")] = "mqtt://127.0.0.1:1883",
    url: Annotated[str, typer.Option(metavar="URL", help="The server, for files without one.")] = "",
) -> None:
    """Write a commented configuration made of the file of another program.

    What has no meaning here is told on standard error and in comments, with its place. Passwords are not copied.
    Connects to nothing; `gateway plan` then asks the servers. Exit code 78 when the file cannot be read, or has
    nothing to read from a server.
    """
    if form not in IMPORT_FORMATS:
        typer.echo(f"gateway import: there is no format {form!r}, only {', '.join(IMPORT_FORMATS)}", err=True)
        raise typer.Exit(2)
    with problems_told():
        found = IMPORT_FORMATS[form].read(file, url)
        for line in found.notes.lines:
            typer.echo(line, err=True)
        if not found.sources:
            raise ConfigError([f"{file}: has no variables that the gateway could read"])
        write(written(found, name, broker), output)
    count = sum(len(source.select) for source in found.sources)
    typer.echo(f"{len(found.sources)} sources, {count} selections", err=True)
