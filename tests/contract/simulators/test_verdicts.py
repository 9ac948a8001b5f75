"""The commands that only compute, as processes: the trace is the same in every process, and the anchors hold."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simulators.cli import app
from simulators.verify import anchors
from tests.support.programs import ROOT, ran


def simulators(*arguments: str, hash_seed: str) -> subprocess.CompletedProcess[str]:
    """Run `simulators` with an order of sets and dictionaries of its own."""
    command, environment = [sys.executable, "-m", "simulators", *arguments], {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=300, check=False)


@pytest.mark.parametrize("plant", ["config/plant.yaml", "config/plants/end-of-line.yaml"])
def test_every_process_makes_the_same_trace(plant: str) -> None:
    command = ("trace", plant, "--until", "1800", "--seed")
    runs = [simulators(*command, "7", hash_seed=seed) for seed in ("1", "2")]
    last = [run.stdout.splitlines()[-1] for run in runs]
    assert last[0].startswith("sha256 ")
    assert runs[0].stdout == runs[1].stdout
    other = ran("simulators", *command, "8")
    assert other.stdout.splitlines()[-1] != last[0]


@pytest.mark.slow
def test_the_quick_verification_passes_for_every_third_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in `.ci/long`."""
    monkeypatch.setattr("simulators.verify.anchors", lambda: islice(anchors(), 0, None, 3))
    run = CliRunner().invoke(app, ["verify", "--quick"])
    assert run.exit_code == 0, run.output[-2000:]
    assert "FAILED" not in run.output
    assert int(run.output.split("\n")[-2].split()[0]) > 40


def test_describe_draws_a_plant() -> None:
    run = ran("simulators", "describe", "config/plants/smt.yaml")
    assert run.returncode == 0, run.stderr
    assert "bottleneck: printer" in run.stdout


def test_a_plant_that_cannot_work_ends_with_78_and_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\nsite: y\nlines: [{name: l, stations: [{name: a, cycle: 1s, buffer: -1}]}]\n")
    run = ran("simulators", "describe", str(broken))
    assert run.returncode == 78
    assert f"{broken}:3: lines[0].stations[0].buffer:" in run.stderr
