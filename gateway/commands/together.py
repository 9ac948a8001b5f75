"""What several commands ask of a server at the same moment, as one request of each kind.

    command ─ look ─┐                          command ─ write ─┐
    command ─ look ─┴─► one Read, one answer   command ─ write ─┴─► one Write, a status for each

Only commands that run together meet here, and those touch different nodes (`worker.py`).  Who asks first waits for one
turn of the event loop, so that those that were woken together go together; then it asks for all of them, in their
order.  A write without an answer is `Unsure` for everyone in it, and is never sent again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from gateway.errors import Unavailable
from gateway.operations import Facts, Operations, Target, Unsure
from gateway.values import Typed

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
_MOST_READS = 100
"""Nodes in one request."""


class Together:
    """One server, for commands that run at the same time."""

    def __init__(self, server: Operations) -> None:
        self._server = server
        self._looks = _Gathered[Target, Facts](server.look, _MOST_READS, is_repeatable=True)
        self._values = _Gathered[Target, tuple[Typed | None, int]](server.values, _MOST_READS, is_repeatable=True)
        self._writes = _Gathered[tuple[Target, Typed], int](self._written, server.most_writes, is_repeatable=False)
        self._within_s = 0.0

    async def look(self, targets: Sequence[Target]) -> list[Facts]:
        return await self._looks.ask(targets)

    async def values(self, targets: Sequence[Target]) -> list[tuple[Typed | None, int]]:
        return await self._values.ask(targets)

    async def write(self, writes: Sequence[tuple[Target, Typed]], within_s: float) -> list[int]:
        """Like `Operations.write`.  Of all that go together, the longest time counts."""
        self._within_s = max(self._within_s, within_s)
        return await self._writes.ask(writes)

    async def _written(self, writes: Sequence[tuple[Target, Typed]]) -> list[int]:
        within_s, self._within_s = self._within_s, 0.0
        return await self._server.write(writes, within_s)


class _LeftError(Exception):
    """Who asked for all was cancelled, or ended by a fault of its own."""


class _Gathered(Generic[_Item, _Answer]):
    """Requests of one kind."""

    def __init__(
        self, ask: Callable[[Sequence[_Item]], Awaitable[list[_Answer]]], most: int, *, is_repeatable: bool
    ) -> None:
        self._ask = ask
        self._most = most
        self._is_repeatable = is_repeatable
        self._open: list[_Item] | None = None
        """What is asked for in this turn; None: nothing."""
        self._others: list[tuple[int, int, asyncio.Future[list[_Answer]]]] = []
        """Of each that joined: where its items begin and end, and its answer."""

    async def ask(self, items: Sequence[_Item]) -> list[_Answer]:
        """The answers to these items.  Raises `Unavailable`."""
        while self._open is not None and len(self._open) + len(items) <= self._most:
            begin = len(self._open)
            self._open += items
            answer: asyncio.Future[list[_Answer]] = asyncio.get_running_loop().create_future()
            self._others.append((begin, len(self._open), answer))
            try:
                return await answer
            except _LeftError as error:
                if not self._is_repeatable:
                    raise Unsure("the request that it went with was not awaited") from error
        return await self._ask_for_all(items)

    async def _ask_for_all(self, items: Sequence[_Item]) -> list[_Answer]:
        every, others = list(items), list[tuple[int, int, asyncio.Future[list[_Answer]]]]()
        self._open, self._others = every, others
        try:
            await asyncio.sleep(0)
            self._close(every)
            answers = await self._ask(every)
            for begin, end, answer in others:
                if not answer.done():
                    answer.set_result(answers[begin:end])
            return answers[: len(items)]
        except Unavailable as error:
            _fail(others, error)
            raise
        finally:
            self._close(every)
            _fail(others, _LeftError())

    def _close(self, every: list[_Item]) -> None:
        if self._open is every:
            self._open, self._others = None, []


def _fail(others: Sequence[tuple[int, int, "asyncio.Future[list[_Answer]]"]], error: Exception) -> None:
    for _, _, answer in others:
        if not answer.done():
            answer.set_exception(error)
