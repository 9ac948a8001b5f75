"""`gateway fleet`: many gateways at a glance, from their retained presence messages at one broker."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from pathlib import Path

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live

from gateway.cli.common import problems_told, until_stopped
from gateway.cli.fleet_view import lines_of, screen
from gateway.cli.watch import password_of
from gateway.config import HttpConfig, Secret
from gateway.errors import ConfigError
from gateway.fleet import Approval, Fleet, Level, Watched
from gateway.link import Backoff, Link, keep_connected
from gateway.logs import set_up_logs
from gateway.mqtt.watch import Arrived, Login, watching
from gateway.web import showing_fleet

EVERY_S = 1.0
QUIET_S = 1.0
"""The broker has sent all that it retains when nothing came for so long."""


def fleet(
    url: str,
    topic: str,
    follow: bool,
    as_json: bool,
    expect: int,
    wait: float,
    page: str,
    host_name: list[str] | None,
    token_file: Path | None,
    approve: Path | None,
    canary: list[str] | None,
    healthy: float,
    username: str | None,
    ca: Path | None,
) -> None:
    """Show all gateways that tell their presence at a broker: the worst first, and what is wrong with each."""
    set_up_logs("console")
    login = Login(username, password_of(username) if username else None, ca)
    with problems_told():
        known = Fleet(Watched(topic), expect)
        http = _http(page, host_name or [], token_file)
        if approve is not None and not canary:
            raise ConfigError(["--approve: name the gateways that take a configuration first with --canary"])
        approval = Approval(approve, canary or (), healthy) if approve is not None else None
        if follow or http is not None or approval is not None:
            form = (
                "json" if as_json else "nothing" if http is not None else "picture" if sys.stdout.isatty() else "lines"
            )
            until_stopped(partial(_followed, url, login, known, form, http, approval))
        else:
            until_stopped(partial(_looked, url, login, known, wait))
            _tell(known, as_json)
    if known.verdict(time.time()).level is not Level.GOOD:
        raise typer.Exit(1)


def _http(page: str, names: list[str], token: Path | None) -> HttpConfig | None:
    """Where the page is, and who may look: anybody on this machine, and elsewhere only with the token."""
    if not page:
        return None
    host, _, port = page.rpartition(":")
    secret = Secret(file=token) if token is not None else None
    try:
        config = HttpConfig.model_validate({"host": host or "127.0.0.1", "port": port, "hosts": names, "token": secret})
    except ValidationError as error:
        raise ConfigError([f"--page {page}: write HOST:PORT, or :PORT for this machine alone"]) from error
    if config.who_may_look == "off":
        raise ConfigError([f"--page {page}: other machines reach it, so it needs --token-file"])
    return config.model_copy(update={"page": "token" if secret is not None else "open"})


def _tell(known: Fleet, as_json: bool) -> None:
    now_s = time.time()
    if as_json:
        typer.echo(orjson.dumps(known.state(now_s), option=orjson.OPT_INDENT_2).decode())
    elif sys.stdout.isatty():
        Console().print(screen(known, now_s))
    else:
        for line in lines_of(known, now_s):
            typer.echo(line)


async def _looked(url: str, login: Login, known: Fleet, wait_s: float, stop: asyncio.Event) -> None:
    """See all that the broker retains.  Raises `Unavailable`."""
    loop = asyncio.get_running_loop()
    async with watching(url, known.watched.filter, login) as arrivals:
        ends_s = loop.time() + wait_s
        while not stop.is_set() and loop.time() < ends_s:
            try:
                async with asyncio.timeout(min(QUIET_S, ends_s - loop.time())):
                    _see(known, await anext(arrivals))
            except TimeoutError:
                return


def _see(known: Fleet, arrived: Arrived) -> None:
    known.see(arrived.packet.topic, arrived.packet.payload, retained=arrived.retained, now_s=time.time())


async def _followed(
    url: str,
    login: Login,
    known: Fleet,
    form: str,
    http: HttpConfig | None,
    approval: Approval | None,
    stop: asyncio.Event,
) -> None:
    """See everything until told to stop, through outages of the broker.  `form`: of what is printed."""
    link = Link("broker", url)

    async def see(arrivals: AsyncIterator[Arrived]) -> None:
        async for arrived in arrivals:
            _see(known, arrived)

    async def state() -> bytes:
        away = {} if link.is_up else {"broker": link.reason or "connecting"}
        return orjson.dumps({**known.state(time.time()), **away})

    async with AsyncExitStack() as stack:
        if http is not None:
            typer.echo(f"the page is at {await stack.enter_async_context(showing_fleet(http, state))}/", err=True)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        watched = partial(watching, url, known.watched.filter, login)
        following = tasks.create_task(keep_connected(link, watched, see, Backoff(0.2, 5.0)), name="follow the fleet")
        shown = tasks.create_task(_shown(known, link, form), name="show the fleet")
        approving = tasks.create_task(_approve(known, link, approval), name="approve configurations")
        await stop.wait()
        following.cancel()
        shown.cancel()
        approving.cancel()


async def _approve(known: Fleet, link: Link, approval: Approval | None) -> None:
    """Approve what is due, while the broker is there, until cancelled."""
    while approval is not None:
        await asyncio.sleep(EVERY_S)
        if link.is_up and (revision := approval.look(known, time.time())):
            typer.echo(f"{revision} is approved", err=True)


async def _shown(known: Fleet, link: Link, form: str) -> None:
    """Show all of it once a second, or the lines that have changed, until cancelled."""
    told: set[str] = set()
    with Live(console=Console(), auto_refresh=False, screen=True) if form == "picture" else nullcontext() as live:
        while True:
            await asyncio.sleep(EVERY_S)
            now_s = time.time()
            if live is not None:
                away = "" if link.is_up else link.reason or "connecting"
                live.update(screen(known, now_s, live.console.height, away), refresh=True)
            elif form == "json":
                typer.echo(orjson.dumps(known.state(now_s)).decode())
            elif form == "lines":
                lines = lines_of(known, now_s)
                for line in (each for each in lines if each not in told):
                    typer.echo(line)
                told = set(lines)
