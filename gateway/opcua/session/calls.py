"""How many operations go into one call: as many as the server says, and fewer where it refused more.

A server may say nothing of its limits, or more than the truth, and its messages may be bounded as well.  So a call that
is refused as too large, or not answered while the server answers others, is made again in halves.  What was learned is
kept from one connection to the next (`CallSizes`), and told once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from gateway.cancellation import unless_asked
from gateway.errors import Unavailable
from gateway.opcua.session.asyncua_edge import TooLarge

WIDTH = 5
"""Calls of one kind under way at the same time while browsing and reading."""
UNANSWERED = 2
"""So many connections that ended over calls of a kind say that its calls are too large."""
_T = TypeVar("_T")
_R = TypeVar("_R")


def no_progress(done: int) -> None:
    """For callers that show no progress."""


@dataclass(slots=True)
class _Unanswered:
    """Calls of one kind over which connections ended."""

    least: int
    """The fewest operations that such a call had."""
    connections: set[int] = field(default_factory=set)


class CallSizes:
    """What one server takes in a call, by kind, as far as it differs from what it says.

    Kinds are the names of `OperationLimits`, and others that the caller makes up.
    """

    def __init__(self) -> None:
        self._url = ""
        self._most: dict[str, int] = {}
        self._reasons: dict[str, str] = {}
        """Why calls of a kind became smaller, until the first that is answered."""
        self._unanswered: dict[str, _Unanswered] = {}
        self._connections = 0
        self._log = structlog.get_logger("gateway.opcua")

    def begin(self, source: str, url: str) -> None:
        """Calls go to this server from now on."""
        if url != self._url:
            self.__init__()  # type: ignore[misc]  # another server has shown nothing yet
        self._url = url
        self._connections += 1
        self._log = structlog.get_logger("gateway.opcua").bind(source=source)

    def most(self, kind: str, told: int) -> int:
        """How many operations to put into a call, where the server says `told`."""
        return max(1, min(told, self._most.get(kind, told)))

    def refused(self, kind: str, count: int, reason: str) -> None:
        """A call of so many operations is too large."""
        self._most[kind] = max(1, min(count // 2, self._most.get(kind, count)))
        self._reasons[kind] = reason

    def unanswered(self, kind: str, count: int) -> None:
        """The connection ended over a call.  That may have another reason; but not again and again."""
        known = self._unanswered.setdefault(kind, _Unanswered(count))
        known.least = min(known.least, count)
        known.connections.add(self._connections)
        if len(known.connections) >= UNANSWERED:
            self.refused(kind, known.least, "no answer, and the connection was lost")
            del self._unanswered[kind]

    def answered(self, kind: str, count: int) -> None:
        """A call of so many operations was answered.  Tells of a size that changed, once it has proved itself."""
        if kind in self._unanswered and count >= self._unanswered[kind].least:
            del self._unanswered[kind]
        if kind in self._reasons and 2 * count > self._most[kind]:
            reason = self._reasons.pop(kind)
            self._log.info(
                "the server takes fewer operations in one call than it says: asking for fewer at once",
                kind=kind, at_once=self._most[kind], reason=reason,
            )  # fmt: skip


async def in_calls(
    items: Sequence[_T],
    call: Callable[[Sequence[_T]], Awaitable[list[_R]]],
    *,
    kind: str,
    told: int,
    sizes: CallSizes,
    is_alive: Callable[[], Awaitable[bool]],
    progress: Callable[[int], None] = no_progress,
    alone: Callable[[_T, int], _R] | None = None,
    width: int = WIDTH,
) -> list[_R]:
    """`call` on slices of a size that the server takes, `width` at a time; the results in the order of `items`.

    `alone` makes the result of an item that is refused as too large even by itself, from the status.  `progress` gets
    the length of each slice that is done.  Raises the first `Unavailable`, when no other call is under way any more.
    """
    results: dict[int, list[_R]] = {}
    failures: list[Unavailable] = []
    todo = deque([(0, len(items))] if items else [])

    async def once(start: int, end: int) -> None:
        part = items[start:end]
        try:
            results[start] = await call(part)
        except Unavailable as error:
            if await is_too_large(error, kind, len(part), sizes, is_alive):
                todo.appendleft((start, end))
                return
            if len(part) > 1 or alone is None or not isinstance(error, TooLarge) or not await is_alive():
                raise
            results[start] = [alone(part[0], error.code)]
        else:
            sizes.answered(kind, len(part))
        progress(len(part))

    async def work() -> None:
        while todo and not failures:
            start, end = todo.popleft()
            size = sizes.most(kind, told)
            if end - start > size:
                todo.appendleft((start + size, end))
            try:
                await once(start, min(end, start + size))
            except Unavailable as error:
                failures.append(error)

    width = min(width, -(-len(items) // sizes.most(kind, told)))
    if width <= 1:
        await work()
    else:
        async with asyncio.TaskGroup() as group:
            for number in range(width):
                group.create_task(unless_asked(work), name=f"opcua-call-{number}")
    if failures:
        raise failures[0]
    return [result for start in sorted(results) for result in results[start]]


async def is_too_large(
    error: Unavailable, kind: str, count: int, sizes: CallSizes, is_alive: Callable[[], Awaitable[bool]]
) -> bool:
    """Whether a call of fewer operations is worth trying now; what was learned is kept in any case."""
    if count == 1:
        return False
    if isinstance(error, TooLarge):
        sizes.refused(kind, count, error.status)
        return await is_alive()
    if error.cause == "timeout" and await is_alive():
        sizes.refused(kind, count, "no answer in time, while the server answers other requests")
        return True
    if error.cause in ("timeout", "cut"):
        sizes.unanswered(kind, count)
    return False
