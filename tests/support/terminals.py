"""A command with a terminal on both ends, of any size, that a person reads and types at."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.forked import Forked, fork

ENTER, DOWN, SPACE = "\r", "\x1b[B", " "
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Terminal:
    """The running command, and all that it wrote."""

    def __init__(self, process: "subprocess.Popen[bytes] | Forked", master: int) -> None:
        self.process, self._master, self.raw, self._seen = process, master, "", 0

    @property
    def text(self) -> str:
        """What was written, without colours and moves of the cursor."""
        return _CONTROL.sub("", self.raw)

    def wait_for(self, words: str, within_s: float = 120.0) -> None:
        """Wait until these words were written after those of the last wait."""
        deadline = time.monotonic() + within_s
        while (place := self.text.find(words, self._seen)) < 0:
            assert time.monotonic() < deadline, f"waiting for {words!r}; it wrote:\n{self.text[-3000:]}"
            assert self._read(0.5), f"it ended without {words!r}; it wrote:\n{self.text[-3000:]}"
        self._seen = place + len(words)

    def read(self) -> str:
        """What it has written by now."""
        while select.select([self._master], [], [], 0)[0] and self._read(0):
            pass
        return self.text

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def ended(self, within_s: float = 120.0) -> int:
        """Read until it ends; its exit code."""
        deadline = time.monotonic() + within_s
        while self._read(0.5):
            assert time.monotonic() < deadline, f"it did not end; it wrote:\n{self.text[-3000:]}"
        return self.process.wait(60)

    def _read(self, within_s: float) -> bool:
        """False: the command has ended, and all is read."""
        if not select.select([self._master], [], [], within_s)[0]:
            return True
        try:
            more = os.read(self._master, 65536)
        except OSError:  # Linux says so when the other end is closed
            return False
        self.raw += more.decode(errors="replace")
        return bool(more)


@contextmanager
def terminal(
    *arguments: str, cwd: Path, rows: int = 24, columns: int = 80, module: str = "gateway", **environment: str
) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    own = os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **environment}
    own = {key: value for key, value in own.items() if key not in ("COLUMNS", "LINES")}
    command = ["setsid", "--ctty", sys.executable, "-m", module, *arguments]  # Ctrl-C typed there is a signal
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=cwd, env=own)
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@contextmanager
def terminal_of_fork(module: str, *arguments: str, cwd: Path) -> Iterator[Terminal]:
    """The same at less cost: a fork of a process that has imported the program."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = fork(module, *arguments, streams=(slave, slave, slave), cwd=cwd, at_terminal=True)
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait(60)
        os.close(master)
