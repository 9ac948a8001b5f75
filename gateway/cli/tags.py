"""`gateway tags`: what each tag of a running gateway is, why it is not good, and on which topic it goes."""

import json
from collections.abc import Iterator
from pathlib import Path

import typer

from gateway.advice import advice_for
from gateway.cli.asking import Gateway, Json, printable
from gateway.cli.common import problems_told


def tags(words: list[str] | None, severity: str, limit: int, as_json: bool, url: str, token_file: Path | None) -> None:
    """Find tags of a running gateway: value, status and why, both times, topic and route, what a rule holds back."""
    with problems_told():
        gateway = Gateway(url, token_file)
        asked = {"search": " ".join(words or ()), "limit": str(limit), "severity": severity}
        found = gateway.ask("tags", **asked)
        sources = {each["name"]: each for each in gateway.ask("state")["sources"]}
    for tag in found["tags"]:
        lines = [json.dumps(tag, ensure_ascii=False)] if as_json else told(tag, sources.get(tag["source"]))
        for line in lines:
            typer.echo(line if as_json else printable(line))
    if found["matches"] > len(found["tags"]):
        typer.echo(f"… and {found['matches'] - len(found['tags'])} more: add words, or --limit", err=True)
    if not found["matches"]:
        typer.echo("no tag is so", err=True)
        raise typer.Exit(1)


def told(tag: Json, source: Json | None) -> Iterator[str]:
    """All that is known of a tag, one thing per line."""
    value = "null" if tag["value"] is None else tag["value"]
    yield f"{tag['source']}  {tag['name']}  {value} {tag['unit']}".rstrip()
    yield f"  status  {tag['status']}{_why(tag, source)}"
    age = f"  {tag['age_s']:.1f} s ago" if tag["age_s"] is not None else ""
    yield f"  time    source {tag['source_time'] or 'none'}  server {tag['server_time'] or 'none'}{age}"
    for way in tag["ways"]:
        route = f"  route {way['route']}" if way["route"] else ""
        yield f"  topic   {way['topic']}  to {', '.join(way['brokers'])}{route}"
    if not tag["ways"]:
        yield "  topic   none: no broker wants it"
    if (held := tag["held_back"]) is not None:
        yield f"  rule    {held['rule']}: {held['passed']} of {held['arrived']} passed in {held['for_s']:.0f} s"
    yield f"  node    {tag['node']}"


def _why(tag: Json, source: Json | None) -> str:
    """What is behind it: the server that is away, or what a status code stands for."""
    if source is not None and source["state"] != "up":
        advice = f": {source['advice']}" if source["advice"] else ""
        return f"; the server is {source['state']}: {source['reason']}{advice}"
    advice = "" if tag["severity"] == "good" else meaning_of(tag["status"])
    return f"; {advice}" if advice else ""


MEANINGS = (
    ("BadUserAccessDenied", "our user may not read it: give it the right on the server"),
    ("BadNotReadable", "the server does not let anybody read it"),
    ("BadNodeIdUnknown", "the server has no such node any more: `gateway plan` shows what it has"),
    ("BadCommunicationError", "the server does not reach its device"),
    ("BadNoCommunication", "the server does not reach its device"),
    ("BadNotConnected", "the server does not reach its device"),
    ("BadDeviceFailure", "the device behind the server has failed"),
    ("BadSensorFailure", "the sensor has failed, says the server"),
    ("BadOutOfService", "it is switched off at the server"),
    ("BadConfigurationError", "the server is not set up rightly for it"),
    ("BadWaitingForInitialData", "the server has just started and has no value yet"),
    ("BadOutOfMemory", "the server has no memory left"),
    ("UncertainLastUsableValue", "the last value that the server had; it does not get new ones"),
    ("UncertainInitialValue", "a value that was set at first, and not measured"),
    ("UncertainSensorNotAccurate", "the sensor is at its limit, or not calibrated"),
    ("UncertainSubstituteValue", "somebody has set it by hand"),
)
"""What status codes of values say (Part 4, 7.39, and Part 8, 6.3), and where to look."""


def meaning_of(status: str) -> str:
    """Of a status in words.  Empty where there is nothing to add."""
    return next((text for name, text in MEANINGS if name in status), "") or advice_for(status, "")
