"""`gateway model`: what the gateway sends and takes, as models that other systems import."""

from functools import partial
from importlib.metadata import version
from pathlib import Path

import typer

from gateway.cli.common import counting, problems_told, until_interrupted
from gateway.cli.writing import write
from gateway.config import CommandsConfig, Config, SourceConfig
from gateway.errors import ConfigError
from gateway.loading import load
from gateway.metrics import Metrics
from gateway.modelling.commanded import commands_at
from gateway.modelling.describe import describe
from gateway.modelling.description import Description, SourceTable, Told
from gateway.modelling.formats import MODEL_FORMATS
from gateway.modelling.table_file import read, written
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.explore import connected
from gateway.opcua.facts import Described, described
from gateway.opcua.operations.server import ServerOperations
from gateway.opcua.session.refusals import Refusal

OF_BROKERS = ("aas", "aasx", "asyncapi", "wot")
"""Formats that describe how brokers are reached, which they know of MQTT."""


def export(form: str, file: Path, table: Path | None, output: Path | None) -> None:
    """Write a model of what this configuration sends and takes."""
    if form not in MODEL_FORMATS:
        typer.echo(f"gateway model export: there is no format {form!r}, only {', '.join(MODEL_FORMATS)}", err=True)
        raise typer.Exit(2)
    with problems_told():
        told = Told()
        config = load(file)
        if form in OF_BROKERS:
            config = _of_mqtt(config, told)
        tables, problems = _tables(config, table)
        made = MODEL_FORMATS[form].write(_described(config, tables, table), told)
        write(made, output)
    for line in (*told.lines, *problems):
        typer.echo(line, err=True)
    if problems:
        raise typer.Exit(1)


def _of_mqtt(config: Config, told: Told) -> Config:
    """The configuration with the brokers that models describe.  Raises `ConfigError` when there is none."""
    known = tuple(broker for broker in config.all_brokers if broker.is_mqtt)
    if not known:
        raise ConfigError(["this format describes brokers of MQTT, and the configuration has none"])
    if len(known) == len(config.all_brokers):
        return config
    for broker in config.all_brokers:
        if broker not in known:
            told.add("brokers of other protocols", broker.name)
    return config.model_copy(update={"broker": None, "brokers": known})


def _described(config: Config, tables: list[SourceTable], file: Path | None) -> Description:
    """The description.  Raises `ConfigError` when the tables are those of another configuration."""
    try:
        return describe(config, tables, version("connected-factory"))
    except KeyError as error:
        if file is None:
            raise
        told = f"{file}: its variables have no field {error}, so it is of another configuration"
        raise ConfigError([f"{told}: make it again with `gateway model read`"]) from error


def read_servers(file: Path, output: Path | None) -> None:
    """Save what the servers say of the variables, so that models can be made without them (`--table`)."""
    with problems_told():
        config = load(file)
        tables, problems = _tables(config, None)
        write(written(config.name, tables), output)
    for line in problems:
        typer.echo(line, err=True)
    if problems:
        raise typer.Exit(1)


def _tables(config: Config, file: Path | None) -> tuple[list[SourceTable], list[str]]:
    """The tables of all sources, and what is missing."""
    if file is not None:
        return _from_file(config, file), []
    tables, problems = list[SourceTable](), list[str]()
    for source in config.sources:
        found, commands, refused = until_interrupted(partial(_read, source, config.commands))
        tables.append(SourceTable(source.name, source.url, found.tags, found.facts, commands.commands))
        problems += [f"not told: {each.what} of {each.path}: {each.reason}" for each in refused]
        problems += [f"no variables found for {each}" for each in found.missing]
    return tables, problems


def _from_file(config: Config, file: Path) -> list[SourceTable]:
    tables = {table.name: table for table in read(file)}
    missing = [source.name for source in config.sources if source.name not in tables]
    if missing:
        has = ", ".join(tables) or "nothing"
        raise ConfigError([f"{file}: has {has}, but not {', '.join(missing)}: make it again with `gateway model read`"])
    chosen = [tables[source.name] for source in config.sources]
    for source, table in zip(config.sources, chosen, strict=True):
        if any(not 0 <= tag.selection < len(source.select) for tag in table.tags):
            raise ConfigError(
                [f"{file}: {source.name}: is of another `select`: make it again with `gateway model read`"]
            )
    return chosen


async def _read(
    source: SourceConfig, commands: CommandsConfig | None
) -> tuple[Described, SourceTable, tuple[Refusal, ...]]:
    with counting(f"connecting to {source.url}") as told:
        async with connected(source, Metrics().for_source(source.name)) as session:
            found = await described(session, source, told)
            allowed = SourceTable(source.name, source.url, (), ())
            if commands is not None:
                server = ServerOperations(session, Dialect(session.uris))
                allowed = SourceTable(source.name, source.url, (), (), await commands_at(server, source.name, commands))
            return found, allowed, tuple(session.refused)
