"""`gateway fleet`: names, options and help."""

from pathlib import Path
from typing import Annotated

import typer

PRESENCE_TOPIC = "gateways/{gateway}/presence"
"""That of `gateway.config.broker`, by a test."""


def fleet(
    url: Annotated[str, typer.Argument(metavar="URL", help="The broker, such as mqtts://hq.example:8883.")],
    topic: Annotated[
        str, typer.Option(help="Topic of presence, as `broker.presence.topic` of the gateways.")
    ] = PRESENCE_TOPIC,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; with --follow, one a second.")
    ] = False,
    expect: Annotated[int, typer.Option(min=0, help="How many gateways there must be.")] = 0,
    wait: Annotated[float, typer.Option(min=0.1, help="Without --follow: the longest wait for messages, in s.")] = 10.0,
    page: Annotated[str, typer.Option(metavar="HOST:PORT", help="Serve a page with all of it until Ctrl-C.")] = "",
    host_name: Annotated[
        list[str] | None, typer.Option(help="A further host name by which browsers may ask for the page.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the token that the page asks for.")] = None,
    approve: Annotated[
        Path | None, typer.Option(help="List of approved configurations to write: FILE.approved; goes on until Ctrl-C.")
    ] = None,
    canary: Annotated[
        list[str] | None, typer.Option(help="With --approve: a gateway that takes configurations first.")
    ] = None,
    healthy: Annotated[
        float, typer.Option(min=0.0, help="With --approve: how long the canaries must be well, in s.")
    ] = 300.0,
    username: Annotated[
        str | None, typer.Option(help="User name; MQTT_PASSWORD in the environment holds the password.")
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file of the trusted authorities, for mqtts://.")] = None,
) -> None:
    """Show all gateways that tell their presence at a broker: the worst first, and what is wrong with each.

    Exit code 1 when something is wrong: a gateway is offline, silent, without sources, behind, or has refused a
    configuration; fewer are there than expected; or a message is no presence. 69 when the broker is away.
    """

    from gateway.cli.fleet import fleet as work

    work(url, topic, follow, as_json, expect, wait, page, host_name, token_file, approve, canary, healthy, username, ca)
