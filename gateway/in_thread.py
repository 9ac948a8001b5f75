"""What may block for ever (a resolver, a disk, a file server that is away), off the event loop.

Each piece of work has a thread of its own, a daemon: nobody waits for it when the process ends, and one that hangs
takes no place that another needs, as it would in a pool.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def begin_in_thread(work: Callable[[], T], name: str) -> "asyncio.Future[T]":
    """Have it done; the future has the result or the error.  Cancelling the future does not undo the work."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            settle = _settled(done, work())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the work gets it
            settle = _failed(done, error)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done


async def in_thread(work: Callable[[], T], name: str) -> T:
    """The result of the work; cancelled, this returns at once and the work goes on without anybody."""
    return await begin_in_thread(work, name)


def _settled(done: "asyncio.Future[T]", result: T) -> Callable[[], None]:
    return lambda: None if done.done() else done.set_result(result)


def _failed(done: "asyncio.Future[T]", error: BaseException) -> Callable[[], None]:
    return lambda: None if done.done() else done.set_exception(error)
