"""`gateway browse` and `gateway plan`: inspect a server before configuring it, a configuration before running it."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import orjson
import typer
import yaml
from pydantic import ValidationError

from gateway.cli.common import counting, problems_told, until_interrupted
from gateway.cli.plan_commands import Row, columns, folded, rows_of_commands
from gateway.cli.plan_sums import (
    brokers_told,
    goals_of,
    groups_of_plan,
    load_told,
    names_refused,
    now_of,
    statuses_told,
)
from gateway.cloud_load import Group
from gateway.config import CommandsConfig, Config, Secret, SecurityConfig, Selection, SourceConfig
from gateway.errors import ConfigError
from gateway.importing.csv_tags import lines
from gateway.loading import load
from gateway.metrics import Metrics
from gateway.opcua.codec.namespaces import printable
from gateway.opcua.explore import Browsed, BrowseOptions, Entry, Plan, PlannedTag, connected, selection_of
from gateway.opcua.explore import browse as browse_server
from gateway.opcua.explore import plan as plan_source
from gateway.opcua.session.refusals import Refusal
from gateway.opcua.space.selection import is_chosen
from gateway.payload.forms import json_of
from gateway.run.added import Added, added_to, joined, still_allowed
from gateway.run.added_file import load_added

VALUE_LENGTH = 40
ON_TERMINAL = 1000
"""The number of variables shown on a terminal unless `--limit` sets another."""
FOLDED_FROM, SHOWN_OF_FOLDED = 8, 3
"""More variables than this with equal settings are shortened to the first few and one line for the rest."""
WIDEST = 60
"""The widest column, in characters."""
_DUMPER: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The C dumper, where PyYAML has it, is ten times as fast."""


def browse(
    url: str,
    root: str,
    match: list[str] | None,
    depth: int,
    limit: int | None,
    as_yaml: bool,
    as_csv: bool,
    values: bool,
    insecure: bool,
    pki: Path,
    username: str | None,
    password_env: str | None,
) -> None:
    """Show the variables of a server: path, type, value and unit."""
    if limit is None:
        limit = ON_TERMINAL if sys.stdout.isatty() and not (as_yaml or as_csv) else 0
    with problems_told():
        if (username is None) != (password_env is None):
            raise ConfigError(
                ["--username NAME goes with --password-env VARIABLE, the name of an environment variable"]
            )
        root = _as_node(root)
        config = _source(url, root, insecure, pki, username, password_env)
        wanted = Selection(subtree=root, include=tuple(match or ()))
        options = BrowseOptions(root, lambda path: is_chosen(path, wanted), depth, limit, values and not as_yaml)
        found = until_interrupted(lambda: _browse(config, options))
    if as_yaml:
        tree = {"select": selection_of(found, match or ())}
        typer.echo(_yaml(tree), nl=False)
    elif as_csv:
        for line in lines(map(_csv_row, found.entries)):
            typer.echo(line, nl=False)
    else:
        _print_lines(_tree(found))
    if match and not found.matching:
        typer.echo(
            "nothing matches: paths start below --root; **/Name matches at any depth, */Name one level down", err=True
        )
    hidden = found.matching - len(found.entries)
    more = f"; {hidden} more match: use --match or --root to narrow, --limit 0 to show all" if hidden else ""
    deeper = f"; {len(found.closed)} objects not browsed (see --depth)" if found.closed else ""
    if found.nameless:
        told = f"no URI names these namespaces alone: {found.nameless}; their node ids are written with ns="
        typer.echo(_on_one_line(told), err=True)
    typer.echo(f"{len(found.entries)} variables{more}{deeper}", err=True)
    if _print_refused(found.refused, err=True):
        raise typer.Exit(1)


def _as_node(root: str) -> str:
    """A node id or a path from the root; a path as it is printed begins below the Objects folder."""
    if root.startswith("/") or re.match(r"(nsu=[^;]+;|ns=\d+;)?(i|s|s%|g|b)=", root):
        return root
    return f"/Objects/{root}"


