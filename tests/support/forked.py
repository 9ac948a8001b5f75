"""Starts our own programs as forks of a process that has imported them: see `zygote.py`."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

from tests.support.zygote import STREAMS, program_of

ROOT = Path(__file__).parents[2]


class Forked:
    """One process, with the interface of `subprocess.Popen` that the tests use."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.returncode: int | None = None
        self._started, self._ended = threading.Event(), threading.Event()

    def heard(self, told: dict[str, int]) -> None:
        if "pid" in told:
            self.pid = told["pid"]
            self._started.set()
        else:
            self.returncode = os.waitstatus_to_exitcode(told["status"])
            self._ended.set()

    def wait_started(self) -> None:
        assert self._started.wait(120), "the process that forks does not answer"

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                self._ended.wait(10)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class _Zygote:
    """The process that forks into one program, for the tests of this process."""

    def __init__(self, program: str) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.zygote", program],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd=ROOT,
            )
        atexit.register(self.end)
        self._lock = threading.Lock()
        self._number = 0
        self._children: dict[int, Forked] = {0: Forked(0)}
        threading.Thread(target=self._listen, daemon=True, name="zygote").start()
        self._children[0].wait_started()

    def _listen(self) -> None:
        while told := self._socket.recv(1 << 16):
            answer = json.loads(told)
            self._children[answer["request"]].heard(answer)

    def fork(self, arguments: tuple[str, ...], streams: tuple[int, int, int], **rest: object) -> Forked:
        with self._lock:
            self._number += 1
            made = self._children[self._number] = Forked(self._number)
            request = {"request": made.number, "arguments": arguments, **rest}
            socket.send_fds(self._socket, [json.dumps(request).encode()], list(streams))
        made.wait_started()
        return made

    def end(self) -> None:
        for each in self._children.values():
            if each.number:
                each.kill()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait(60)


@cache
def _zygote(program: str) -> _Zygote:
    return _Zygote(program)


def fork(
    module: str,
    *arguments: str,
    streams: tuple[int, int, int],
    cwd: Path = ROOT,
    at_terminal: bool = False,
) -> Forked:
    """`python -m MODULE …` as a fork; `streams` are descriptors of standard input, output and error.

    `at_terminal`: they are a terminal of its own, at which a Ctrl-C that is typed is a signal.
    """
    assert len(streams) == STREAMS
    rest = {"cwd": str(cwd), "at_terminal": at_terminal, "environment": dict(os.environ)}
    return _zygote(program_of(module)).fork((module, *arguments), streams, **rest)
