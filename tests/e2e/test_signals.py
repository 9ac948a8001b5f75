"""Signals at the start and at the end of a process: one that comes early ends what it should, without a traceback.

A start takes about a second, most of it imports; the tests strike in the middle of them, when pydantic's library has
just been mapped, and when the first handler of ours is there.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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

    def __init__(self, folder: Path, *command: str, before: tuple[str, ...] = ()) -> None:
        self.log_path = folder / "log"
        with self.log_path.open("ab") as log:
            self.run = subprocess.Popen(
                [*before, sys.executable, "-m", *command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
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
def test_a_signal_among_the_imports_ends_a_daemon_at_once_and_in_silence(
    command: tuple[str, str], number: signal.Signals, code: int, file: str, tmp_path: Path
) -> None:
    what = file if command[0] == "gateway" else "config/plant.yaml"
    with started(Process(tmp_path, *command, what)) as process:
        wait_until(process.is_importing, "imports")
        process.kill(number)
        assert process.ended() == code
        assert process.log == ""


def test_a_hangup_among_the_imports_is_a_reload_later(file: str, tmp_path: Path) -> None:
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


def test_a_command_that_only_looks_says_that_it_was_ended(file: str, tmp_path: Path) -> None:
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


def test_an_outbox_in_use_passes_by_itself(file: str, tmp_path: Path) -> None:
    with started(Process(tmp_path, "gateway", "run", file)) as process:
        wait_until(lambda: "started" in process.log, "the gateway to run")
        second = subprocess.run(
            [sys.executable, "-m", "gateway", "run", file], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert second.returncode == 75
        assert "is in use by process" in second.stderr
        process.kill(signal.SIGTERM)
        assert process.ended() == 0
