"""`gateway import`: the configuration of another program as one of this gateway."""

from pathlib import Path

import typer

from gateway.cli.common import problems_told
from gateway.cli.writing import write
from gateway.errors import ConfigError
from gateway.importing.formats import IMPORT_FORMATS
from gateway.importing.writing import written


def import_file(form: str, file: Path, output: Path | None, name: str, broker: str, url: str) -> None:
    """Write a commented configuration made of the file of another program."""
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
