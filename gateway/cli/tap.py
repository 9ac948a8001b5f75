"""`gateway tap`: what passes inside a running gateway, as it passes."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import typer

from gateway.cli.asking import Gateway, Json, printable
from gateway.cli.common import problems_told

MOST_SHOWN = 160
"""The longest payload in a line."""


def tap(
    url: str,
    source: str,
    tag: str,
    stream: str,
    stage: str,
    count: int | None,
    as_json: bool,
    token_file: Path | None,
) -> None:
    """Show what passes inside a running gateway: values as decoded and as shaped, messages as stored."""
    with problems_told():
        query = {"source": source, "tag": tag, "stream": stream, "stage": stage}
        for line in islice(_lines(Gateway(url, token_file).follow("tap", **query), as_json=as_json), count):
            typer.echo(line)


def _lines(events: Iterator[Json], *, as_json: bool) -> Iterator[str]:
    """A line for everything that passed.  What is not shown is told on standard error."""
    before, is_told = (0, 0), False
    for event in events:
        if not event["tags"] and not is_told:
            typer.echo("no tag is so at present: waiting (gateway tags WORDS shows which there are)", err=True)
        is_told = not event["tags"]
        for each in sorted((*event["values"], *event["messages"]), key=lambda each: str(each["time"])):
            yield json.dumps(each, ensure_ascii=False) if as_json else line_of(each)
        missed = event["left_out"], event["dropped"]
        if missed != before:
            more, slow = missed[0] - before[0], missed[1] - before[1]
            typer.echo(f"… not shown: {more} above 500 a second, {slow} that this terminal was too slow for", err=True)
        before = missed


def line_of(passed: Json) -> str:
    """One value or message in one line of printable text."""
    start = (passed["time"][11:23], passed["stage"], passed["source"])
    if passed["stage"] == "encode":
        payload = passed["payload"]
        shown = f"{payload[:MOST_SHOWN]}{'…' if len(payload) > MOST_SHOWN else ''}"
        route = f"route {passed['route']}" if passed["route"] else ""
        told = (passed["topic"], f"#{passed['seq']}", f"{passed['count']} values", route, shown)
    else:
        when = f"source {passed['source_time'][11:]}" if passed["source_time"] else "without a source time"
        value = "null" if passed["value"] is None else passed["value"]
        told = (passed["tag"], value, passed["type"], passed["status"].partition(" (")[0], when)
    return printable("  ".join(part for part in (*start, *told) if part))
