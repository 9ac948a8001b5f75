"""Opens an outbox folder: recovered, running, and closed at the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from gateway.cancellation import unless_asked
from gateway.config import OutboxConfig
from gateway.in_thread import begin_in_thread
from gateway.outbox.clock import Clock
from gateway.outbox.files import Files
from gateway.outbox.outbox import Outbox
from gateway.outbox.recover import Found, recover
from gateway.outbox.store import Store


@asynccontextmanager
async def open_outbox(
    config: OutboxConfig,
    *,
    readers: Sequence[str] | Mapping[str, str] = (),
    on_drop: Callable[[str, str, int], None] = lambda reader, reason, values: None,
    on_commit: Callable[[float], None] = lambda seconds: None,
    numbered: bool = True,
    files: Files | None = None,
    clock: Clock | None = None,
    retry_s: float = 0.05,
) -> AsyncIterator[Outbox]:
    """The outbox in a folder, recovered and ready.

    `readers` names the existing readers; as a mapping it also gives the route of each.  Readers of a former run that it
    does not name are forgotten.  Without it, all known ones are kept.  A reader that followed another route changes
    over, as in `Outbox.follow`.

    `on_drop` is called with reader, reason and number of values of each loss when it happens; `on_commit` with the
    seconds of each group commit.  `numbered=False` accepts messages with any `seq`: for those that come out of another
    outbox. `retry_s` is the first wait after a disk error, doubled up to 5 s.  Raises `ConfigError` when another
    process uses the folder or it cannot be written.
    """
    disk, ages = files or Files(), clock or Clock()
    routes = readers if isinstance(readers, Mapping) else dict.fromkeys(readers)
    found = await _recovered(disk, partial(recover, disk, Path(config.path), ages, routes))
    store = Store(config, found, disk, ages, on_drop, numbered, retry_s)
    outbox = Outbox(config, found, store, on_commit, numbered, retry_s)
    failure: BaseException | None = None
    try:
        await store.begin()
        async with asyncio.TaskGroup() as tasks:
            ticker = tasks.create_task(unless_asked(outbox.tick), name="outbox: tick")
            running = tasks.create_task(unless_asked(outbox.run), name="outbox: run")
            try:
                yield outbox
            except BaseException as error:  # noqa: BLE001 - raised again below, outside of the exception group
                failure = error
            finally:
                outbox.stop_taking()
                await asyncio.wait([running])
                ticker.cancel()
    finally:
        await store.close()
    if failure is not None:
        raise failure


async def _recovered(files: Files, recover: Callable[[], Found]) -> Found:
    """Recover in a thread, which cannot be cancelled.

    If nobody waits to the end, for whatever reason, what it has opened is closed.
    """
    opening = begin_in_thread(recover, "open the outbox")
    async with AsyncExitStack() as undo:
        undo.push_async_callback(_let_go, opening, files)
        found = await asyncio.shield(opening)
        undo.pop_all()
    return found


async def _let_go(opening: "asyncio.Future[Found]", files: Files) -> None:
    await asyncio.wait([opening])
    if opening.exception() is None:
        opening.result().let_go(files)
