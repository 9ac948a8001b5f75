"""SIGTERM ends the process in time, whatever hangs: a resolver, a disk, a peer, a reader of our log.

The order of the end (`gateway/run/app.py`) is kept within its time by its own bounds.  What has none, a disk that does
not answer and an event loop that waits for one, is left behind by force: what is on the disk may be left at any moment.
So the signal is waited for in a thread, which needs neither the loop nor its handlers.  It is there before anything
large is imported: libraries have threads of their own, and all must inherit that the signal is not for them.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.process_signals import EXIT_TERMINATED

STOP_S = 2.0
"""What the end may take beside the time in which the outbox may go on delivering."""
_SPARE_S = 0.2
"""For the last words, to somebody who may not read them."""


class SigtermThread(threading.Thread):
    """Takes SIGTERM for the process; while there is nothing to end in order, by ending it at once."""

    def __init__(self) -> None:
        super().__init__(name="SIGTERM", daemon=True)
        self.take: Callable[[], object] = _end_at_once

    def run(self) -> None:
        while True:
            signal.sigwait([signal.SIGTERM])
            self.take()


def sigterm_thread() -> SigtermThread:
    """The one of this process; made now, if there is none, and then threads that are there already may get in its
    way."""
    found = next((each for each in threading.enumerate() if isinstance(each, SigtermThread)), None)
    if found is None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        found = SigtermThread()
        found.start()
    return found


class StopDeadline:
    """Made by `stop_deadline`."""

    def __init__(self, within_s: Callable[[], float], on_sigterm: Callable[[], object]) -> None:
        self._within_s = within_s
        self._on_sigterm = on_sigterm
        self._over = threading.Event()

    def sigterm(self) -> None:
        """SIGTERM has come."""
        self._on_sigterm()
        self.begin()

    def begin(self) -> None:
        """The process was asked to stop."""
        threading.Thread(target=self._enforce, name="stop in time", daemon=True).start()

    def end(self) -> None:
        self._over.set()

    def _enforce(self) -> None:
        if not self._over.wait(max(0.0, self._within_s() - _SPARE_S)):
            _say_what_hangs()
            os._exit(EXIT_TERMINATED)


@contextmanager
def stop_deadline(within_s: Callable[[], float], on_sigterm: Callable[[], object]) -> Iterator[StopDeadline]:
    """SIGTERM calls `on_sigterm`, from another thread, and ends the process `within_s` later, unless this is left."""
    deadline, thread = StopDeadline(within_s, on_sigterm), sigterm_thread()
    before, thread.take = thread.take, deadline.sigterm
    try:
        yield deadline
    finally:
        thread.take = before
        deadline.end()


def _say_what_hangs() -> None:
    """Name the threads that are still at work; whoever reads the log may be what hangs, so nobody waits for this."""
    import structlog

    ours = {threading.current_thread(), threading.main_thread()}
    hanging = sorted(
        each.name for each in threading.enumerate() if each not in ours and not isinstance(each, SigtermThread)
    )
    log, text = structlog.get_logger("gateway"), "the end took too long: what is not acknowledged stays on the disk"
    words = threading.Thread(target=lambda: log.error(text, still_at_work=hanging), daemon=True)
    words.start()
    words.join(_SPARE_S)


def _end_at_once() -> None:
    os._exit(0)
