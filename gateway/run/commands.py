"""The desk of commands, with its journal beside the outbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from gateway.commands.codec import endpoints_of
from gateway.commands.desk import Desk, open_desk
from gateway.commands.itself import Itself
from gateway.commands.journal import journal_in
from gateway.errors import EXIT_CANNOT_WRITE, ConfigError
from gateway.in_thread import in_thread
from gateway.run.gateway import Gateway


@asynccontextmanager
async def commands_of(gateway: Gateway, itself: Itself | None = None) -> AsyncIterator[Desk | None]:
    """Where commands arrive, while the outbox is open; None where none are configured.

    Raises `ConfigError` when their journal cannot be had.
    """
    config, commands = gateway.config, gateway.config.commands
    if commands is None:
        yield None
        return
    folder, outbox = config.outbox.path, gateway.outbox
    try:
        journal = await in_thread(partial(journal_in, folder, commands), "open the journal of commands")
    except OSError as error:
        problem = f"the journal of commands in {folder} cannot be opened: {error.strerror or error}"
        raise ConfigError([problem], EXIT_CANNOT_WRITE) from error
    metrics, latest_ns = gateway.metrics.commands, lambda: outbox.latest_ns
    endpoints = endpoints_of(config.sources)
    async with open_desk(
        config.name, commands, journal, metrics, latest_ns, itself=itself, endpoints=endpoints
    ) as desk:
        yield desk
