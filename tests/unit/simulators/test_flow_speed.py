"""What makes the flow fast changes nothing of what happens."""

from pathlib import Path

import pytest

from simulators.flow import Factory
from simulators.flow import line as line_module
from simulators.flow.kinds import STATION_PROCESSES
from simulators.flow.kinds.process import in_verbs
from simulators.plant import load
from simulators.trace import hashed, line_of

LENGTHS_S = {"plant-50": 2_000.0, "bottling": 1_000.0}
"""Shorter where much happens."""
PLANTS = sorted((Path(__file__).parents[3] / "config" / "plants").glob("*.yaml"))


def hash_of(path: Path) -> str:
    factory = Factory(load(path), seed=7)
    factory.run(LENGTHS_S.get(path.stem, 6_000.0))
    return list(hashed(map(line_of, factory.take_changes())))[-1]


@pytest.mark.parametrize("path", [p for p in PLANTS if load(p).lines], ids=lambda p: p.stem)
def test_the_written_out_process_makes_the_same_trace_as_the_verbs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = hash_of(path)
    monkeypatch.setattr(line_module, "STATION_PROCESSES", {**STATION_PROCESSES, "process": in_verbs})
    assert hash_of(path) == fast
