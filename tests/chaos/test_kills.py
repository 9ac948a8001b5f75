"""Six kills in every run; `python -m tests.chaos.kills` does hundreds."""

from pathlib import Path

import pytest

from tests.chaos.kills import kills


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_gateway_killed_six_times_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    report = kills(tmp_path, seed=4, count=6, values_per_second=5000)
    assert report.wrong == [], report.text
    assert report.kills.total() == 6
    assert report.values == report.owed > 20_000
