"""The desk of commands, with its journal beside the outbox."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from gateway.commands.codec import endpoints_of
from gateway.commands.desk import Desk, open_desk
from gateway.commands.itself import Itself
from gateway.commands.journal import Journal, journal_in
from gateway.config import CommandsConfig, Config
from gateway.errors import EXIT_CANNOT_WRITE, ConfigError
from gateway.in_thread import in_thread
from gateway.run.gateway import Gateway, things_of


@asynccontextmanager
async def commands_of(gateway: Gateway, itself: Itself | None = None) -> AsyncIterator[None]:
    """The desk of the gateway, while the outbox is open: from the start, or from the first reload that names commands.

    Raises `ConfigError` when their journal cannot be had.
    """
    async with AsyncExitStack() as stack:

        async def begin(config: Config) -> None:
            if config.commands is not None and gateway.desk is None:
                gateway.desk = await stack.enter_async_context(_desk_of(gateway, config, config.commands, itself))

        gateway.begin_commands = begin
        await begin(gateway.config)
        yield


@asynccontextmanager
async def _desk_of(
    gateway: Gateway, config: Config, commands: CommandsConfig, itself: Itself | None
) -> AsyncIterator[Desk]:
    folder, outbox, group = config.outbox.path, gateway.outbox, gateway.group
    opening: Callable[[], Journal] = partial(journal_in, folder, commands)
    made: Callable[..., Desk] = Desk
    if group is not None:  # a gateway that is alone has nothing of it in memory
        from gateway.commands.group_desk import GroupDesk
        from gateway.commands.group_journal import group_journal_in

        opening = partial(group_journal_in, folder, commands)
        made = partial(GroupDesk, group[0].boxes, group[0].logs)
    try:
        journal = await in_thread(opening, "open the journal of commands")
    except OSError as error:
        problem = f"the journal of commands in {folder} cannot be opened: {error.strerror or error}"
        raise ConfigError([problem], EXIT_CANNOT_WRITE) from error
    metrics, latest_ns = gateway.metrics.commands, lambda: outbox.latest_ns
    endpoints = endpoints_of(config.sources)
    async with open_desk(
        config.name, commands, journal, metrics, latest_ns, itself=itself, endpoints=endpoints,
        things=things_of(config), made=made,
    ) as desk:  # fmt: skip
        yield desk
