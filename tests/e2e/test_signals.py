"""Signals at the start and at the end of a process: one that comes early ends what it should, without a traceback.

A start takes about a second, most of it imports; the tests strike in the middle of them, when pydantic's library has
just been mapped, and when the first handler of ours is there.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.programs import ROOT, wait_until

CONFIG = """
name: edge
sources: [{name: a, url: 'opc.tcp://127.0.0.1:1', insecure: true, select: [{node: i=2258}]}]
broker: {url: 'mqtt://127.0.0.1:1'}
payload: {topic: x}
http: {port: 0}
stop_grace: 100ms
"""


class Process:
    """One of our programs, and what it is just doing."""

    def __init__(self, folder: Path, *command: str, before: tuple[str, ...] = (), log: int | None = None) -> None:
        self.log_path = folder / "log"
        how = () if command[0] == "-c" else ("-m",)
        with self.log_path.open("ab") as file:
            out = file if log is None else log
            self.run = subprocess.Popen(
                [*before, sys.executable, *how, *command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.pid = self.run.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def is_importing(self) -> bool:
        """Pydantic's library is mapped, and nothing of ours is imported yet."""
        return "_pydantic_core" in Path(f"/proc/{self.pid}/maps").read_text()

    def kill(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def ended(self) -> int:
        return self.run.wait(60)


@contextmanager
def started(process: Process) -> Iterator[Process]:
    try:
        yield process
    finally:
        if process.run.poll() is None:
            process.run.kill()
            process.run.wait()


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"{CONFIG}outbox: {{path: {tmp_path}/outbox}}\n", encoding="utf-8")
    return str(path)


