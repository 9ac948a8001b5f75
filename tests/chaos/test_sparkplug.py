"""A short campaign against an edge node in every run; `make chaos ARGS="--sparkplug 100"` does a long one."""

from pathlib import Path

import pytest

from tests.chaos.sparkplug import campaign


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_host_finds_no_violation_and_misses_no_value(tmp_path: Path) -> None:
    """tck-id-payloads-sequence-num-incrementing, tck-id-payloads-nbirth-bdseq-repeat, tck-id-payloads-ddata-order"""
    verdict = campaign(tmp_path, seed=4, faults=5)
    assert verdict.wrong == [], verdict.text
    assert verdict.arrived > 100
