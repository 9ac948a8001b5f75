"""One thread for blocking work, one piece after the other, for an event loop.

It is cheaper than an executor: a call costs two wake-ups and nothing else.  It is a daemon thread, so a disk that hangs
for ever does not keep the process from ending.
"""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from gateway.in_thread import do

_T = TypeVar("_T")
_Work = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class WorkThread:
    """Starts with its first piece of work.  `close` ends it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread: Thread | None = None

    def begin(self, work: Callable[[], _T]) -> "asyncio.Future[_T]":
        """Queue a piece of work.

        The future gets its result or error.  Cancelling the future does not stop the work.
        """
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_T] = loop.create_future()
        self._queue.put((work, done, loop))
        return done

    def close(self) -> None:
        """Finish all queued work, and end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            do(*job)
            del job  # while it waits for the next one it holds nothing of this
