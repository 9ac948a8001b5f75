"""`gateway browse` and `gateway plan`: look at a server before anything is configured, and before anything runs."""

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError

from gateway.cli.common import FileArgument, counting, problems_told, until_interrupted
from gateway.config import Secret, SecurityConfig, Selection, SourceConfig
from gateway.errors import ConfigError
from gateway.loading import load
from gateway.metrics import Metrics
from gateway.opcua.explore import Browsed, BrowseOptions, Plan, PlannedTag, connected, selection_of
from gateway.opcua.explore import browse as browse_server
from gateway.opcua.explore import plan as plan_source
from gateway.opcua.space.browse import MAX_LEVELS
from gateway.opcua.space.selection import is_chosen

VALUE_LENGTH = 40
ON_TERMINAL = 1000
"""So many variables are shown to somebody who has not said how many."""
FOLDED_FROM, SHOWN_OF_FOLDED = 8, 3
"""More variables than this that are treated alike become the first few and one line for the others."""
WIDEST = 60
"""Of a column, in characters."""
_DUMPER: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The one in C, where it was built, is ten times as fast."""


def browse(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server, such as opc.tcp://127.0.0.1:4840.")],
    root: Annotated[str, typer.Option(help="Where to begin: a node id or a path of browse names.")] = "i=85",
    match: Annotated[
        list[str] | None, typer.Option(help="Only these paths: * within a level, ** across.  May be repeated.")
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="How many levels to look into.")] = MAX_LEVELS,
    limit: Annotated[
        int | None, typer.Option(min=0, help="At most so many variables, 0 for all; a terminal shows 1000.")
    ] = None,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print a `select` to begin a configuration with.")] = False,
    values: Annotated[bool, typer.Option(help="Read types and values too.")] = True,
    insecure: Annotated[bool, typer.Option(help="Use SecurityPolicy None.")] = False,
    pki: Annotated[Path, typer.Option(help="Folder of certificates.")] = Path("var/pki"),
    username: Annotated[str | None, typer.Option(help="Log in with this name.")] = None,
    password_env: Annotated[str | None, typer.Option(help="Environment variable that holds the password.")] = None,
) -> None:
    """Show the variables of a server: path, type, value, unit.

    The channel is secured unless `--insecure` says otherwise.  Exit code 69 when the server is not there, 130 after
    Ctrl-C, at any time.
    """
    if limit is None:
        limit = ON_TERMINAL if sys.stdout.isatty() and not as_yaml else 0
    with problems_told():
        if (username is None) != (password_env is None):
            raise ConfigError(
                ["--username NAME goes with --password-env VARIABLE, the name of an environment variable"]
            )
        config = _source(url, root, insecure, pki, username, password_env)
        wanted = Selection(subtree=root, include=tuple(match or ()))
        options = BrowseOptions(root, lambda path: is_chosen(path, wanted), depth, limit, values and not as_yaml)
        found = until_interrupted(lambda: _browse(config, options))
    if as_yaml:
        tree = {"select": selection_of(found.entries)}
        typer.echo(yaml.dump(tree, Dumper=_DUMPER, sort_keys=False, allow_unicode=True), nl=False)
    else:
        _print_lines(_tree(found))
    if match and not found.matching:
        typer.echo(
            "nothing matches: paths begin below --root; **/Name is at any depth, */Name one level down", err=True
        )
    hidden = found.matching - len(found.entries)
    more = f"; {hidden} more match: --match and --root narrow, --limit 0 shows all" if hidden else ""
    deeper = f"; {len(found.closed)} objects not looked into: --depth" if found.closed else ""
    typer.echo(f"{len(found.entries)} variables{more}{deeper}", err=True)


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


async def _browse(config: SourceConfig, options: BrowseOptions) -> Browsed:
    with counting(f"connecting to {config.url}") as told:
        async with connected(config, Metrics().for_source("browse")) as session:
            return await browse_server(session, options, told)


def _tree(found: Browsed) -> Iterator[str]:
    """Objects by indentation, each once; variables with what they hold."""
    open_path: list[str] = []
    lines = [(entry.path, entry) for entry in found.entries] + [(path, None) for path in found.closed]
    for path, entry in sorted(lines, key=lambda line: line[0].split("/")):
        *above, name = path.split("/")
        same = 0
        while same < min(len(above), len(open_path)) and above[same] == open_path[same]:
            same += 1
        for level, part in enumerate(above[same:], same):
            yield f"{'  ' * level}{part}/"
        open_path = above
        if entry is None:
            yield f"{'  ' * len(above)}{name}/ …"
            continue
        value = entry.status or _short(entry.value)
        yield f"{'  ' * len(above)}{name}  {entry.type}  {value}{' ' + entry.unit if entry.unit else ''}".rstrip()


def _print_lines(lines: Iterable[str]) -> None:
    """Many lines in few writes."""
    waiting = iter(lines)
    while block := list(islice(waiting, 1000)):
        typer.echo("\n".join(block))


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"


def plan(
    file: FileArgument,
    every: Annotated[bool, typer.Option("--all", help="A line for each variable; else like ones are folded.")] = False,
) -> None:
    """Connect to every server of a configuration and show what would be subscribed.

    Which variables it means, what the server makes of the intervals and queues asked for, what fails and why, and the
    load to expect.  Nothing is read or delivered.  Exit code 1 when something fails, 69 when a server is not there, 130
    after Ctrl-C, at any time.
    """
    failed = 0
    with problems_told():
        config = load(file)
        for source in config.sources:
            found = until_interrupted(lambda source=source: _plan(source))  # type: ignore[misc]  # the loop's own
            typer.echo(f"{source.name}  {source.url}")
            _print_lines(_columns(_rows(found, every)))
            failed += _print_sums(found)
    if failed:
        raise typer.Exit(1)


async def _plan(source: SourceConfig) -> Plan:
    with counting(f"connecting to {source.url}") as told:
        async with connected(source, Metrics().for_source(source.name)) as session:
            return await plan_source(session, source, told)


_Row = tuple[str, ...]
_HEAD: _Row = ("variable", "fields", "node", "asked ms / queue", "got ms / queue", "sent every", "problem")


def _rows(found: Plan, every: bool) -> Iterator[_Row]:
    """A row for each variable.  Of those that one selection takes and the server treats alike, the first few."""
    for _, group in groupby(found.tags, key=_treatment):
        alike = list(group)
        shown = alike if every or len(alike) <= FOLDED_FROM else alike[:SHOWN_OF_FOLDED]
        yield from (_row(planned) for planned in shown)
        if len(shown) < len(alike):
            yield (f"… {len(alike) - len(shown)} more like these, to {alike[-1].tag.name}", *_row(alike[-1])[1:])


def _treatment(planned: PlannedTag) -> _Row:
    return (str(planned.tag.selection), *_row(planned)[3:])


def _row(planned: PlannedTag) -> _Row:
    asked, got = planned.asked, planned.got
    return (
        planned.tag.name,
        " ".join(f"{k}={v}" for k, v in planned.tag.fields.items()),
        planned.tag.node_id,
        f"{asked.sampling_ms:g} / {asked.queue_size}",
        "" if planned.problem else f"{got.sampling_ms:g} / {got.queue_size}",
        "" if planned.problem else f"{planned.every_s:g} s",
        planned.problem,
    )


def _columns(rows: Iterable[_Row]) -> Iterator[str]:
    """Rows under each other, in columns as wide as they need, within reason."""
    every = [_HEAD, *rows]
    widths = [min(WIDEST, max(map(len, column))) for column in zip(*every, strict=True)]
    for row in every:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _print_sums(found: Plan) -> int:
    """Print what is missing, how much there is, and the load to expect; how many variables and places fail."""
    for selection in found.missing:
        typer.secho(f"nothing found for {selection.subtree or selection.type or selection.node}", fg="red")
    failed = sum(bool(planned.problem) for planned in found.tags) + len(found.missing)
    intervals = ", ".join(f"{subscription.interval_s:g} s" for subscription in found.subscriptions)
    typer.echo(
        f"{len(found.tags)} variables, {failed} problems; "
        f"{'read cyclically: no subscription' if found.is_polled else f'published every {intervals}'}; "
        f"at most {found.most_values_per_s:.0f} values/s if all of them change all the time"
    )
    return failed
