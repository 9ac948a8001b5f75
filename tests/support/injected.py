"""Faults at every await: the n-th await of one peer's tasks raises.

Only awaits that suspend count: there a task can be interrupted, and there errors of libraries arrive.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any

_is_concerned: ContextVar[bool] = ContextVar("is_concerned", default=False)
Anything = Coroutine[Any, Any, Any]

SECONDS = 60


class LibraryCancellation(asyncio.CancelledError):
    """A cancellation without a request, as raised by asyncua's `wait_for`."""


class LibraryPanic(BaseException):
    """A panic, as raised by libraries written in Rust: not an `Exception`."""


FAULTS: dict[str, Callable[[], BaseException]] = {
    "bug": lambda: ZeroDivisionError("injected"),
    "cancellation": lambda: LibraryCancellation("injected"),
    "panic": lambda: LibraryPanic("injected"),
}


class Injection:
    """Raises `fault` at the await with this number (from 1) among all awaits of the named unit."""

    def __init__(self, number: int, fault: Callable[[], BaseException], peer: str) -> None:
        self.number = number
        self.fault = fault
        self.peer = peer
        self.awaits = 0
        self.place: str | None = None
        """Where it was raised; None: not yet."""

    @contextmanager
    def injected(self) -> Iterator[None]:
        """Inject while open, in the running loop."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(self._task)
        try:
            yield
        finally:
            loop.set_task_factory(None)

    def _task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        if not _is_concerned.get() and not self._is_of_the_peer(coro):
            return asyncio.Task(coro, loop=loop, **options)
        reset = _is_concerned.set(True)
        try:
            return asyncio.Task(_Driven(coro, self), loop=loop, **options)
        finally:
            _is_concerned.reset(reset)

    def _is_of_the_peer(self, coro: Anything) -> bool:
        """Whether a new task is the unit's life.  Its child tasks are found by their context."""
        frame = getattr(coro, "cr_frame", None)
        if frame is None or frame.f_code.co_name != "live":
            return False
        unit, name = frame.f_locals.get("self"), str(frame.f_locals.get("name", ""))
        return getattr(unit, "name", None) == self.peer or name.split(" ")[-1] == self.peer

    def due(self, coro: Anything) -> BaseException | None:
        """The fault, when it is due.  `coro` is about to wait."""
        if _innermost(coro).startswith("live life.py"):
            return None  # the pause between two lives
        self.awaits += 1
        if self.awaits != self.number:
            return None
        self.place = _innermost(coro)
        return self.fault()


def _innermost(coro: Any) -> str:
    """Which of our functions waits, and where."""
    place = ""
    while coro is not None:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "ag_frame", None) or getattr(coro, "gi_frame", None)
        if frame is None:
            break
        path = frame.f_code.co_filename
        if "/asyncio/" not in path and "contextlib" not in path:
            place = f"{frame.f_code.co_name} {path.rpartition('/')[2]}:{frame.f_lineno}"
        coro = getattr(coro, "cr_await", None) or getattr(coro, "ag_await", None) or getattr(coro, "gi_yieldfrom", None)
    return place


class _Driven(Coroutine[Any, Any, Any]):
    """A coroutine that is thrown a fault where it would wait."""

    def __init__(self, coro: Anything, injection: Injection) -> None:
        self._coro = coro
        self._injection = injection
        self.__name__ = getattr(coro, "__name__", "?")
        self.__qualname__ = getattr(coro, "__qualname__", "?")

    def send(self, value: Any) -> Any:
        return self._waits(self._coro.send(value))

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None) -> Any:
        return self._waits(self._coro.throw(kind) if value is None else self._coro.throw(kind, value, traceback))

    def _waits(self, awaited: Any) -> Any:
        while (fault := self._injection.due(self._coro)) is not None:
            if awaited is not None:
                awaited._asyncio_future_blocking = False
            awaited = self._coro.throw(fault)
        return awaited

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError("a task drives it")


def at_every_await(
    scenario: Callable[[Path, Injection], Awaitable[None]], faults: str, peer: str, folder: Path
) -> list[str]:
    """Run the scenario with a fault at its first await, its second … until there are no more; returns the places.

    Several kinds of faults (with commas between them) take turns.
    """
    places: list[str] = []
    kinds = [FAULTS[fault] for fault in faults.split(",")]
    while True:
        injection = Injection(len(places) + 1, kinds[len(places) % len(kinds)], peer)

        async def body(injection: Injection = injection) -> None:
            with injection.injected():
                await asyncio.wait_for(scenario(folder / str(injection.number), injection), SECONDS)

        asyncio.run(body())
        if injection.place is None:
            return places
        places.append(injection.place)


def faults_told(logs: Sequence[Mapping[str, object]]) -> int:
    """How many faults were logged with their traceback."""
    return sum("exc_info" in entry for entry in logs)
