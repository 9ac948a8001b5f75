"""Work that may block for ever (a resolver, a disk, a file server that is away), off the event loop.

Each piece of work has its own daemon thread.  Nothing waits for it at the end of the process, and a thread that hangs
does not occupy a place that other work needs, as it would in a pool.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def begin_in_thread(work: Callable[[], T], name: str) -> "asyncio.Future[T]":
    """Start the work.  The future gets its result or error.  Cancelling the future does not stop the work."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    threading.Thread(target=do, args=(work, done, loop), name=name, daemon=True).start()
    return done


async def in_thread(work: Callable[[], T], name: str) -> T:
    """The result of the work.  Cancelled, this returns at once; the work continues on its own."""
    return await begin_in_thread(work, name)


def do(work: Callable[[], T], done: "asyncio.Future[T]", loop: asyncio.AbstractEventLoop) -> None:
    """Do the work in the thread that calls this, and settle the future in its loop."""
    result: T | None = None
    error: BaseException | None = None
    try:
        result = work()
    except BaseException as raised:  # noqa: BLE001 - the future passes it on
        error = raised
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(_settle, done, result, error)
    del error  # its traceback refers to this frame


def _settle(done: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)
