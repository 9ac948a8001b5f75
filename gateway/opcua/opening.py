"""Opens a source: connect, resolve the selection, subscribe or poll; then it yields batches.

open_source ── session ── table of tags ─┬─ SubscribedSource   subscriptions, transferred or created
                                         └─ PolledSource       the server has none, or the configuration says so
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol

from gateway.config import SourceConfig
from gateway.metrics import SourceMetrics
from gateway.model import Batch
from gateway.opcua.codec.namespaces import nameless
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.operations.server import ServerOperations
from gateway.opcua.session.asyncua_edge import patch_asyncua
from gateway.opcua.session.connect import open_session
from gateway.opcua.session.learned import Learned
from gateway.opcua.session.periodic import PeriodicTask, beside, run_periodic
from gateway.opcua.session.session import Session
from gateway.opcua.space.data_types import with_types
from gateway.opcua.space.selection import Table, arranged, resolve
from gateway.opcua.space.structures import types_or_none
from gateway.opcua.subscription.backfill import Backfill
from gateway.opcua.subscription.checkpoint import Checkpoint, decode_checkpoint
from gateway.opcua.subscription.polled import PolledSource
from gateway.opcua.subscription.publisher import Publisher
from gateway.opcua.subscription.services import NoSubscriptions
from gateway.opcua.subscription.subscribed import SubscribedSource
from gateway.operations import Operations


class Source(Protocol):
    """One OPC UA server that is connected and read, by subscriptions or by polling."""

    backfill: Backfill
    """Reads missed values from the history."""
    operations: Operations
    """Reads, writes and method calls on the server, for commands."""

    @property
    def is_polled(self) -> bool: ...

    @property
    def table(self) -> Table:
        """The tags and their settings, by handle."""
        ...

    async def begin(self, checkpoint: Checkpoint | None) -> None:
        """Begin to read, and fill or announce what was missed since the checkpoint.  Raises `Unavailable`."""

    def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield the server's values, in order.  The request for the next batch says that the last one is durable.

        A batch may have only gaps or only a checkpoint, and no rows.  Raises `Unavailable` when the server is lost.
        """
        ...

    async def send_again(self, texts: Sequence[str]) -> list[bool]:
        """Read the variables with these node ids now, and yield their values; False for one that is no tag.

        Raises `Unavailable`.
        """
        ...

    def grow(self, config: SourceConfig) -> None:
        """Read soon the selections that were added at the end of this configuration."""

    def periodic_tasks(self) -> list[PeriodicTask]:
        """The tasks to run beside the batches.  Valid after `begin`."""
        ...

    def fail(self, error: BaseException) -> None:
        """Raise this error to the task that waits for a batch."""


@asynccontextmanager
async def open_source(
    config: SourceConfig,
    metrics: SourceMetrics,
    checkpoint: bytes,
    *,
    describe: bool = False,
    repeat: bool = False,
    learned: Learned | None = None,
) -> AsyncIterator[Source]:
    """Connect, resolve the selection, subscribe.  Raises `Unavailable`.

    `checkpoint` is that of the last durable batch, or empty.  With `describe` each tag has the type that the server
    tells of its variable.  With `repeat` the last values come again where a subscription is continued.  `learned` is
    what earlier connections leave to this one.  Leaving closes session and socket in bounded time; the
    subscriptions stay on the server for whoever comes with the checkpoint.
    """
    patch_asyncua()
    async with open_session(config, metrics, learned) as session:
        since_s = time.monotonic()
        before = decode_checkpoint(checkpoint)
        table = arranged(await resolve(session, config), (before.state.added or ()) if before else ())
        before = before.for_table(table.digest) if before else None
        if told := nameless(session.uris):
            log = session.log
            log.warning("no URI names these namespaces alone: their node ids are written with ns=", namespaces=told)
        types = await types_or_none(session, config.structures)
        if describe:
            table = replace(table, tags=await with_types(session, table.tags, types), types=types)
        session.refused.tell()
        metrics.browse_seconds.set(time.monotonic() - since_s)
        dialect = Dialect(session.uris, types.readers)
        source = await _begun(session, config, before, metrics=metrics, table=table, dialect=dialect, repeat=repeat)
        source.operations = ServerOperations(session, dialect, source.send_again)
        metrics.polled.set(source.is_polled)
        tasks = source.periodic_tasks()
        try:
            async with AsyncExitStack() as stack:
                running = beside(partial(run_periodic, tasks), source.fail, f"periodic-{config.name}")
                await stack.enter_async_context(running)
                if config.backfill == "beside":
                    filling = beside(source.backfill.run, source.fail, f"history-{config.name}")
                    await stack.enter_async_context(filling)
                yield source
        finally:
            metrics.connected.set(0)
            metrics.subscriptions.set(0)


async def _begun(
    session: Session,
    config: SourceConfig,
    before: Checkpoint | None,
    *,
    metrics: SourceMetrics,
    table: Table,
    dialect: Dialect,
    repeat: bool,
) -> Source:
    """Subscribe; poll if the server has no subscriptions, or if the configuration says so."""
    if config.mode != "poll":
        publisher = Publisher(session)
        subscribed = SubscribedSource(
            session, config, metrics=metrics, table=table, publisher=publisher, dialect=dialect
        )
        try:
            await subscribed.begin(before, repeat=repeat)
        except NoSubscriptions as error:
            if config.mode == "subscribe":
                raise
            log = session.log
            log.warning("the server has no subscriptions: its variables are polled", reason=str(error))
        else:
            return subscribed
    polled = PolledSource(session, config, metrics=metrics, table=table, dialect=dialect)
    await polled.begin(before)
    return polled
