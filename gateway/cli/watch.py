"""`gateway watch`."""

import asyncio
from typing import Annotated

import typer

from gateway.cli.common import until_stopped
from gateway.link import Backoff, Link, keep_connected
from gateway.mqtt.watch import Numbering
from gateway.mqtt.watch import watch as watch_broker


def watch(
    url: Annotated[str, typer.Argument(metavar="URL", help="The broker, such as mqtt://127.0.0.1:1883.")],
    topic: Annotated[str, typer.Argument(help="What to subscribe to.")] = "factory/#",
) -> None:
    """Subscribe to a broker, print what arrives, and check that nothing is missing.

    Every message carries its stream and number, so repeats and holes show.  Exit code 1 when anything was missing.
    """
    numbering = Numbering()
    until_stopped(lambda stop: _watch(url, topic, numbering, stop))
    typer.echo(
        f"{numbering.messages} messages, {numbering.values} values, {numbering.repeats} repeats, "
        f"{numbering.missing} messages missing"
    )
    if numbering.missing:
        raise typer.Exit(1)


async def _watch(url: str, topic: str, numbering: Numbering, stop: asyncio.Event) -> None:
    async def attempt() -> None:
        async for line in watch_broker(url, topic, numbering):
            link.up()
            typer.echo(line)

    link = Link("broker", url)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(keep_connected(link, attempt, Backoff(0.2, 1.0)), name="watch")
        await stop.wait()
        following.cancel()
