"""Processes of a run, and what they use: CPU time and memory as the kernel counts them (Linux)."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

_PROCESS_CLOCK = 2
"""CPUCLOCK_SCHED of clock_gettime(2): user and system time of all threads, also of those that have ended, in ns."""


def cpu_s(pid: int) -> float:
    """User and system time of a process and of its living descendants."""
    return sum(_own_cpu_s(each) for each in family(pid))


def _own_cpu_s(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | _PROCESS_CLOCK)
    except OSError:  # it has ended meanwhile
        return 0.0


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                left += map(int, children.read_text().split())
    return found


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of a process and its descendants; `VmHWM` for the most there was."""
    return sum(_own_memory_kib(each, field) for each in family(pid)) / 1024


def _own_memory_kib(pid: int, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0


def load_average() -> float:
    return os.getloadavg()[0]


class Ended(Exception):  # noqa: N818 - it tells a state
    """A process ended, or said nothing for too long."""


class Child:
    """A process of a run; what it prints goes to a file of its own."""

    def __init__(
        self,
        name: str,
        folder: Path,
        command: list[str],
        environment: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> None:
        self.name, self.log = name, folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **(environment or {})}, cwd=folder, stderr=log,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL, stdout=subprocess.PIPE if talks else log,
            )  # fmt: skip
        self.pid = self.process.pid

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def check(self) -> None:
        """Raise when it has ended."""
        if self.process.poll() is not None:
            raise Ended(f"{self.name} ended with {self.process.returncode}: {self.last_words}")

    @property
    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:]

    def end(self, grace_s: float = 10.0) -> None:
        """SIGTERM, and SIGKILL when that does not help; its descendants with it."""
        descendants = family(self.pid)[1:] if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(60)
        for pid in descendants:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


class Talker(Child):
    """A process that takes orders and tells events, as JSON lines."""

    def __init__(
        self, name: str, folder: Path, command: list[str], environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(name, folder, command, environment, talks=True)
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, name=f"events of {name}", daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # closed while it is read
            for line in self.process.stdout:
                self._events.put(json.loads(line))

    def say(self, **order: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def wait(self, event: str, within_s: float = 120.0, *watched: Child) -> dict[str, Any]:
        """The next event of this name; raises Ended when it does not come, or when one of `watched` ends meanwhile."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            self.check()
            for child in watched:
                child.check()
            with contextlib.suppress(queue.Empty):
                told = self._events.get(timeout=0.2)
                if told["event"] == event:
                    return told
        raise Ended(f"{self.name} said no {event!r} within {within_s:g} s: {self.last_words}")

    def ask(self, event: str, within_s: float = 600.0, **order: object) -> dict[str, Any]:
        self.say(**order)
        return self.wait(event, within_s)


AnyChild = TypeVar("AnyChild", bound=Child)


@contextlib.contextmanager
def ending(child: AnyChild) -> Iterator[AnyChild]:
    """Its life."""
    try:
        yield child
    finally:
        child.end()
