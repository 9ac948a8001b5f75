"""SIGTERM ends the process in time, whatever hangs: a resolver, a disk, a peer, a reader of the log.

The regular end (`gateway/run/app.py`) has its own bounds.  A disk that does not answer, and an event loop that waits
for one, have none; the process ends without them, since the content of the disk is valid at any moment.  A thread waits
for the signal, so neither the loop nor its handlers are needed.  It starts before any large import: libraries start
threads, and all of these must inherit that the signal is blocked.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.process_signals import EXIT_TERMINATED

STOP_S = 2.0
"""How long the end may take, in addition to the time in which the outbox may continue to deliver."""
_SPARE_S = 0.2
"""Time for the last log line, whose reader may hang."""


class SigtermThread(threading.Thread):
    """Takes SIGTERM for the process.  While there is nothing to end in order, it ends the process at once."""

    def __init__(self) -> None:
        super().__init__(name="SIGTERM", daemon=True)
        self.take: Callable[[], object] = _end_at_once

    def run(self) -> None:
        while True:
            signal.sigwait([signal.SIGTERM])
            self.take()


def sigterm_thread() -> SigtermThread:
    """The thread of this process.

    Started now if there is none; then earlier threads may receive the signal instead.
    """
    found = next((each for each in threading.enumerate() if isinstance(each, SigtermThread)), None)
    if found is None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        found = SigtermThread()
        found.start()
    return found


class StopDeadline:
    """Created by `stop_deadline`."""

    def __init__(self, within_s: Callable[[], float], on_sigterm: Callable[[], object]) -> None:
        self._within_s = within_s
        self._on_sigterm = on_sigterm
        self._over = threading.Event()

    def sigterm(self) -> None:
        """Handle SIGTERM."""
        self._on_sigterm()
        self.begin()

    def begin(self) -> None:
        """Start the deadline: the process was asked to stop."""
        threading.Thread(target=self._enforce, name="stop in time", daemon=True).start()

    def end(self) -> None:
        self._over.set()

    def _enforce(self) -> None:
        if not self._over.wait(max(0.0, self._within_s() - _SPARE_S)):
            _say_what_hangs()
            os._exit(EXIT_TERMINATED)


@contextmanager
def stop_deadline(within_s: Callable[[], float], on_sigterm: Callable[[], object]) -> Iterator[StopDeadline]:
    """SIGTERM calls `on_sigterm` from another thread, and ends the process `within_s` later unless this is left."""
    deadline, thread = StopDeadline(within_s, on_sigterm), sigterm_thread()
    before, thread.take = thread.take, deadline.sigterm
    try:
        yield deadline
    finally:
        thread.take = before
        deadline.end()


def _say_what_hangs() -> None:
    """Log the threads that are still working.

    Nothing waits for this, since the reader of the log may be what hangs.
    """
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
