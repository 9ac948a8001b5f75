"""`gateway group`: who does what in a group of gateways, and what people wish of it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.cli.common import problems_told
from gateway.config import Config
from gateway.errors import ConfigError
from gateway.loading import load
from gateway.logs import set_up_logs

if TYPE_CHECKING:
    from gateway.group.log import Log


def status(file: Path, as_json: bool) -> None:
    """Show each source and broker: whose it is, since when, the epoch of its claim, and how far behind it is."""

    async def tell(log: "Log", config: Config) -> None:
        from gateway.group import status as about

        rows, facts, members = (
            await about.rows_of(log, works_of(config)),
            await about.told_of_log(log),
            await log.members(),
        )
        if as_json:
            typer.echo(about.as_json(rows, facts, members))
            return
        for row in rows:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.since_s)) if row.since_s else "-"
            typer.echo(
                f"{row.work:<32} {row.member or 'nobody':<20} {since:<21} epoch {row.epoch:<5} behind {row.behind}"
            )
        for name, said in sorted(members.items()):
            typer.echo(f"member {name}: version {said.get('version')}, weight {said.get('weight')}")
        typer.echo(f"log: led by {facts['leader']}, {facts['records']} records, {facts['bytes']} bytes")

    _ask(file, tell)


def drain(file: Path, member: str, undo: bool) -> None:
    """Let a member hand over everything and take nothing, until that is undone."""

    async def wish(log: "Log", config: Config) -> None:
        await log.wish(f"member/{member}", None if undo else {"drain": member})
        await log.nudge()

    _ask(file, wish)
    typer.echo(f"{member} {'takes part again' if undo else 'hands over what it has'}")


def move(file: Path, source: str, member: str, undo: bool) -> None:
    """Let a member have a source (or a broker) for as long as it is there."""

    async def wish(log: "Log", config: Config) -> None:
        work = source if "/" in source else f"source/{source}"
        if work not in works_of(config):
            raise ConfigError([f"{source}: the configuration has no such source or broker"])
        if not undo and member not in await log.members():
            raise ConfigError([f"{member or 'no name'}: there is no such member at present"])
        await log.wish(work, None if undo else {"member": member})
        await log.nudge()

    _ask(file, wish)
    typer.echo(f"{source} {'stays where the plan puts it' if undo else f'goes to {member}'}")


def check(file: Path) -> None:
    """Check what a group needs: versions, sync setting of NATS, clocks, and the identity that members share."""

    async def tell(log: "Log", config: Config) -> None:
        from gateway.group.status import problems_of

        problems = await problems_of(log, config)
        for problem in problems:
            typer.echo(problem)
        if problems:
            raise typer.Exit(1)
        typer.echo("the group is fine")

    _ask(file, tell)


def works_of(config: Config) -> dict[str, str]:
    """Sources and brokers, and what the gateway itself is asked for, where a rule allows that."""
    from gateway.group.plan import ITSELF

    works = {f"source/{each.name}": "" for each in config.sources} | {f"broker/{name}": "" for name in config.routes}
    is_asked = config.commands is not None and any(rule.source is None for rule in config.commands.rules)
    return works | ({ITSELF: ""} if is_asked else {})


def _ask(file: Path, what: "Callable[[Log, Config], Awaitable[None]]") -> None:
    async def ask(config: Config) -> None:
        from gateway.group.status import asked

        assert config.group is not None
        async with asked(config.group) as log:
            await what(log, config)

    set_up_logs("console", logging.ERROR)
    with problems_told():
        config = load(file)
        if config.group is None:
            raise ConfigError([f"{file} has no group"])
        try:
            asyncio.run(ask(config))
        except ModuleNotFoundError as error:
            raise ConfigError([f"{error.name} is not installed: pip install 'connected-factory[group]'"]) from error
