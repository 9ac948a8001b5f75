"""Takes pulled configurations as a reload does, for as long as the gateway runs."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.config import Config
from gateway.errors import ConfigError, Unavailable
from gateway.link import Link
from gateway.pull import Puller
from gateway.run.taking import Reload

Read = Callable[[Path], Config]
"""Loads a configuration for this machine.  Raises `ConfigError`."""
SPREAD = 0.2
"""Looks are so much earlier or later, so that all gateways do not ask at the same moment."""


async def keep_pulling(puller: Puller, reload: Reload, link: Link, again: asyncio.Event, every_s: float) -> None:
    """Look for a new configuration and have it taken, until cancelled.  `again` looks at once."""
    while True:
        await pull_once(puller, reload, link)
        await _wait(again, every_s)


async def pull_once(puller: Puller, reload: Reload, link: Link) -> None:
    """Look once.  What cannot be read is said once; what is refused is kept for people, and the present one stays."""
    revision = await _looked(puller, link)
    if not revision:
        return
    try:
        await reload.take()
    except ConfigError:
        await _noted(link, puller, revision, is_taken=False)
    except Unavailable as error:
        link.down(str(error), error.cause)  # such as a disk: the next look tries again
    else:
        await _noted(link, puller, revision, is_taken=True)


async def first_of(puller: Puller, link: Link, again: asyncio.Event, every_s: float, read: Read) -> Config:
    """The configuration to start with: the last good one, or else the first that can be read and used."""
    log = structlog.get_logger("gateway")
    puller.kept.forget_wanted()
    if puller.kept.good.exists():
        try:
            return read(puller.kept.good)
        except ConfigError as error:
            log.error("the kept configuration cannot be used, waiting for another", problems=error.problems)
    told = puller.told
    while True:
        if revision := await _looked(puller, link):
            try:
                return read(puller.kept.wanted)
            except ConfigError as error:
                log.error("the pulled configuration is refused, waiting for another", problems=error.problems)
                await _noted(link, puller, revision, is_taken=False)
        elif puller.told != told and puller.told is not None and puller.told[1] == "waits":
            log.info("the pulled configuration waits for its approval", revision=puller.told[0])
        told = puller.told
        await _wait(again, every_s)


async def _looked(puller: Puller, link: Link) -> str:
    try:
        revision = await puller.look()
    except Unavailable as error:
        link.down(str(error), error.cause)
    except ConfigError as error:
        link.down("; ".join(error.problems))
    else:
        link.up()
        return revision
    return ""


async def _noted(link: Link, puller: Puller, revision: str, *, is_taken: bool) -> None:
    try:
        await (puller.took(revision) if is_taken else puller.refused(revision))
    except Unavailable as error:  # it is read again at the next look
        link.down(str(error), error.cause)


async def _wait(again: asyncio.Event, every_s: float) -> None:
    try:
        async with asyncio.timeout(every_s * random.uniform(1 - SPREAD, 1 + SPREAD)):
            await again.wait()
    except TimeoutError:
        return
    again.clear()
