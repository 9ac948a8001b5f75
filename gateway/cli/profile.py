"""`gateway profile`: what clouds and brokers accept, and whether a configuration keeps to it."""

import json
from typing import Annotated

import typer

from gateway.cli.common import examples, problems_told
from gateway.profiles import Profile, names_of_profiles, profile_named
from gateway.profiles.table import LIMITS

profile = typer.Typer(
    no_args_is_help=True,
    help="What clouds and brokers accept, each limit with its source, and whether a configuration keeps to it.",
    epilog=examples(
        "gateway profile list",
        "gateway profile show aws-iot-core",
        "gateway profile show my-cloud.yaml --json",
    ),
)

NameArgument = Annotated[str, typer.Argument(metavar="PROFILE", help="A name of `gateway profile list`, or a file.")]


@profile.command("list", epilog=examples("gateway profile list"))
def list_() -> None:
    """Print the profiles that come with the gateway."""
    for name in names_of_profiles():
        found = profile_named(name)
        typer.echo(f"{name:22}{found.title:44}MQTT {', '.join(found.login.versions)}")


@profile.command(epilog=examples("gateway profile show azure-iot-hub", "gateway profile show my-cloud.yaml --json"))
def show(
    name: NameArgument, as_json: Annotated[bool, typer.Option("--json", help="Print the whole table as JSON.")] = False
) -> None:
    """Print a profile: every limit with its source and the date it was read there."""
    with problems_told():
        found = profile_named(name)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=2))
        return
    for line in lines_of(found):
        typer.echo(line)


def lines_of(found: Profile) -> list[str]:
    """A profile for people."""
    login, topics, does = found.login, found.topics, found.behaviour
    ports = ", ".join(
        f"{each.port}{'' if each.tls else ' (no TLS)'}{f' (ALPN {each.alpn})' if each.alpn else ''}"
        for each in login.ports
    )
    pairs = {
        "endpoint": found.endpoint,
        "MQTT": f"{', '.join(login.versions)} on {ports}",
        "client id": login.client_id,
        "user name": login.username or "as configured",
        "password": login.password,
        "topic": topics.publish + (f"; things: {topics.things}" if topics.things else ""),
        "properties": {
            "user": "MQTT 5 user properties", "bag": "in the topic, with $.ct and $.ce", "none": "none",
        }[topics.properties],
        "above a rate": does.over_rate,
        "QoS 2": does.qos_2,
        "retain": does.retain,
    }  # fmt: skip
    lines = [found.title, *(f"  {name:14}{value}" for name, value in pairs.items() if value), ""]
    for name, limit in found.limits.items():
        value = str(limit.value).lower() if isinstance(limit.value, bool) else f"{limit.value:g}"
        if not isinstance(limit.value, bool) and float(limit.value).is_integer():
            value = f"{int(limit.value)}"
        source = found.sources[limit.source]
        lines.append(f"  {LIMITS[name]:44}{value:>10}  {source.date}  {source.url}")
        if limit.note or limit.unverified:
            told = "; ".join(
                each for each in (limit.note, "no source confirmed it" if limit.unverified else "") if each
            )
            lines.append(f"  {'':56}{told}")
    if found.price is not None:
        price, source = found.price, found.sources[found.price.source]
        each = f"{price.usd:g} USD for {price.per_messages} messages of up to {price.unit_bytes} bytes"
        lines += ["", f"  list price: {each} ({price.note}); {source.date}  {source.url}"]
    return [*lines, *(f"  {note}" for note in found.notes)]
