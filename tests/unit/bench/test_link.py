"""A link of a limited rate: what passes is what the rate says, however the sender comes."""

import pytest

from tests.bench.chain.backlog import used_share
from tests.bench.chain.link import SLICE_S, Budget


def test_a_full_link_passes_its_rate() -> None:
    budget, now_s = Budget(1_000_000.0), 100.0
    for _ in range(1000):
        now_s += budget.wait_s(5_000, now_s)
    assert abs((now_s - 100.0) - 5.0) <= 2 * SLICE_S


def test_a_late_wake_up_is_compensated_and_a_pause_of_the_sender_is_not() -> None:
    budget = Budget(1_000_000.0)
    assert budget.wait_s(5_000, 100.0) == 0.0
    late = budget.wait_s(5_000, 100.0 + 0.002)
    assert 0.0 < late < 0.005
    assert budget.wait_s(10_000, 200.0) == pytest.approx(SLICE_S)


def test_without_a_limit_nothing_waits() -> None:
    assert Budget(0.0).wait_s(10**9, 1.0) == 0.0


def test_the_used_share_of_a_link_is_of_the_time_between_two_instants() -> None:
    looks = [(0.0, 0), (1.0, 50), (2.0, 150), (3.0, 250), (4.0, 251)]
    assert used_share(looks, 0.5, 3.5, 100.0) == 1.0
    assert used_share(looks, 0.5, 3.5, 0.0) == 0.0
    assert used_share(looks, 2.5, 2.6, 100.0) == 0.0
