"""`gateway losses`: what was not delivered, when, why and of whom."""

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer

from gateway.cli.asking import Gateway, Json, printable
from gateway.cli.common import problems_told

UNITS = {"s": "seconds", "min": "minutes", "h": "hours"}


def losses(since: str, as_json: bool, url: str, token_file: Path | None) -> None:
    """Show what a running gateway could not deliver: gaps at servers, and what the outbox or a broker gave up."""
    begin = datetime.now(UTC) - _duration(since)
    with problems_told():
        gateway = Gateway(url, token_file)
        known = gateway.ask("gaps")
    found = [gap for gap in reversed(known["gaps"]) if datetime.fromisoformat(gap["time"]) >= begin]
    for gap in found:
        typer.echo(json.dumps(gap, ensure_ascii=False) if as_json else printable(line_of(gap)))
    dropped: Counter[tuple[str, str]] = Counter()
    for each in known["dropped"]:
        if datetime.fromisoformat(each["time"]) >= begin:
            dropped[each["broker"], each["reason"]] += each["values"]
    for (broker, reason), values in sorted(dropped.items()):
        typer.echo(printable(f"values that {broker} did not get: {values} {reason}"), err=as_json)
    since_then = datetime.fromisoformat(known["since"])
    all_of_it = ", which is all that is known: there is nothing older" if since_then > begin else ""
    what = f"{len(found)} gaps" if found else "no gap" if dropped else "nothing was lost"
    typer.echo(printable(f"{what} since {max(since_then, begin):%Y-%m-%d %H:%M:%S} UTC{all_of_it}"), err=as_json)
    if found or dropped:
        raise typer.Exit(1)


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})(s|min|h)", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 30min or 12h", param_hint="--since")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def line_of(gap: Json) -> str:
    """One gap in one line."""
    values = "" if gap["values"] is None else f"{gap['values']} values"
    time = f"from {gap['begin'] or '?'} to {gap['end'] or '?'}" if gap["begin"] or gap["end"] else ""
    tags = ", ".join(gap["tags"]) or "any tag"
    return "  ".join(
        part for part in (gap["time"][:19], gap["source"], gap["cause"], gap["detail"], values, time, tags) if part
    )
