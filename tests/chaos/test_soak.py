"""Half a minute of the soak in every run; `make soak` does a long one."""

from pathlib import Path

import pytest

from tests.chaos.soak import Plan, soak
from tests.chaos.soak_report import text_of


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_under_load_and_outages_nothing_is_lost_and_the_counters_balance(tmp_path: Path) -> None:
    outcome = soak(Plan(minutes=0.45, values_per_second=5000, seed=11, plug_every_s=8.0), tmp_path)
    assert outcome.wrong == [], text_of(outcome)
    assert len(outcome.plugs) >= 2
    assert outcome.values["arrived"] == outcome.values["served"] > 100_000
