"""`gateway validate` and `gateway schema`: what needs no server, no broker and nothing that speaks to them."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import typer

from gateway.cli.common import problems_told
from gateway.config import Config
from gateway.errors import ConfigError
from gateway.loading import Loaded, load_with_lines
from gateway.payload.choose import FORMATS
from gateway.pull import load_pull
from gateway.run.readiness import (
    conflicts_between,
    problems_here,
    problems_with_folders,
    rules_applied,
    warnings_about,
    with_lines,
)


def _command_schema() -> dict[str, object]:
    from gateway.commands.schema import schema  # nobody who runs pays for the import

    return schema()


def _api_schema() -> dict[str, object]:
    from gateway.web.openapi import openapi

    return openapi(version("connected-factory"))


SCHEMAS: dict[str, Callable[[], dict[str, object]]] = {
    "config": Config.model_json_schema,
    "command": _command_schema,
    "api": _api_schema,
    **{name: form.schema for name, form in FORMATS.items()},
}


def validate(files: list[Path], look: bool) -> None:
    """Check configuration files without connecting to anything."""
    with problems_told():
        pulled = {file: pull for file in files if (pull := load_pull(file)) is not None}
        for file, pull in pulled.items():
            typer.echo(f"{file} is fine: pulls its configuration from {pull.configuration.origin}")
        every = _loaded([file for file in files if file not in pulled], look)
    for number, loaded in enumerate(every):
        warnings = warnings_about(loaded.config)
        for before in every[:number]:
            pairs = conflicts_between(before.config, loaded.config)
            warnings += [(place, f"{text} (beside {before.document.path})") for place, text in pairs]
        for text in with_lines(loaded, warnings):
            typer.echo(f"gateway: warning: {text}", err=True)
        if look:
            for text in with_lines(loaded, rules_applied(loaded.config)):
                typer.echo(text)
        names = ", ".join(source.name for source in loaded.config.sources)
        urls = ", ".join(broker.url for broker in loaded.config.all_brokers)
        typer.echo(f"{loaded.document.path} is fine: reads {names}, delivers to {urls}")


def _loaded(files: list[Path], look: bool) -> list[Loaded]:
    """Load all files.  Raises `ConfigError` with the problems of all."""
    every: list[Loaded] = []
    problems: list[str] = []
    for file in files:
        try:
            loaded = load_with_lines(file)
        except ConfigError as error:
            problems += error.problems
            continue
        every.append(loaded)
        if look:
            found = [*problems_here(loaded.config), *problems_with_folders(loaded.config)]
            problems += with_lines(loaded, found)
    if problems:
        raise ConfigError(problems)
    return every


def schema(what: str) -> None:
    """Print a JSON Schema: of the configuration (for editors), or of the messages of a format."""
    if what not in SCHEMAS:
        typer.echo(f"gateway schema: there is no schema {what!r}, only {', '.join(SCHEMAS)}", err=True)
        raise typer.Exit(2)
    typer.echo(json.dumps(SCHEMAS[what](), indent=2))
