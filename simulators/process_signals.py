"""Signals from the first moment of the process to its last; comes before all else, so it imports next to nothing.

While modules are imported Ctrl-C and SIGTERM end the process at once, without raising anything: an exception from
nowhere does not come through every import as what it is.  Until a command has handlers of its own, SIGTERM goes on
doing so: also as process 1, where it would be ignored, and with 0 for a daemon, which was stopped before it had begun.
SIGHUP waits for a daemon that takes it.

Exists twice, like `yaml_positions`.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

EXIT_INTERRUPTED = 130
"""What a shell says of a program that Ctrl-C has ended."""
EXIT_TERMINATED = 143
"""What a shell says of a program that SIGTERM has ended."""
DAEMONS = ("run", "serve")
"""The commands that run until they are told to stop, and end with 0 then."""
TAKES_SIGHUP = ("run",)


def from_the_first_moment() -> None:
    """Before anything large is imported."""
    signal.signal(signal.SIGTERM, _vanish)
    _on_interrupt(_vanish)
    if sys.argv[1:2] and sys.argv[1] in TAKES_SIGHUP:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])


def from_now_on() -> None:
    """When all is imported: Ctrl-C is `KeyboardInterrupt`, so that a command can clean up."""
    _on_interrupt(signal.default_int_handler)


def to_the_last() -> None:
    """When all is done, and only the interpreter has to end: nothing interrupts that with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads any more, or it is closed
            stream.flush()
    signal.signal(signal.SIGTERM, _vanish)
    _on_interrupt(_vanish)


def _on_interrupt(handler: Callable[[int, FrameType | None], object]) -> None:
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell that starts it in the background ignores it
        signal.signal(signal.SIGINT, handler)


@contextmanager
def taking(number: signal.Signals) -> Iterator[None]:
    """There is a handler for it now: what waited comes through."""
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def handled(loop: "AbstractEventLoop", handlers: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    """The loop handles these.  Behind this whoever did before does so again, without a moment in which nobody does."""
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, handlers)
        for number, earlier in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, earlier or signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _code_of(number: int) -> int:
    if number == signal.SIGINT:
        return EXIT_INTERRUPTED
    return 0 if sys.argv[1:2] and sys.argv[1] in DAEMONS else EXIT_TERMINATED


def _vanish(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(_code_of(number))
