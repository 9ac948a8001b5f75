"""`gateway profile`: what clouds and brokers accept, and whether a configuration keeps to it."""

import json
from functools import partial
from pathlib import Path

import typer

from gateway.cli.common import counting, problems_told, until_interrupted
from gateway.cloud_load import (
    Group,
    assumptions,
    groups_of_file,
    load_on,
    problems_with_load,
    told_of_load,
    with_profiles,
)
from gateway.config import BrokerConfig, Config, SourceConfig
from gateway.enrolment import lines_for, request_in
from gateway.errors import EXIT_CANNOT_WRITE, ConfigError
from gateway.loading import load_with_lines
from gateway.metrics import Metrics
from gateway.model import Priority, Tag
from gateway.opcua.explore import Plan, connected
from gateway.opcua.explore import plan as plan_source
from gateway.payload.clouds import warnings_about_clouds
from gateway.profiles import Profile, names_of_profiles, profile_named
from gateway.profiles.table import LIMITS
from gateway.run.gateway import client_id_of
from gateway.run.readiness import with_lines


def list_() -> None:
    """Print the profiles that come with the gateway."""
    for name in names_of_profiles():
        found = profile_named(name)
        typer.echo(f"{name:22}{found.title:44}MQTT {', '.join(found.login.versions)}")


def show(name: str, as_json: bool) -> None:
    """Print a profile: every limit with its source and the date it was read there."""
    with problems_told():
        found = profile_named(name)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=2))
        return
    for line in lines_of(found):
        typer.echo(line)


def check(file: Path, plan: bool, tags: int) -> None:
    """Check a configuration against the profiles of its brokers, without connecting to a cloud."""
    with problems_told():
        loaded = load_with_lines(file)
        config = loaded.config
        brokers = with_profiles(config)
        if not brokers:
            raise ConfigError([f"{file}: no broker has a profile: set broker.profile (`gateway profile list`)"])
        for text in with_lines(loaded, warnings_about_clouds(config)):
            typer.echo(f"warning: {text}")
        groups, unknown = planned_groups(config) if plan else groups_of_file(config, tags)
    for each in unknown:
        typer.echo(f"not counted: {each} (only the server knows how many: --plan, or --tags N)")
    found = 0
    for name, broker in brokers.items():
        load = load_on(config, broker, config.routes[name].payload, groups)
        typer.echo(f"{name}: {profile_of(broker)}: {told_of_load(load)}")
        if assumed := assumptions(broker, groups):
            typer.echo(f"  {assumed}")
        for text in problems_with_load(config, load, groups):
            typer.echo(f"  {text}")
            found += 1
    if found:
        raise typer.Exit(1)


def enroll(file: Path, name: str, folder: Path) -> None:
    """Write a key and a certificate request for this gateway, and print what the cloud's console needs to know."""
    with problems_told():
        config = load_with_lines(file).config
        brokers = with_profiles(config)
        if not brokers or (name and name not in brokers):
            raise ConfigError([f"{file}: there is no broker {name or 'with a profile'}: set broker.profile"])
        broker = brokers[name or next(iter(brokers))]
        device = broker.who(client_id_of(config, broker)).device
        try:
            key, request, is_new = request_in(folder, device)
        except (OSError, ValueError) as error:
            raise ConfigError([f"{folder}: {error}"], EXIT_CANNOT_WRITE) from error
    typer.echo(f"{'made' if is_new else 'kept'} {key}, wrote {request}", err=True)
    for line in lines_for(config, broker, device, request):
        typer.echo(line)


def profile_of(broker: BrokerConfig) -> str:
    table = broker.table
    return "" if table is None else table.title


def planned_groups(config: Config) -> tuple[list[Group], list[str]]:
    """The variables as the servers have them now.  Connects."""
    groups = dict[tuple[str, float, int], list[Tag]]()
    for source in config.sources:
        for each in until_interrupted(partial(_plan, source)).tags:
            if not each.problem and each.tag.priority is not Priority.EVENT:
                sampled = max(1, round(each.every_s * 1000 / each.got.sampling_ms)) if each.got.sampling_ms else 1
                groups.setdefault((source.name, each.every_s, sampled), []).append(each.tag)
    return [Group(name, tuple(tags), every_s, n) for (name, every_s, n), tags in groups.items()], []


async def _plan(source: SourceConfig) -> Plan:
    with counting(f"connecting to {source.url}") as told:
        async with connected(source, Metrics().for_source(source.name)) as session:
            return await plan_source(session, source, told)


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
