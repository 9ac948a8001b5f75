"""`gateway watch`."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from getpass import getpass
from pathlib import Path

import typer
from rich.console import Console
from rich.live import Live

from gateway.cli.common import problems_told, until_stopped
from gateway.cli.streams import Streams
from gateway.cli.watch_view import LineView, PictureView, View
from gateway.cli.words import PASSWORD
from gateway.errors import ConfigError
from gateway.link import Backoff, Link, keep_connected
from gateway.logs import set_up_logs
from gateway.mqtt.watch import Arrived, Login, watching
from gateway.payload.read import PayloadReader, Reading, UnreadableError

REDRAW_S = 0.5
FOREIGN_LENGTH = 60


def watch(url: str, topic: str, lines: bool, username: str | None, ca: Path | None) -> None:
    """Subscribe to a broker, show messages in any of the gateway's formats, and check that none is missing."""
    set_up_logs("console")
    login = Login(username, password_of(username) if username else None, ca)
    watcher = Watcher()
    with problems_told(), _view(lines) as view:
        _by_mqtt(url)
        until_stopped(lambda stop: _watch(url, topic, login, watcher, view, stop))
    typer.echo(watcher.streams.summary)
    if watcher.streams.total("missing"):
        raise typer.Exit(1)


def _by_mqtt(url: str) -> None:
    """Raises `ConfigError` for a broker that does not speak MQTT."""
    others = {"nats": "nats sub 'factory.>'", "tls": "nats sub 'factory.>'", "kafka": "kcat -C", "kafkas": "kcat -C"}
    if (tool := others.get(url.partition(":")[0].lower())) is not None:
        raise ConfigError([f"watch reads MQTT only: `{tool}` shows what is at {url.partition(':')[0]}://"])


def password_of(username: str) -> str | None:
    """That of the environment, or what a person types; None where nobody can be asked."""
    if (known := os.environ.get(PASSWORD)) is not None or not sys.stdin.isatty():
        return known
    return getpass(f"Password of {username}: ")


@contextmanager
def _view(lines: bool) -> Iterator[View]:
    if lines or not sys.stdout.isatty():
        yield LineView(typer.echo)
    else:
        with Live(console=Console(), auto_refresh=False) as live:
            yield PictureView(live)


def foreign(payload: bytes) -> str:
    """The beginning of what others publish, where it is text; else empty."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return ""
    shown = " ".join(text.split())
    return f"{shown[:FOREIGN_LENGTH]}{'…' if len(shown) > FOREIGN_LENGTH else ''}" if shown.isprintable() else ""


class Watcher:
    """Receives messages and says what is unusual about each."""

    def __init__(self) -> None:
        self.streams = Streams()
        self._reader = PayloadReader()

    def see(self, arrived: Arrived, now_s: float) -> tuple[Reading | None, str]:
        """The content of a message, if it can be read, and what is unusual about it."""
        try:
            reading = self._reader.read(arrived.packet)
        except UnreadableError as error:
            self.streams.unreadable += 1
            size, text = len(arrived.packet.payload), foreign(arrived.packet.payload)
            return None, f"{text}{'  ' if text else ''}{size} bytes, not readable: {error}"
        if arrived.retained or not reading.stream:
            return reading, "retained" if arrived.retained else ""
        delay_s = now_s - reading.newest.timestamp() if reading.newest else None
        return reading, self.streams.see(reading, now_s, delay_s)


async def _watch(url: str, topic: str, login: Login, watcher: Watcher, view: View, stop: asyncio.Event) -> None:
    async def show(arrivals: AsyncIterator[Arrived]) -> None:
        async for arrived in arrivals:
            view.message(arrived.packet.topic, *watcher.see(arrived, time.time()))

    async def redraw() -> None:
        while True:
            view.draw(watcher.streams, link, time.time())
            await asyncio.sleep(REDRAW_S)

    link = Link("broker", url)
    async with asyncio.TaskGroup() as tasks:
        keeping = keep_connected(link, partial(watching, url, topic, login), show, Backoff(0.2, 1.0))
        following = tasks.create_task(keeping, name="watch")
        drawing = tasks.create_task(redraw(), name="picture")
        await stop.wait()
        following.cancel()
        drawing.cancel()
