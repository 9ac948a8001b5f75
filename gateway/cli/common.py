"""Shared by all commands: options, exit codes, and running until a signal comes."""

import asyncio
import importlib
import importlib.util
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import typer

from gateway.advice import advice_for
from gateway.errors import EXIT_UNAVAILABLE, ConfigError, Rejected, Unavailable
from gateway.process_signals import EXIT_INTERRUPTED, handled
from gateway.stop_deadline import StopDeadline, stop_deadline

if TYPE_CHECKING:
    from rich.progress import Progress

Result = TypeVar("Result")


@contextmanager
def problems_told() -> Iterator[None]:
    """Print the mistakes, one per line, and end with exit code 78 or that of the error.

    A peer that is away ends with 69.
    """
    problems: list[str] = []
    code = 0
    try:
        yield
    except* ConfigError as group:
        errors = [error for error in _all(group) if isinstance(error, ConfigError)]
        problems = [problem for error in errors for problem in error.problems]
        code = max(error.exit_code for error in errors)
    except* (Unavailable, Rejected) as group:
        problems = [f"{error}{_advice(error)}" for error in _all(group)]
        code = EXIT_UNAVAILABLE
    if problems:
        for problem in problems:
            typer.echo(f"gateway: {problem}", err=True)
        raise typer.Exit(code)


def _advice(error: BaseException) -> str:
    """A hint for the user.  Empty when the message says it already."""
    advice = advice_for(str(error), error.cause if isinstance(error, Unavailable) else "")
    return f": {advice}" if advice else ""


def _all(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _all(error)
        else:
            yield error


def until_stopped(
    work: Callable[[asyncio.Event], Coroutine[None, None, Result]], within_s: Callable[[], float] | None = None
) -> Result:
    """Run until the work ends or a signal comes.  SIGTERM and SIGINT set the event; a second SIGINT ends at once.

    With `within_s`, the process ends at the latest this many seconds after the signal, in order or not.
    """

    async def main() -> Result:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        deadline: StopDeadline | None = None

        def stop_once() -> None:
            stop.set()
            if deadline is not None:
                deadline.begin()
            loop.remove_signal_handler(signal.SIGINT)

        with ExitStack() as stack:
            stack.enter_context(handled(loop, {signal.SIGTERM: stop.set, signal.SIGINT: stop_once}))
            if within_s is not None:
                on_sigterm = partial(loop.call_soon_threadsafe, stop.set)
                deadline = stack.enter_context(stop_deadline(within_s, on_sigterm))
            return await work(stop)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main())


def until_interrupted(work: Callable[[], Coroutine[None, None, Result]]) -> Result:
    """Run until the work ends.

    Ctrl-C and SIGTERM end it in order with exit code 130; a second Ctrl-C ends it at once.
    """

    async def main() -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop() -> None:
            loop.remove_signal_handler(signal.SIGINT)
            task.cancel()

        with handled(loop, {signal.SIGTERM: stop, signal.SIGINT: stop}):
            return await work()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(main())
        except asyncio.CancelledError:
            raise typer.Exit(EXIT_INTERRUPTED) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, if it is installed."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


@contextmanager
def counting(what: str) -> Iterator[Callable[[str, int], None]]:
    """A spinner on standard error, for work without a known end: shows the step and a count."""
    with _progress() as progress:
        task = progress.add_task(what, total=None)
        yield lambda what, done: progress.update(task, completed=done, description=f"{what}: {done}")


@contextmanager
def measuring(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, for work with a known end."""
    with _progress() as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _progress() -> "Progress":
    from rich.console import Console  # only who shows progress pays for the import
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns, console = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn()), Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
