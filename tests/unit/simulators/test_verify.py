"""The verification itself: its theory agrees with published numbers, and it finds a kernel that is wrong."""

import math

import pytest

from simulators.verify import LIMIT, Case, Measure, anchors, run, verify
from simulators.verify.case import Outcome
from simulators.verify.markov import Law
from simulators.verify.theory import geometric_pair, geometric_pair_product_form, unreliable_moments, workload

CASES = list(anchors())


def case(name: str) -> Case:
    return next(c for c in CASES if c.name == name)


def test_there_are_anchors_of_every_section() -> None:
    assert len(CASES) >= 45
    assert {c.section for c in CASES} == {"3.1", "3.2", "3.3", "3.4", "3.5a", "3.5b", "3.6", "3.7"}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_theory_from_the_parameters_agrees_with_the_published_constant(case: Case) -> None:
    for measure in case.measures:
        if measure.known is not None:
            assert measure.law.exact == pytest.approx(measure.known, rel=2e-6, abs=1e-8), measure.name
        assert measure.law.avar >= 0


def test_published_variances_agree() -> None:
    def avar(name: str, measure: int = 0) -> float:
        return case(name).measures[measure].law.avar

    assert avar("M/M/1 λ=0.5", 1) == pytest.approx(24.0, rel=1e-6)
    assert avar("M/M/1/5 λ=0.8") == pytest.approx(0.485626, rel=1e-5)
    assert avar("5 machines, 1 to repair, 100/10") == pytest.approx(1.1967, rel=1e-4)
    assert avar("μ=1,1,1 B=0,0") == pytest.approx(0.23234, rel=1e-4)
    assert avar("operating failures μ=1,1.2 p=0.05,0.03 N=8") == pytest.approx(1.77037, rel=1e-5)
    assert avar("μ=1,1,1 B=4,4 p=0.01,0.01,0.01 scrap=0.02,0.03,0.01") == pytest.approx(1.62648, rel=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "most"), [((0.05, 0.2), (0.03, 0.15), 8), ((0.006, 0.06), (0.009, 0.08), 20)]
)
def test_the_chain_of_two_geometric_machines_agrees_with_the_product_form(
    first: tuple[float, float], second: tuple[float, float], most: int
) -> None:
    assert geometric_pair(first, second, most).exact == pytest.approx(
        geometric_pair_product_form(first, second, most), rel=1e-12
    )


def test_breakdowns_give_the_wait_of_hopp_and_spearman() -> None:
    assert workload(0.7, unreliable_moments(1.0, 100, 10)).exact == pytest.approx(4.884783, rel=1e-6)


QUICK = ("μ=1,1,1 B=0,0", "M/M/1/5 λ=0.8", "tool life 50, 12 s, change 90 s", "closed line of 3, 6 carriers")


@pytest.mark.parametrize("name", QUICK)
def test_the_kernel_agrees_with_theory(name: str) -> None:
    assert all(outcome.passed for outcome in run(case(name), 0.1, seed=11))


def test_a_kernel_that_is_off_by_five_per_cent_is_found() -> None:
    right = case("μ=1,1,1 B=0,0")
    through = right.measures[0]
    wrong = Measure(through.name, Law(through.law.exact * 1.05, through.law.avar), through.read)
    outcome = run(Case(right.section, right.name, right.plant, (wrong,), right.length_s), 0.3, seed=11)[0]
    assert abs(outcome.z) > LIMIT
    assert not outcome.passed


def test_an_exact_anchor_that_is_off_fails() -> None:
    right = case("tool life 50, 12 s, change 90 s")
    wrong = Measure("parts per s", Law(50 / 691, 0.0), right.measures[0].read)
    outcome = run(Case("3.7", "wrong", right.plant, (wrong,), right.length_s), 1.0, seed=1)[0]
    assert math.isinf(outcome.z)


def test_the_table_says_each_outcome_and_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.verify.anchors", lambda: iter([case("tool life 50, 12 s, change 90 s")]))
    told: list[str] = []
    assert verify(told.append, quick=True)
    assert "1/1" in told[1]
    assert "exact" in told[1]
    assert told[-1] == "1 anchors, 2 figures: none with |z| of 4 or more"


def test_one_failure_fails_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Outcome("3.1", "x", 1.0, 2.0, 5.0)
    monkeypatch.setattr("simulators.verify.anchors", lambda: iter(CASES[:1]))
    monkeypatch.setattr("simulators.verify.run", lambda case, share, seed: [wrong])
    told: list[str] = []
    assert not verify(told.append)
    assert "FAILED" in told[1]
