"""Signal handling from the start of the process to its end.  Imported before all else, so it imports very little.

While modules are imported, Ctrl-C and SIGTERM end the process at once and raise nothing: an exception in the middle of
an import may reach the program as another error.  SIGTERM keeps doing so until a command sets its own handlers, also in
process 1, where the kernel would ignore it.  A daemon then ends with code 0, since it was stopped before it began.
SIGHUP is held back until a daemon takes it.

The file exists twice, like `yaml_positions`.
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
"""The exit code that a shell reports for a program ended by Ctrl-C."""
EXIT_TERMINATED = 143
"""The exit code that a shell reports for a program ended by SIGTERM."""
DAEMONS = ("run", "serve", "fleet")
"""The commands that run until they are stopped, and then end with 0."""
TAKES_SIGHUP = ("run",)
HANDLE_INTERRUPT = ("run", "serve")
"""The commands whose loop takes Ctrl-C as well as SIGTERM, from its first moment on."""


def from_the_first_moment() -> None:
    """Set the handlers for the time of the imports."""
    signal.signal(signal.SIGTERM, _vanish)
    _on_interrupt(_vanish)
    if sys.argv[1:2] and sys.argv[1] in TAKES_SIGHUP:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])


def from_now_on() -> None:
    """Set the handlers for after the imports: Ctrl-C is `KeyboardInterrupt`, so that a command can clean up.

    What runs until it is stopped has more to import, and handlers of its own afterwards.
    """
    if not (sys.argv[1:2] and sys.argv[1] in HANDLE_INTERRUPT):
        _on_interrupt(signal.default_int_handler)


def to_the_last() -> None:
    """Set the handlers for the end, when only the interpreter has to finish: no signal causes a traceback any more."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the reader is gone, or the stream is closed
            stream.flush()
    signal.signal(signal.SIGTERM, _vanish)
    _on_interrupt(_vanish)


def _on_interrupt(handler: Callable[[int, FrameType | None], object]) -> None:
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell ignores it for programs in the background
        signal.signal(signal.SIGINT, handler)


@contextmanager
def taking(number: signal.Signals) -> Iterator[None]:
    """Unblock a signal that now has a handler.  A signal that was held back is delivered."""
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def handled(loop: "AbstractEventLoop", handlers: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    """Let the loop handle these signals.  At the end the earlier handlers are back, without a moment in between."""
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
