"""Opening a source: connect, resolve the selection, subscribe or poll; then it yields batches.

open_source ── session ── table of tags ─┬─ SubscribedSource    subscriptions, taken up or created
                                         └─ PolledSource   where the server has none, or the configuration says so
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import structlog

from gateway.config import SourceConfig
from gateway.link import Link
from gateway.metrics import SourceMetrics
from gateway.opcua.codec.wire import Dialect
from gateway.opcua.session.asyncua_edge import patch_asyncua
from gateway.opcua.session.session import Session, open_session
from gateway.opcua.space.data_types import with_types
from gateway.opcua.space.growth import is_growing
from gateway.opcua.space.selection import Table, arranged, resolve
from gateway.opcua.space.structures import types_or_none
from gateway.opcua.subscription.checkpoint import Checkpoint, decode_checkpoint
from gateway.opcua.subscription.periodic import PeriodicTask, renewal, run_periodic, sign_of_interest, sign_of_life
from gateway.opcua.subscription.polled import PolledSource
from gateway.opcua.subscription.publisher import Publisher
from gateway.opcua.subscription.services import NoSubscriptions
from gateway.opcua.subscription.subscribed import SubscribedSource


@asynccontextmanager
async def open_source(
    config: SourceConfig, metrics: SourceMetrics, link: Link, checkpoint: bytes, *, describe: bool = False
) -> AsyncIterator[SubscribedSource | PolledSource]:
    """Connect, resolve the selection, subscribe; then `link` is up.  Raises `Unavailable`.

    `checkpoint` is that of the last durable batch, or empty.  With `describe` each tag has the type that the server
    tells of its variable.  Leaving closes session and socket in bounded time; the subscriptions stay on the server
    for whoever comes with the checkpoint.
    """
    patch_asyncua()
    async with open_session(config, metrics) as session:
        publisher = Publisher(session)
        since_s = time.monotonic()
        before = decode_checkpoint(checkpoint)
        table = arranged(await resolve(session, config), (before.state.added or ()) if before else ())
        before = before.for_table(table.digest) if before else None
        types = await types_or_none(session, config.structures)
        if describe:
            table = replace(table, tags=await with_types(session, table.tags, types), types=types)
        metrics.browse_seconds.set(time.monotonic() - since_s)
        dialect = Dialect(session.uris, types.readers)
        source = await _begun(session, config, metrics, table, publisher, dialect, before)
        metrics.polled.set(isinstance(source, PolledSource))
        link.up()
        tasks = _periodic_tasks(session, config, source, publisher)
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(_beside(run_periodic(tasks), source.fail, f"house-{config.name}"))
                if config.backfill == "beside":
                    filling = _beside(source.backfill.run(), source.fail, f"history-{config.name}")
                    await stack.enter_async_context(filling)
                yield source
        finally:
            metrics.connected.set(0)
            metrics.subscriptions.set(0)


async def _begun(
    session: Session,
    config: SourceConfig,
    metrics: SourceMetrics,
    table: Table,
    publisher: Publisher,
    dialect: Dialect,
    before: Checkpoint | None,
) -> SubscribedSource | PolledSource:
    """Subscribe, or poll where there is nothing to subscribe to."""
    if config.mode != "poll":
        source = SubscribedSource(session, config, metrics, table, publisher, dialect)
        try:
            await source.subscribe(before)
        except NoSubscriptions as error:
            if config.mode == "subscribe":
                raise
            log = structlog.get_logger("gateway.opcua").bind(source=config.name)
            log.warning("the server has no subscriptions: its variables are read cyclically", reason=str(error))
        else:
            return source
    polling = PolledSource(session, config, metrics, table, dialect)
    await polling.begin(before)
    return polling


def _periodic_tasks(
    session: Session, config: SourceConfig, source: SubscribedSource | PolledSource, publisher: Publisher
) -> list[PeriodicTask]:
    tasks = [renewal(session), sign_of_life(session), PeriodicTask(config.retry_failed, source.retry)]
    if isinstance(source, SubscribedSource):
        tasks.append(sign_of_interest(session, source.items.trackers, publisher))
    if is_growing(config):
        tasks.append(PeriodicTask(config.rebrowse, source.refresh, source.model_changed))
    return tasks


@asynccontextmanager
async def _beside(
    work: Coroutine[None, None, None], fail: Callable[[BaseException], None], name: str
) -> AsyncIterator[None]:
    """Run `work` for as long as the body.  If it fails, whoever waits for a batch gets its error.

    Not a TaskGroup: that would wrap the body's own `Unavailable` in a group, and its errors race with cancellation.
    """

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            fail(error)

    task = asyncio.create_task(work, name=f"opcua-{name}")
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
