"""What has to be done again and again while a source is open.

The tasks run one after another beside the batches.  When one fails, the task that waits for the next batch gets its
error.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.cancellation import unless_asked

SETTLE_S = 1.0
"""Changes of the address space come in groups: wait this long for the rest, in seconds."""


NEVER_S = 1e8
"""For work that is done only when its event says so."""


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """One piece of periodic work."""

    every_s: float
    do: Callable[[], Awaitable[None]]
    sooner: asyncio.Event | None = None
    """When set, the task runs after `SETTLE_S`, and the event is cleared."""


async def run_periodic(tasks: Sequence[PeriodicTask]) -> None:
    """Run each task when it is due, until cancelled.  Raises `Unavailable`."""
    due = [time.monotonic() + task.every_s for task in tasks]
    while True:
        number = min(range(len(due)), key=due.__getitem__)
        hurried = await _wait(due[number] - time.monotonic(), [task.sooner for task in tasks])
        if hurried is not None:
            await asyncio.sleep(SETTLE_S)
            number = hurried
        task = tasks[number]
        if task.sooner is not None:
            task.sooner.clear()
        await task.do()
        due[number] = time.monotonic() + task.every_s


async def _wait(for_s: float, events: Sequence[asyncio.Event | None]) -> int | None:
    """Wait `for_s` seconds, or until an event is set.  Returns the index of that event.  None: the time is over."""
    waiting = {asyncio.ensure_future(event.wait()): n for n, event in enumerate(events) if event is not None}
    if not waiting:
        await asyncio.sleep(for_s)
        return None
    try:
        done, _ = await asyncio.wait(waiting, timeout=max(0.0, for_s), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiting:
            waiter.cancel()
    for waiter in done:
        waiter.result()  # nothing but a fault, which must not be lost
    return min((waiting[waiter] for waiter in done), default=None)


@asynccontextmanager
async def beside(
    work: Callable[[], Awaitable[None]], fail: Callable[[BaseException], None], name: str
) -> AsyncIterator[None]:
    """Run `work` for as long as the body.  If it fails, `fail` gets its error.

    Not a TaskGroup: that would wrap the body's own `Unavailable` in a group, and its errors race with cancellation.
    """

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            fail(error)

    task = asyncio.create_task(unless_asked(work), name=f"opcua-{name}")
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
