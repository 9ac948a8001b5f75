"""Work that may block for ever (a resolver, a disk, a file server that is away), off the event loop.

Each piece of work has its own daemon thread.  Nothing waits for it at the end of the process, and a thread that hangs
does not occupy a place that other work needs, as it would in a pool.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def begin_in_thread(work: Callable[[], T], name: str) -> "asyncio.Future[T]":
    """Start the work.  The future gets its result or error.  Cancelling the future does not stop the work."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            settle = _settled(done, work())
        except BaseException as error:  # noqa: BLE001 - the future passes it on
            settle = _failed(done, error)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done


async def in_thread(work: Callable[[], T], name: str) -> T:
    """The result of the work.  Cancelled, this returns at once; the work continues on its own."""
    return await begin_in_thread(work, name)


def _settled(done: "asyncio.Future[T]", result: T) -> Callable[[], None]:
    return lambda: None if done.done() else done.set_result(result)


def _failed(done: "asyncio.Future[T]", error: BaseException) -> Callable[[], None]:
    return lambda: None if done.done() else done.set_exception(error)