def _csv_row(entry: Entry) -> dict[str, str]:
    return {"node": entry.node_id, "name": printable(entry.path), "type": entry.type, "unit": entry.unit or ""}


def _print_refused(refused: Iterable[Refusal], err: bool = False) -> int:
    """Print what the server would not tell; how much that is."""
    lines = [f"not told: {each.what} of {each.path}: {each.reason}" for each in refused]
    for line in lines:
        typer.secho(line, fg="red", err=err)
    return len(lines)


def _yaml(tree: object) -> str:
    """A tree as YAML that our own loader reads.  What is not text there is escaped, and then all that is not ASCII."""
    plain = yaml.dump(tree, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
    if all(character.isprintable() or character == "\n" for character in set(plain)):
        return str(plain)
    return str(yaml.dump(tree, Dumper=_DUMPER, sort_keys=False, allow_unicode=False))


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
    """Objects by indentation, each once; variables with type, value and unit."""
    open_path: list[str] = []
    objects = {each.path: each for each in found.objects}

    def opened(path: str) -> str:
        known = objects.get(path)
        return f"  {known.type}  {known.node_id}".rstrip() if known else ""

    lines = [(entry.path, entry) for entry in found.entries] + [(path, None) for path in found.closed]
    for path, entry in sorted(lines, key=lambda line: line[0].split("/")):
        *above, name = path.split("/")
        same = 0
        while same < min(len(above), len(open_path)) and above[same] == open_path[same]:
            same += 1
        for level, part in enumerate(above[same:], same):
            yield f"{'  ' * level}{part}/{opened('/'.join(above[: level + 1]))}"
        open_path = above
        if entry is None:
            yield f"{'  ' * len(above)}{name}/ …{opened(path)}"
            continue
        value = entry.status or _short(json_of(entry.read.type, entry.read.value))
        told = f"{'  ' * len(above)}{name}  {entry.type}  {value}{' ' + entry.unit if entry.unit else ''}".rstrip()
        yield f"{told}  {entry.rights}  {entry.node_id}" if entry.access else f"{told}  {entry.node_id}"


def _print_lines(lines: Iterable[str]) -> None:
    """Many lines in few writes."""
    waiting = iter(lines)
    while block := list(islice(waiting, 1000)):
        typer.echo("\n".join(map(_on_one_line, block)))


def _on_one_line(line: str) -> str:
    """What would move the cursor or not be seen is escaped: names and values come from the server."""
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def _short(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"


def plan(file: Path, every: bool, look_at_brokers: bool, publish: bool) -> None:
    """Connect to the servers of a configuration and show what the gateway would subscribe to."""
    failed = 0
    groups: list[Group] = []
    with problems_told():
        config = load(file)
        at_run_time = _at_run_time(config)
        for source in joined(config, at_run_time).sources:
            work = partial(_plan, source, config.commands)
            found, allowed, problems = until_interrupted(work)
            typer.echo(f"{source.name}  {source.url}")
            for each in added_to(source.name, at_run_time):
                typer.echo(f"subscribed to at run time by {each.requester}, {each.since}: {each.name}  {each.node}")
            tags = [planned.tag for planned in found.tags]
            _print_lines(_columns(_rows(found, every, goals_of(config, source.name, tags))))
            failed += _print_sums(found) + problems
            _print_lines(statuses_told(found))
            refused = list(names_refused(config, source, found))
            _print_lines(refused)
            failed += len(refused)
            groups += groups_of_plan(source.name, found)
            if allowed:
                _print_lines(columns(allowed if every else list(folded(allowed))))
                typer.echo(f"{len(allowed)} variables and methods for commands, {problems} problems")
        _print_lines(load_told(config, groups))
        if look_at_brokers:
            _print_lines(until_interrupted(lambda: brokers_told(config, groups, publish)))
    if failed:
        raise typer.Exit(1)


def _at_run_time(config: Config) -> tuple[Added, ...]:
    """What requesters have subscribed to, as far as the rules still allow it."""
    try:
        return still_allowed(config, load_added(config.outbox.path))
    except (OSError, ValueError) as error:
        raise ConfigError([f"the selections made at run time: {error}"]) from error


async def _plan(source: SourceConfig, commands: CommandsConfig | None) -> tuple[Plan, list[Row], int]:
    """What would be subscribed to, and what commands would be allowed."""
    with counting(f"connecting to {source.url}") as told:
        async with connected(source, Metrics().for_source(source.name)) as session:
            found = await plan_source(session, source, told)
            rows, problems = await rows_of_commands(session, source.name, commands) if commands is not None else ([], 0)
            return found, rows, problems


_Row = tuple[str, ...]
_HEAD: _Row = (
    "variable", "fields", "node", "requested ms / queue", "revised ms / queue", "sent every", "problem", "to", "now",
)  # fmt: skip


def _rows(found: Plan, every: bool, goals: Sequence[str]) -> Iterator[_Row]:
    """A row per variable and where it goes.  Of variables with one selection and equal settings, only the first few."""
    for _, group in groupby(zip(found.tags, goals, strict=True), key=lambda pair: _treatment(pair[0])):
        alike = [_row(planned, goal) for planned, goal in group]
        shown = alike if every or len(alike) <= FOLDED_FROM else alike[:SHOWN_OF_FOLDED]
        yield from shown
        if len(shown) < len(alike):
            yield (f"… {len(alike) - len(shown)} more like these, to {alike[-1][0]}", *alike[-1][1:])


def _treatment(planned: PlannedTag) -> _Row:
    return (str(planned.tag.selection), *_row(planned, "")[3:7])


def _row(planned: PlannedTag, goal: str) -> _Row:
    asked, got = planned.item.asked, planned.got
    return (
        planned.tag.name,
        " ".join(f"{k}={v}" for k, v in planned.tag.fields.items()),
        planned.tag.node_id,
        f"{asked.sampling_ms:g} / {asked.queue_size}",
        "" if planned.problem else f"{got.sampling_ms:g} / {got.queue_size}",
        "" if planned.problem else f"{planned.every_s:g} s",
        planned.problem,
        goal,
        now_of(planned),
    )


def _columns(rows: Iterable[_Row]) -> Iterator[str]:
    """Rows in columns, as wide as needed up to a limit."""
    every = [_HEAD, *rows]
    widths = [min(WIDEST, max(map(len, column))) for column in zip(*every, strict=True)]
    for row in every:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _print_sums(found: Plan) -> int:
    """Print missing selections, totals and expected load.  Returns the number of failing variables and selections."""
    for each in found.unreadable:
        names = ", ".join(each.names[:SHOWN_OF_FOLDED]) + (" …" if len(each.names) > SHOWN_OF_FOLDED else "")
        told = f"{each.data_type} cannot be decoded ({each.why}): {len(each.names)} variables come as bytes: {names}"
        typer.secho(_on_one_line(told), fg="yellow")
    if found.nameless:
        told = f"no URI names these namespaces alone: {found.nameless}; their node ids are written with ns="
        typer.secho(_on_one_line(told), fg="yellow")
    for selection in found.missing:
        typer.secho(f"no variables found for {selection.subtree or selection.type or selection.node}", fg="red")
    failed = sum(bool(planned.problem) for planned in found.tags) + len(found.missing)
    intervals = ", ".join(f"{subscription.interval_s:g} s" for subscription in found.subscriptions)
    typer.echo(
        f"{len(found.tags)} variables, {failed} problems; "
        f"{'polled, without a subscription' if found.is_polled else f'published every {intervals}'}; "
        f"at most {found.most_values_per_s:.0f} values/s if all of them change all the time"
    )
    return failed
