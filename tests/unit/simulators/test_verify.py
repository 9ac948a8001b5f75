"""The verification itself: its theory agrees with published numbers, and it finds a kernel that is wrong."""

import math
from functools import cache

import pytest

from simulators.verify import LIMIT, Case, Measure, anchors, run, verify
from simulators.verify.case import Outcome
from simulators.verify.limits import SMALL_S, small_parts_bias
from simulators.verify.markov import Expected
from simulators.verify.theory import (
    bernoulli_pair,
    continuous_efficiency,
    continuous_pair,
    geometric_pair,
    geometric_pair_product_form,
    li_meerkov,
    unreliable_moments,
    workload,
)


@cache
def cases() -> tuple[Case, ...]:
    return tuple(anchors())


def case(name: str) -> Case:
    return next(c for c in cases() if c.name == name)


def test_there_are_anchors_of_every_section() -> None:
    assert len(cases()) >= 45
    sections = ["3.1", "3.2", "3.3", "3.4", "3.5a", "3.5b", "3.5c", "3.5d", "3.5e", "3.6", "3.7", "3.8"]
    assert {c.section for c in cases()} == set(sections)


def test_theory_from_the_parameters_agrees_with_the_published_constant() -> None:
    for each in cases():
        for measure in each.measures:
            if measure.known is not None:
                known = pytest.approx(measure.known, rel=2e-6, abs=1e-8)
                assert measure.law.exact == known, f"{each.name}, {measure.name}"
            assert measure.law.avar >= 0, f"{each.name}, {measure.name}"


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


SMALL = (
    ((0.01, 0.1), (0.01, 0.1), 5.0), ((0.01, 0.1), (0.01, 0.1), 10.0), ((0.01, 0.1), (0.01, 0.1), 50.0),
    ((0.05, 0.2), (0.03, 0.15), 6.0), ((0.01, 0.09), (0.01, 0.1), 10.0),
)  # fmt: skip


@pytest.mark.parametrize(("first", "second", "room"), SMALL)
def test_small_parts_differ_from_a_fluid_by_at_most_an_eighth_of_the_standard_error(
    first: tuple[float, float], second: tuple[float, float], room: float
) -> None:
    error = math.sqrt(continuous_pair(first, second, room).avar / 60_000)
    assert small_parts_bias(first, second, room) < error / 8


@pytest.mark.parametrize(("first", "second", "room"), SMALL)
def test_the_exact_line_in_cycles_tends_to_the_fluid_as_cycles_shorten(
    first: tuple[float, float], second: tuple[float, float], room: float
) -> None:
    def off(cut: float) -> float:
        (p1, r1), (p2, r2) = first, second
        line = geometric_pair_product_form((p1 * cut, r1 * cut), (p2 * cut, r2 * cut), round(room / cut) + 1)
        return line - continuous_efficiency(first, second, room)

    assert abs(off(SMALL_S)) < 2e-4
    assert off(SMALL_S / 2) == pytest.approx(off(SMALL_S) / 2, rel=0.05)


def test_the_variance_of_a_fluid_is_that_of_ever_shorter_cycles() -> None:
    errors = [
        abs(geometric_pair((0.05 * cut, 0.2 * cut), (0.03 * cut, 0.15 * cut), round(6 / cut) + 1).avar * cut - fluid)
        for fluid in [continuous_pair((0.05, 0.2), (0.03, 0.15), 6.0).avar]
        for cut in (1, 0.5, 0.25, 0.125)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * continuous_pair((0.05, 0.2), (0.03, 0.15), 6.0).avar


BERNOULLI = (
    (0.9, 0.9, 1, 0.8181818182), (0.9, 0.9, 2, 6 / 7), (0.9, 0.9, 5, 0.8823529412), (0.9, 0.8, 3, 0.7915357910),
    (0.8, 0.9, 3, 0.7915357910), (0.7, 0.7, 2, 0.6086956522), (0.95, 0.9, 4, 0.8974958026),
)  # fmt: skip


@pytest.mark.parametrize(("first", "second", "most", "known"), BERNOULLI)
def test_slots_give_the_figures_of_li_and_meerkov_when_a_place_is_free_at_once(
    first: float, second: float, most: int, known: float
) -> None:
    assert bernoulli_pair(first, second, most, at_once=True).exact == pytest.approx(known, rel=1e-9)
    assert li_meerkov(first, second, most) == pytest.approx(known, rel=1e-9)


@pytest.mark.parametrize(("first", "second", "most", "known"), BERNOULLI)
def test_no_number_of_places_gives_the_figures_of_li_and_meerkov_when_a_place_is_free_one_slot_later(
    first: float, second: float, most: int, known: float
) -> None:
    assert bernoulli_pair(first, second, most).exact < known - 1e-4
    assert bernoulli_pair(first, second, most + 1).exact > known + 1e-4


def test_slots_of_equal_machines_agree_with_the_closed_form() -> None:
    assert bernoulli_pair(0.7, 0.7, 4).exact == pytest.approx(0.7 * (1 - 0.3 / (4 + 1 - 1.4)), rel=1e-12)


def test_breakdowns_give_the_wait_of_hopp_and_spearman() -> None:
    assert workload(0.7, unreliable_moments(1.0, 100, 10)).exact == pytest.approx(4.884783, rel=1e-6)


QUICK = (
    "μ=1,1,1 B=0,0", "M/M/1/5 λ=0.8", "tool life 50, 12 s, change 90 s", "closed line of 3, 6 carriers",
    "rigid line, p,r=5 x 0.01,0.1", "slots, p=0.9,0.8 N=3, block before service",
)  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_the_kernel_agrees_with_theory(name: str) -> None:
    assert all(outcome.passed for outcome in run(case(name), 0.1, seed=11))


def test_a_kernel_with_an_error_of_five_per_cent_fails() -> None:
    right = case("μ=1,1,1 B=0,0")
    through = right.measures[0]
    wrong = Measure(through.name, Expected(through.law.exact * 1.05, through.law.avar), through.read)
    outcome = run(Case(right.section, right.name, right.plant, (wrong,), right.length_s), 0.3, seed=11)[0]
    assert abs(outcome.z) > LIMIT
    assert not outcome.passed


def test_an_exact_anchor_that_is_off_fails() -> None:
    right = case("tool life 50, 12 s, change 90 s")
    wrong = Measure("parts per s", Expected(50 / 691, 0.0), right.measures[0].read)
    outcome = run(Case("3.7", "wrong", right.plant, (wrong,), right.length_s), 1.0, seed=1)[0]
    assert math.isinf(outcome.z)


def test_the_table_shows_each_outcome_and_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.verify.anchors", lambda: iter([case("tool life 50, 12 s, change 90 s")]))
    told: list[str] = []
    assert verify(told.append, quick=True)
    assert "1/1" in told[1]
    assert "exact" in told[1]
    assert told[-1] == "1 anchors, 2 figures: none with |z| of 4 or more"


def test_one_failed_figure_fails_the_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Outcome("3.1", "x", 1.0, 2.0, 5.0)
    monkeypatch.setattr("simulators.verify.anchors", lambda: iter(cases()[:1]))
    monkeypatch.setattr("simulators.verify.run", lambda case, share, seed: [wrong])
    told: list[str] = []
    assert not verify(told.append)
    assert "FAILED" in told[1]
