"""The key figures of ISO 22400: worked examples, what is undefined, what adds up, and telemetry against the truth."""

from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.account import Account
from simulators.flow import Factory
from simulators.kpis import Elements, Record, elements_of, elements_of_records, figures, total
from simulators.plant import load
from simulators.states import State

DEMO = Path(__file__).parents[3] / "config" / "plant.yaml"
COUNTS = st.integers(0, 1000)
SECONDS = st.integers(0, 10**6).map(float)
ELEMENTS = st.builds(
    elements_of,
    st.fixed_dictionaries(dict.fromkeys(State, SECONDS)),
    good=COUNTS,
    scrap=COUNTS,
    ideal_s=SECONDS,
    failures=COUNTS,
    energy_j=SECONDS,
)


def test_the_worked_example_of_a_shift() -> None:
    minutes = dict.fromkeys(State, 0.0) | {State.WORKING: 373 * 60.0, State.DOWN: 47 * 60.0, State.OFF: 60 * 60.0}
    f = figures(elements_of(minutes, good=19_271 - 423, scrap=423, ideal_s=19_271 * 1.0))
    assert f.availability == pytest.approx(0.88809524)
    assert f.effectiveness == pytest.approx(0.86108132)
    assert f.quality_ratio == pytest.approx(0.97804992)
    assert f.oee == pytest.approx(0.74793651)


def test_setup_counts_against_oee_but_not_against_nee() -> None:
    spent = dict.fromkeys(State, 0.0) | {State.WORKING: 60.0, State.SETUP: 40.0}
    f = figures(elements_of(spent, good=6, scrap=0, ideal_s=60.0))
    assert f.oee == pytest.approx(0.6)
    assert f.nee == pytest.approx(1.0)
    assert f.setup_rate == pytest.approx(0.4)


def test_nothing_made_and_nothing_planned_have_no_value() -> None:
    assert all(value is None for value in astuple(figures(Elements())))
    idle = figures(elements_of(dict.fromkeys(State, 0.0) | {State.STARVED: 10.0}, good=0, scrap=0, ideal_s=0.0))
    assert idle.availability == 0.0
    assert {idle.effectiveness, idle.quality_ratio, idle.oee, idle.mtbf_s} == {None}


def test_starving_costs_availability_but_not_up_share() -> None:
    spent = dict.fromkeys(State, 0.0) | {State.WORKING: 50.0, State.STARVED: 40.0, State.DOWN: 10.0}
    f = figures(elements_of(spent, good=5, scrap=0, ideal_s=50.0, failures=2, energy_j=1000.0))
    assert (f.availability, f.up_share, f.mtbf_s, f.mttr_s) == (0.5, 0.9, 25.0, 5.0)
    assert f.energy_per_good_j == 200.0


@given(ELEMENTS)
def test_oee_is_ideal_time_of_good_parts_over_planned_time(e: Elements) -> None:
    f = figures(e)
    if f.oee is not None:
        assert f.oee == pytest.approx(e.ideal_s * e.good / (e.good + e.scrap) / e.pbt_s)


@given(st.lists(ELEMENTS, min_size=1, max_size=5))
def test_elements_add_up_whatever_their_order(parts: list[Elements]) -> None:
    forth, back = total(parts), total(reversed(parts))
    assert astuple(forth) == pytest.approx(astuple(back))
    assert forth.pbt_s == pytest.approx(forth.apt_s + forth.aust_s + forth.adet_s)


@given(st.lists(st.tuples(st.sampled_from(list(State)), st.floats(0, 100)), max_size=30))
def test_the_account_covers_all_time(course: list[tuple[State, float]]) -> None:
    account, now_s = Account(State.OFF, 5.0), 5.0
    for state, lasts_s in course:
        account.enter(state, now_s)
        now_s += lasts_s
    assert sum(account.seconds(now_s).values()) == pytest.approx(now_s - 5.0)
    assert account.seconds_in(account.state, now_s) == account.seconds(now_s)[account.state]


def test_recorded_telemetry_gives_the_same_elements_as_the_machine() -> None:
    factory = Factory(load(DEMO), seed=4)
    factory.run(3000)
    changes = factory.take_changes()
    for machine in factory.machines:
        records: list[Record] = [(c.at_s, c.name, c.value) for c in changes if c.machine == machine.path]
        records += [(3000.0, "energy_j", machine.energy_j(3000.0))]
        told = elements_of_records(records, 3000.0, machine.ideal_cycle_s)
        assert astuple(told) == pytest.approx(astuple(machine.elements(3000.0)))


def test_telemetry_survives_repeats_and_a_counter_that_begins_anew() -> None:
    records: list[Record] = [
        (1.0, "state", "working"),
        (2.0, "good", 11),
        (2.0, "good", 11),
        (3.0, "good", 12),
        (4.0, "good", 1),
    ]
    e = elements_of_records(records, 5.0, 1.0, counters={"good": 10})
    assert (e.good, e.apt_s, e.adet_s) == (3, 4.0, 1.0)


def test_a_line_sums_its_machines_and_divides_once() -> None:
    factory = Factory(load(DEMO), seed=4)
    factory.run(3000)
    line = figures(total(machine.elements(3000.0) for machine in factory.machines))
    working = sum(machine.worked_s(3000.0) for machine in factory.machines)
    assert line.availability == pytest.approx(working / (3 * 3000.0))
