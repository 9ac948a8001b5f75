"""`gateway doctor`: everything that a configuration needs, each finding with its cure."""

import json
from dataclasses import asdict
from pathlib import Path

import typer

from gateway.cli.common import problems_told, until_interrupted

COLOURS = {"ok": "green", "look": "yellow", "wrong": "red"}


def doctor(file: Path, as_json: bool) -> None:
    """Look at everything that a configuration needs, and say what is wrong, and what helps."""
    from gateway.cli.doctor_looks import findings

    with problems_told():
        found = until_interrupted(lambda: findings(file))
    for each in found:
        if as_json:
            typer.echo(json.dumps(asdict(each)))
            continue
        typer.secho(f"{each.state:5} ", fg=COLOURS[each.state], nl=False)
        typer.echo(f"{each.what}: {each.said}")
        if each.cure:
            typer.echo(f"      → {each.cure}")
    wrong = sum(each.state == "wrong" for each in found)
    if not as_json:
        typer.echo(f"{wrong} of {len(found)} findings are wrong" if wrong else f"{len(found)} looks, nothing is wrong")
    if wrong:
        raise typer.Exit(1)
