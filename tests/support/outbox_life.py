"""Lives of an outbox for tests: opened in one step, used in others, ended cleanly or by a kill."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import ParamSpec, TypeVar

from gateway.config import OutboxConfig
from gateway.errors import Unavailable
from gateway.outbox import Files, Outbox, open_outbox

T = TypeVar("T")
Readers = tuple[str, ...] | Mapping[str, str]
P = ParamSpec("P")


class Life:
    """One run of an outbox, on its own loop that runs only during a step."""

    def __init__(
        self, config: OutboxConfig, files: Files, on_drop: Callable[[str, str, int], None], readers: Readers
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._ready: asyncio.Future[Outbox] = self._loop.create_future()
        self._life = self._loop.create_task(self._live(config, files, on_drop, readers))
        self.outbox = self.do(self._opened())

    async def _live(
        self, config: OutboxConfig, files: Files, on_drop: Callable[[str, str, int], None], readers: Readers
    ) -> None:
        async with open_outbox(config, readers=readers, files=files, on_drop=on_drop, retry_s=0.001) as outbox:
            self._ready.set_result(outbox)
            await self._end.wait()

    async def _opened(self) -> Outbox:
        parts: list[asyncio.Future[None] | asyncio.Future[Outbox]] = [self._life, self._ready]
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            self._life.result()
        return self._ready.result()

    def do(self, step: Awaitable[T]) -> T:
        async def bounded() -> T:
            return await asyncio.wait_for(step, 60)

        return self._loop.run_until_complete(bounded())

    def within(self, seconds: float, step: Coroutine[None, None, T]) -> T | None:
        """The result of a step, or None when it was cancelled after so long."""

        async def bounded() -> T | None:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(step, seconds)
            return None

        return self.do(bounded())

    def now(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what does not wait, on the loop."""

        async def on_the_loop() -> T:
            return step(*args, **kwargs)

        return self.do(on_the_loop())

    def begin(self, step: Coroutine[None, None, T]) -> "asyncio.Task[T]":
        """Begin a step and let it go as far as it comes at once."""
        task = self._loop.create_task(step)
        self._loop.run_until_complete(asyncio.sleep(0))
        return task

    def end(self) -> None:
        """Leave cleanly."""
        self._end.set()
        self._finish()
        self._life.result()

    def forget(self) -> None:
        """After a kill: the disk ignores this process from now on."""
        self._end.set()
        self._finish()
        with contextlib.suppress(OSError, Unavailable):
            self._life.result()

    def _finish(self) -> None:
        self._loop.run_until_complete(asyncio.wait([self._life], timeout=60))
        assert self._life.done()
        rest = asyncio.all_tasks(self._loop)
        if rest:
            self._loop.run_until_complete(asyncio.wait(rest, timeout=60))
        self._loop.close()
