"""Ports for programs are nobody else's."""

import json
import os
import subprocess
import sys

from tests.support.ports import free_port
from tests.support.programs import ROOT

TELL = "from tests.support.ports import free_port; print([free_port() for _ in range(200)])"


def ports_of(worker: str) -> set[int]:
    """What this process of a run would choose."""
    environment = {**os.environ, "PYTEST_XDIST_WORKER": worker}
    told = subprocess.run([sys.executable, "-c", TELL], cwd=ROOT, env=environment, capture_output=True, check=True)
    return set(json.loads(told.stdout))


def test_no_port_is_given_twice() -> None:
    assert len({free_port() for _ in range(200)}) == 200


def test_two_processes_of_a_run_never_choose_the_same() -> None:
    assert not ports_of("gw0") & ports_of("gw1")
