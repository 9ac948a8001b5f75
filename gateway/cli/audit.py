"""`gateway audit`: the record of all commands: who requested what, and the outcome."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import orjson
import typer

from gateway.cli.common import problems_told
from gateway.commands import audit as chain
from gateway.commands.audit import ACTS
from gateway.commands.journal_files import FOLDER
from gateway.errors import ConfigError


def show(folder: Path, outcome: str | None, requester: str | None, last: int, as_json: bool) -> None:
    """Show the latest requests: time, requester, operation, values before and after, and outcome."""
    with problems_told():
        wanted = {"outcome": outcome, "requester": requester}
        found: deque[dict[str, object]] = deque(_chosen(folder, wanted), maxlen=last)
    for record in found:
        typer.echo(json.dumps(record, ensure_ascii=False) if as_json else _line(record))


def _chosen(folder: Path, wanted: dict[str, str | None]) -> Iterator[dict[str, object]]:
    try:
        for _, _, line in (each for place in _places(folder) for each in chain.lines_in(place)):
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # `verify` reports it
            if all(value is None or record.get(key) == value for key, value in wanted.items()):
                yield record
    except OSError as error:
        raise ConfigError([f"{folder}: no audit of commands can be read there: {error.strerror}"]) from error


def _places(folder: Path) -> list[Path]:
    """Where audits are: of commands, and of what people did on the live page."""
    places = [folder / ACTS] if (folder / ACTS).is_dir() else []
    return places if places and not (folder / FOLDER).is_dir() else [folder / FOLDER, *places]


def _line(record: dict[str, object]) -> str:
    """One request for people."""
    told = " ".join(str(record[key]) for key in ("reason", "status") if record.get(key))
    asked = record.get("asked")
    results = record.get("results")
    parts = [_part(each) for each in results] if isinstance(results, list) else []
    what = ", ".join(parts or (map(str, asked) if isinstance(asked, list) else ()))
    dry = " (dry run)" if record.get("dry_run") else ""
    return (
        f"{record.get('time')}  {record.get('requester')} at {record.get('source')}: {record.get('operation')}{dry}"
        f" {what}: {record.get('outcome')} {told}".rstrip()
    )


def _part(result: dict[str, object]) -> str:
    if "before" in result:
        verified = "" if result.get("verified") in (True, None) else ", not verified"
        return f"{result.get('tag')} {result['before']} to {result.get('wanted')}{verified}"
    return str(result.get("tag"))


def verify(folder: Path) -> None:
    """Check the chain of hashes.  Exit code 1 if a line was changed, removed or inserted."""
    with problems_told():
        try:
            checked = {place.name: chain.verify(place) for place in _places(folder)}
        except OSError as error:
            raise ConfigError([f"{folder}: no audit of commands can be read there: {error.strerror}"]) from error
    for name, found in checked.items():
        for problem in found.problems:
            typer.secho(problem, fg="red")
        of = f"{name}: " if len(checked) > 1 else ""
        typer.echo(
            f"{of}lines {found.first} to {found.last}, {len(found.problems)} problems; "
            f"hash of the last line: {found.head}"
        )
    if any(found.problems for found in checked.values()):
        raise typer.Exit(1)
