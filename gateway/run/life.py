"""The life of one peer: its work in a task of its own, with its faults contained.

An unforeseen error ends the work, is logged once with its traceback, and is counted.  Then the work starts again, with
back-off.  Other peers do not notice.  A cancellation that the gateway did not request is such an error, too.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from traceback import extract_tb

import structlog

from gateway.cancellation import is_asked_to_end
from gateway.errors import ConfigError, Unavailable, cause_of
from gateway.link import Backoff

Work = Callable[[], Awaitable[None]]
Failed = Callable[[str, str], None]
"""Called with the reason, for people, and the cause, one of `errors.CAUSES`."""


class Life:
    """One piece of work of a peer at a time, in a task of `tasks`.  It can be ended and replaced."""

    def __init__(self, tasks: asyncio.TaskGroup, name: str, backoff: Backoff) -> None:
        self._tasks = tasks
        self._name = name
        self._backoff = backoff
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Work, failed: Failed) -> None:
        """Do this work until it returns or is ended.  Repeat it when it fails."""
        self._task = task_in(self._tasks, live(work, failed, self._backoff, self._name), self._name)

    def cancel(self) -> None:
        """Cancel the work without waiting."""
        if self._task is not None:
            self._task.cancel()

    async def end(self, grace_s: float = 0.0) -> None:
        """Cancel the work if it does not end within the grace time.  Returns when it has ended."""
        task = self._task
        if task is None:
            return
        if grace_s:
            await asyncio.wait([task], timeout=grace_s)
        task.cancel()
        await asyncio.wait([task])
        if self._task is task:
            self._task = None


def task_in(tasks: asyncio.TaskGroup, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None] | None:
    """A task for this work.  None: a fault is ending all of these tasks."""
    try:
        return tasks.create_task(work, name=name)
    except RuntimeError:
        work.close()
        return None


async def live(work: Work, failed: Failed, backoff: Backoff, name: str, rng: random.Random | None = None) -> None:
    """Repeat the work, with a wait after each failure, until it returns or is cancelled."""
    rng, log = rng or random.Random(), structlog.get_logger("gateway.run").bind(life=name)
    failures, told = 0, ""
    while True:
        begun_s = time.monotonic()
        try:
            await work()
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except (ConfigError, Unavailable) as error:  # about files that somebody is changing
            failed(str(error), error.cause if isinstance(error, Unavailable) else cause_of(error))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and is_asked_to_end():
                raise
            text = _described(error)
            if text != told:
                log.error("a fault of the gateway itself: this life begins again", reason=text, exc_info=error)
            told = text
            failed(f"a fault of the gateway itself: {text}", "bug")
        else:
            return
        if is_asked_to_end():
            raise asyncio.CancelledError
        if time.monotonic() - begun_s > backoff.most_s:
            failures, told = 0, ""
        else:
            failures += 1
        await asyncio.sleep(backoff.wait_s(failures, rng))


def _described(error: BaseException) -> str:
    """Kind, text and place of a fault."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    places = extract_tb(error.__traceback__)
    place = f" ({places[-1].filename.rpartition('/')[2]}:{places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {error}{place}"
