"""`gateway browse` and `gateway plan`: look at a server before anything is configured, and before anything runs."""

from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from gateway.cli.common import FileArgument, counting, problems_told, until_stopped
from gateway.config import Secret, SecurityConfig, Selection, SourceConfig, load
from gateway.errors import ConfigError
from gateway.metrics import Metrics
from gateway.opcua.explore import Entry, Plan, connected, selection_of
from gateway.opcua.explore import browse as browse_server
from gateway.opcua.explore import plan as plan_source
from gateway.opcua.selection import is_chosen

VALUE_LENGTH = 40


def browse(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server, such as opc.tcp://127.0.0.1:4840.")],
    root: Annotated[str, typer.Option(help="Where to begin: a node id or a path of browse names.")] = "i=85",
    match: Annotated[
        list[str] | None, typer.Option(help="Only these paths: * within a level, ** across.  May be repeated.")
    ] = None,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print a `select` to begin a configuration with.")] = False,
    values: Annotated[bool, typer.Option(help="Read types and values too.")] = True,
    insecure: Annotated[bool, typer.Option(help="Use SecurityPolicy None.")] = False,
    pki: Annotated[Path, typer.Option(help="Folder of certificates.")] = Path("var/pki"),
    username: Annotated[str | None, typer.Option(help="Log in with this name.")] = None,
    password_env: Annotated[str | None, typer.Option(help="Environment variable that holds the password.")] = None,
) -> None:
    """Show the variables of a server: path, type, value, unit.

    The channel is secured unless `--insecure` says otherwise.  Exit code 69 when the server is not there.
    """
    with problems_told():
        config = _source(url, root, insecure, pki, username, password_env)
        wanted = Selection(subtree=root, include=tuple(match or ()))
        entries = [e for e in until_stopped(lambda stop: _browse(config, root, values)) if is_chosen(e.path, wanted)]
    if as_yaml:
        typer.echo(yaml.safe_dump({"select": selection_of(entries)}, sort_keys=False, allow_unicode=True), nl=False)
    else:
        _print_tree(entries)


def _source(
    url: str, root: str, insecure: bool, pki: Path, username: str | None, password_env: str | None
) -> SourceConfig:
    try:
        return SourceConfig(
            name="browse",
            url=url,
            insecure=insecure,
            security=None if insecure else SecurityConfig(pki=pki),
            username=username,
            password=Secret(env=password_env) if password_env else None,
            select=(Selection(subtree=root),),
        )
    except ValidationError as error:
        raise ConfigError([e["msg"].removeprefix("Value error, ") for e in error.errors()]) from error


async def _browse(config: SourceConfig, root: str, values: bool) -> list[Entry]:
    with counting("variables found") as progress:
        async with connected(config, Metrics().for_source("browse")) as session:
            return await browse_server(session, root, values, progress)


def _print_tree(entries: list[Entry]) -> None:
    """Objects by indentation, each once; variables with what they hold."""
    open_path: list[str] = []
    for entry in entries:
        *above, name = entry.path.split("/")
        same = 0
        while same < min(len(above), len(open_path)) and above[same] == open_path[same]:
            same += 1
        for level, part in enumerate(above[same:], same):
            typer.echo(f"{'  ' * level}{part}/")
        open_path = above
        value = entry.status or _short(entry.value)
        typer.echo(f"{'  ' * len(above)}{name}  {entry.type}  {value}{' ' + entry.unit if entry.unit else ''}".rstrip())
    typer.echo(f"{len(entries)} variables", err=True)


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"


def plan(file: FileArgument) -> None:
    """Connect to every server of a configuration and show what would be subscribed.

    Which variables it means, what the server makes of the intervals and queues asked for, what fails and why, and the
    load to expect.  Nothing is read or delivered.  Exit code 1 when something fails, 69 when a server is not there.
    """
    failed = 0
    with problems_told():
        config = load(file)
        for source in config.sources:
            found = until_stopped(lambda stop, source=source: _plan(source))  # type: ignore[misc]  # the loop's own
            failed += _print_plan(source, found)
    if failed:
        raise typer.Exit(1)


async def _plan(source: SourceConfig) -> Plan:
    async with connected(source, Metrics().for_source(source.name)) as session:
        return await plan_source(session, source)


def _print_plan(source: SourceConfig, found: Plan) -> int:
    """Print one server's plan; how many of its variables fail."""
    table = Table(title=f"{source.name}  {source.url}", title_justify="left", box=None, header_style="bold")
    for column in ("variable", "fields", "node", "asked ms / queue", "got ms / queue", "problem"):
        table.add_column(column, overflow="fold")
    for planned in found.tags:
        asked, got = planned.asked, planned.got
        table.add_row(
            planned.tag.name,
            " ".join(f"{k}={v}" for k, v in planned.tag.fields.items()),
            planned.tag.node_id,
            f"{asked.sampling_ms:g} / {asked.queue_size}",
            "" if planned.problem else f"{got.sampling_ms:g} / {got.queue_size}",
            planned.problem,
        )
    console = Console(width=None if Console().is_terminal else 200)
    console.print(table)
    failed = sum(bool(planned.problem) for planned in found.tags) + len(found.missing)
    for selection in found.missing:
        console.print(f"nothing found for {selection.subtree or selection.type or selection.node}", style="red")
    console.print(
        f"{len(found.tags)} variables, {failed} problems; published every {found.subscription.interval_s:g} s; "
        f"at most {found.most_values_per_s:.0f} values/s if all of them change all the time"
    )
    return failed
