"""A short campaign in every run; `make chaos` does a long one."""

from pathlib import Path

import pytest

from tests.chaos.campaign import campaign


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_gap_is_explained_after_nine_faults(tmp_path: Path) -> None:
    report = campaign(tmp_path, seed=20, faults=9)
    assert report.unexplained == [], report.text
    assert report.values_arrived > 500
