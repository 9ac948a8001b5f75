"""`gateway run`."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from gateway.cancellation import unless_asked
from gateway.cli.common import problems_told, until_stopped
from gateway.cli.words import LogFormat
from gateway.config import Config
from gateway.errors import ConfigError
from gateway.link import Link
from gateway.logs import set_up_logs
from gateway.process_signals import taking
from gateway.pull import Kept, Puller, PullFile, load_pull, origin_of
from gateway.run import app
from gateway.run.gateway import Gateway
from gateway.run.pulling import first_of, keep_pulling
from gateway.run.readiness import (
    load_ready,
    rules_applied,
    warnings_about,
    with_lines,
)
from gateway.run.taking import Reload
from gateway.stop_deadline import STOP_S


def run(file: Path, log_format: LogFormat, member: str | None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    set_up_logs(log_format.value)
    with problems_told():
        running: list[Gateway] = []
        if (pull := load_pull(file)) is not None:
            work = partial(_pulling, file, pull, member, running.append)
            until_stopped(work, lambda: (running[0].config.stop_grace if running else 0.0) + STOP_S)
            return
        config = _ready(file, member)
        until_stopped(
            partial(_running, file, member, config, running.append),
            lambda: (running[0].config if running else config).stop_grace + STOP_S,
        )


async def _running(
    file: Path, member: str | None, config: Config, on_running: Callable[[Gateway], None], stop: asyncio.Event
) -> None:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    with taking(signal.SIGHUP):
        await app.run(config, stop, on_running, Reload(asked, partial(_ready, file, member), file=str(file)))


async def _pulling(
    file: Path, pull: PullFile, member: str | None, on_running: Callable[[Gateway], None], stop: asyncio.Event
) -> None:
    """Run with the last good configuration, or else the first that can be pulled, and take those that come."""
    settings, again = pull.configuration, asyncio.Event()
    puller = Puller(pull, origin_of(settings), Kept(settings.keep))
    link = Link("configuration", settings.origin)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again.set)

    read = partial(_ready, member=member, name=pull.name)
    with taking(signal.SIGHUP):
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(first_of(puller, link, again, settings.every, read), name="first configuration")
            stopping = tasks.create_task(stop.wait(), name="stop")
            await asyncio.wait((first, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            first.cancel()
        if first.cancelled():
            return
        told = lambda: puller.told  # noqa: E731 - as it is when it is asked
        reload = Reload(asyncio.Event(), lambda: read(puller.kept.present), file=str(file), pulled=told)
        async with asyncio.TaskGroup() as tasks:
            work = keep_pulling(puller, reload, link, again, settings.every)
            pulling = tasks.create_task(unless_asked(lambda: work), name="pull the configuration")
            await app.run(first.result(), stop, on_running, reload)
            pulling.cancel()


def _ready(file: Path, member: str | None = None, name: str | None = None) -> Config:
    """Load a configuration for this machine, and log its warnings.  Raises `ConfigError`.  `name`: in place of its."""
    loaded, log = load_ready(file), structlog.get_logger("gateway")
    if name is not None:
        loaded = replace(loaded, config=loaded.config.model_copy(update={"name": name}))
    for text in with_lines(loaded, warnings_about(loaded.config)):
        log.warning("is this intended?", what=text)
    for text in with_lines(loaded, [told for told in rules_applied(loaded.config) if "others may read it" in told[1]]):
        log.info("using a secret that others may read", why=text)
    return named(loaded.config, member)


def named(config: Config, member: str | None) -> Config:
    """The configuration of a member with this name.  Raises `ConfigError` when there is no group."""
    if member is None:
        return config
    if config.group is None:
        raise ConfigError(["--member: the configuration has no group"])
    return config.model_copy(update={"group": config.group.model_copy(update={"member": member})})
