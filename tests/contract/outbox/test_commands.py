"""`gateway outbox` as people use it: it can be stopped, and says what it leaves behind."""

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import OutboxConfig
from gateway.model import Message
from gateway.outbox import open_outbox
from tests.support.programs import wait_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 40 MB of small messages: seconds of work."""
    path = tmp_path_factory.mktemp("outbox")

    async def fill() -> None:
        async with open_outbox(OutboxConfig(path=path, commit="os"), readers=("broker",)) as outbox:
            for first in range(1, 150_001, 5_000):
                await outbox.append([Message("t", b"x" * 150, "s", first + n, values=1) for n in range(5_000)])

    asyncio.run(asyncio.wait_for(fill(), 240))
    return path


def begun(*arguments: str) -> subprocess.Popen[str]:
    """The command, behind everybody else on a busy machine: it must not be through before the test has looked."""
    command = ["nice", "-n", "5", sys.executable, "-m", "gateway", "outbox", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_ends_an_export_and_says_that_the_file_is_not_whole(folder: Path, tmp_path: Path) -> None:
    to = tmp_path / "messages"
    child = begun("export", str(folder), str(to))
    wait_until(lambda: to.exists() and to.stat().st_size > 100_000, "the export to begin")
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    written = len(to.read_text().splitlines())
    assert child.returncode == 130
    told = re.search(rf"interrupted; {to} holds only the first (\d+) messages", " ".join(errors.split()))
    assert told, errors
    assert 0 <= written - int(told[1]) <= 1  # it may be interrupted between a message and its count
    assert "Traceback" not in errors


def test_a_file_that_cannot_be_written_is_reported(folder: Path, tmp_path: Path) -> None:
    child = begun("export", str(folder), str(tmp_path / "missing" / "messages"))
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 74
    assert "cannot write" in errors
    assert "Traceback" not in errors
