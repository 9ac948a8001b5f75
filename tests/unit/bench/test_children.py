"""Processes of a run: what they use is counted with their children, and nothing of them is left behind."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.bench.chain.children import Child, Ended, Talker, cpu_s, ending, family, memory_mib

PARENT = """
import json, subprocess, sys, time
inner = subprocess.Popen([sys.executable, "-c", INNER], stdout=subprocess.PIPE)
inner.stdout.readline()
print(json.dumps({"event": "ready", "pid": inner.pid}), flush=True)
sys.stdin.read()
"""
INNER = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ntime.sleep(600)"


def talker(folder: Path, code: str) -> Talker:
    return Talker("told", folder, [sys.executable, "-c", code])


def test_processor_time_and_memory_include_child_processes_and_all_of_them_end(tmp_path: Path) -> None:
    with ending(talker(tmp_path, f"INNER = {INNER!r}\n{PARENT}")) as parent:
        inner = parent.wait("ready", 60)["pid"]
        assert family(parent.pid) == [parent.pid, inner]
        assert cpu_s(parent.pid) >= 0.3
        assert memory_mib(parent.pid) > memory_mib(inner) > 1
    deadline = time.monotonic() + 30
    while Path(f"/proc/{inner}").exists() and time.monotonic() < deadline:
        os.sched_yield()
    assert not Path(f"/proc/{inner}").exists()


def test_a_process_that_ends_is_reported_with_its_last_output(tmp_path: Path) -> None:
    code = "import sys; sys.exit('no broker')"
    with ending(talker(tmp_path, code)) as child, pytest.raises(Ended, match="no broker"):
        child.wait("ready", 60)


def test_a_silent_process_is_waited_for_until_the_time_limit(tmp_path: Path) -> None:
    code = "import time; time.sleep(600)"
    with ending(talker(tmp_path, code)) as child, pytest.raises(Ended, match="said no 'ready' within"):
        child.wait("ready", 0.3)


def test_a_contestant_that_ends_is_noticed_while_another_is_waited_for(tmp_path: Path) -> None:
    with (
        ending(talker(tmp_path, "import time; time.sleep(600)")) as waited,
        ending(Child("gone", tmp_path, [sys.executable, "-c", "raise SystemExit(3)"])) as gone,
        pytest.raises(Ended, match="gone ended with 3"),
    ):
        waited.wait("ready", 60, gone)