COMMANDS = [("gateway", "run"), ("simulators", "serve")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_signal_during_the_imports_ends_a_daemon_at_once_without_a_traceback(
    command: tuple[str, str], number: signal.Signals, code: int, file: str, tmp_path: Path
) -> None:
    what = file if command[0] == "gateway" else "config/plant.yaml"
    with started(Process(tmp_path, *command, what)) as process:
        wait_until(process.is_importing, "imports")
        process.kill(number)
        assert process.ended() == code
        assert process.log == ""


def test_a_hangup_during_the_imports_becomes_a_later_reload(file: str, tmp_path: Path) -> None:
    with started(Process(tmp_path, "gateway", "run", file)) as process:
        wait_until(process.is_importing, "imports")
        process.kill(signal.SIGHUP)
        wait_until(lambda: "configuration taken" in process.log, "the reload")
        process.kill(signal.SIGTERM)
        assert process.ended() == 0


def test_an_early_sigterm_ends_process_1(file: str, tmp_path: Path) -> None:
    """As in a container: the kernel gives process 1 no signal that it has no handler for."""
    ours = ("unshare", "-rfp", "--kill-child")
    if shutil.which("unshare") is None or subprocess.run([*ours, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no processes of our own here")
    with started(Process(tmp_path, "gateway", "run", file, before=ours)) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: bool(children.read_text().split()), "process 1")
        process.pid = int(children.read_text().split()[0])
        wait_until(process.is_importing, "imports")
        process.kill(signal.SIGTERM)
        assert process.ended() == 0


def test_ctrl_c_twice_leaves_no_traceback(file: str, tmp_path: Path) -> None:
    with started(Process(tmp_path, "gateway", "run", file)) as process:
        wait_until(lambda: "not connected" in process.log, "the gateway to run")
        process.kill(signal.SIGINT)
        process.kill(signal.SIGINT)
        assert process.ended() in (0, 130)
        assert "Traceback" not in process.log
        assert "Exception ignored" not in process.log


def test_an_interrupted_read_only_command_says_so(file: str, tmp_path: Path) -> None:
    with started(Process(tmp_path, "gateway", "plan", file)) as process:
        wait_until(process.is_importing, "imports")
        process.kill(signal.SIGTERM)
        assert process.ended() == 143


def test_ctrl_c_while_a_file_is_read_leaves_no_traceback(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with started(Process(tmp_path, "gateway", "validate", str(tmp_path / "pipe"))) as process:
        with (tmp_path / "pipe").open("wb"):  # opened: the other side is reading
            process.kill(signal.SIGINT)
            assert process.ended() in (130, -signal.SIGINT)
        assert "Traceback" not in process.log


HANGS = """
import os, pathlib, socket, time
def hangs(*args, **more):
    while os.path.exists({flag!r}):
        pathlib.Path({flag!r} + ".reached").touch()
        time.sleep(0.05)
    return "fine"
{where}
from gateway.__main__ import main
main()
"""
"""A gateway in which something does not come back for as long as a file is there."""
WHERE = {
    "a peer": ("", 0),
    "a resolver": ("socket.getaddrinfo = lambda *a, **k: hangs() and []", 0),
    "a secret": ("import gateway.config.private_files as files; files.rule_for = hangs", 0),
    "a disk": ("real = os.fdatasync; os.fdatasync = lambda fd: hangs() and real(fd)", 143),
    "the log": ("", 143),
}
"""What hangs, how, and what the process ends with: what it can leave alone, it ends in order without."""


def hanging_in(where: str, folder: Path, dumb: int, log: int | None) -> Process:
    (folder / "password").write_text("x")
    host = "somewhere" if where == "a resolver" else "127.0.0.1"
    login = f", username: u, password: {{file: '{folder}/password'}}"
    broker = f"mqtt://127.0.0.1:{1 if where == 'a secret' else dumb}'{login}"
    text = CONFIG.replace("opc.tcp://127.0.0.1:1", f"opc.tcp://{host}:{dumb}").replace("mqtt://127.0.0.1:1'", broker)
    (folder / "gateway.yaml").write_text(f"{text}outbox: {{path: '{folder}/outbox'}}\n", encoding="utf-8")
    (folder / "password").chmod(0o600)
    code = HANGS.format(flag=str(folder / "flag"), where=WHERE[where][0])
    return Process(folder, "-c", code, "run", str(folder / "gateway.yaml"), log=log)


def read_until(text: bytes, pipe: tuple[int, int]) -> None:
    """Read a log as far as this, and then no more: it is full."""
    read, write = pipe
    seen = b""
    while text not in seen:
        seen += os.read(read, 65_536)
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while os.write(write, b"x" * 4096):
            pass
    os.set_blocking(write, True)


def test_sigterm_ends_within_the_grace_period_and_two_seconds_whatever_hangs(tmp_path: Path) -> None:
    with ExitStack() as stack:
        dumb = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        pipe = os.pipe()
        every: dict[str, Process] = {}
        for where in WHERE:
            (tmp_path / where).mkdir()
            process = hanging_in(where, tmp_path / where, dumb, pipe[1] if where == "the log" else None)
            every[where] = stack.enter_context(started(process))
        for where, process in every.items():
            if where == "the log":
                read_until(b"started", pipe)
            else:
                wait_until(lambda process=process: "started" in process.log, where)  # type: ignore[misc]
            (tmp_path / where / "flag").touch()
        for where in ("a resolver", "a secret"):
            wait_until((tmp_path / where / "flag.reached").exists, where)
        begun_s = time.monotonic()
        for process in every.values():
            process.kill(signal.SIGTERM)
        assert {where: process.ended() for where, process in every.items()} == {w: c for w, (_, c) in WHERE.items()}
        assert time.monotonic() - begun_s < 0.1 + 2.0 + 3.0  # of which a busy machine may take the last
        assert "outbox-write" in every["a disk"].log
        for end in pipe:
            os.close(end)


def test_an_outbox_in_use_is_waited_for(file: str, tmp_path: Path) -> None:
    with started(Process(tmp_path, "gateway", "run", file)) as process:
        wait_until(lambda: "started" in process.log, "the gateway to run")
        second = subprocess.run(
            [sys.executable, "-m", "gateway", "run", file], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert second.returncode == 75
        assert "is in use by process" in second.stderr
        process.kill(signal.SIGTERM)
        assert process.ended() == 0
