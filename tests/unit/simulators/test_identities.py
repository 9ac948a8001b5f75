"""What holds exactly on every run, whatever the numbers: no statistics here."""

import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.flow import Factory
from simulators.plant import Orders, Plant, load
from simulators.states import State

CONFIG = Path(__file__).parents[3] / "config"
PLANTS = sorted(
    path for path in [CONFIG / "plant.yaml", *(CONFIG / "plants").glob("*.yaml")] if path.name != "stress.yaml"
)


def plant_of(stations: list[dict[str, object]], **line: object) -> Plant:
    """A plant of one line whose stations measure nothing."""
    quiet = [{"signals": [], **station} for station in stations]
    return Plant.model_validate({"name": "p", "site": "s", "lines": [{"name": "l", "stations": quiet, **line}]})


@pytest.mark.parametrize("path", PLANTS, ids=lambda p: p.stem)
def test_parts_are_conserved_at_every_event_and_no_buffer_overflows(path: Path) -> None:
    factory = Factory(load(path), seed=3, keeping=False)
    for _ in range(1500):
        factory.env.step()
        for line in factory.lines:
            assert line.entered == line.delivered + line.lost + line.parts
            assert line.parts >= sum(len(buffer) for buffer in line.buffers.values())
            assert all(len(buffer) <= buffer.capacity for buffer in line.buffers.values())


@pytest.mark.parametrize("path", PLANTS, ids=lambda p: p.stem)
def test_every_second_is_in_exactly_one_state(path: Path) -> None:
    factory = Factory(load(path), seed=3, keeping=False)
    factory.run(800.25)
    for machine in factory.machines:
        assert sum(machine.account.seconds(800.25).values()) == pytest.approx(800.25, rel=1e-12)


BUSY = () if os.environ.get("EVERY_HOUR") == "true" else ("bottling", "plant-50")
"""The plants with most events work a shift and a half in a usual run, as the others a day; in `.ci/long` a day, too."""


@pytest.mark.parametrize("hours", [0.4, pytest.param(24.5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", PLANTS, ids=lambda p: p.stem)
def test_no_shipped_plant_comes_to_a_standstill(path: Path, hours: float) -> None:
    hours = min(hours, 12.5) if path.stem in BUSY else hours
    monday_morning = datetime(2026, 1, 5, 6, tzinfo=UTC)
    factory = Factory(load(path), seed=5, keeping=False, start=monday_morning)
    factory.run(hours * 3600)
    before = [line.delivered for line in factory.lines]
    factory.run((hours + 0.3) * 3600)
    assert all(line.delivered > made for line, made in zip(factory.lines, before, strict=True))


def test_littles_law_holds_exactly_in_a_run_that_ends_empty() -> None:
    order = {"kind": "orders", "orders": [{"product": "x", "quantity": 300}], "repeat": False}
    jam = {"every": {"law": "exponential", "mean": 40}, "repair": {"law": "exponential", "mean": 9}}
    stations: list[dict[str, object]] = [
        {"name": "a", "cycle": {"law": "gamma", "mean": 3, "cv": 0.7}, "failures": [jam]},
        {"name": "b", "cycle": {"law": "uniform", "low": 1, "high": 5}, "buffer": 2, "machines": 2, "scrap": 0.1},
        {"name": "c", "cycle": 2, "buffer": 1, "defects": [{"code": "d", "probability": 0.2, "to": "b"}]},
    ]
    factory = Factory(plant_of(stations, source=order), seed=9)
    factory.run(20_000)
    line = factory.lines[0]
    assert (line.parts, line.delivered + line.lost) == (0, 300)
    assert line.part_seconds(20_000) == pytest.approx(line.sojourn_s, rel=1e-12)


def test_failures_at_work_take_the_same_share_of_work_everywhere() -> None:
    jam = {"every": 50, "repair": 5}
    stations: list[dict[str, object]] = [
        {"name": f"m{i}", "cycle": {"law": "exponential", "mean": 1 + i / 3}, "buffer": 1, "failures": [jam]}
        for i in range(4)
    ]
    factory = Factory(plant_of(stations), seed=2)
    factory.run(4_000)
    for machine in factory.machines:
        spent = machine.account.seconds(4_000)
        assert spent[State.DOWN] / spent[State.WORKING] == pytest.approx(5 / 50, rel=0.04)


def departures(buffers: list[int], seed: int) -> list[float]:
    """When parts leave a line of three stations with the same work per station and part, whatever the buffers."""
    stations: list[dict[str, object]] = [
        {"name": f"m{i}", "cycle": {"law": "exponential", "mean": 1}, "buffer": places}
        for i, places in enumerate([0, *buffers])
    ]
    factory = Factory(plant_of(stations), seed)
    times: list[float] = []
    factory.lines[0].departures = times
    factory.run(100)
    return times


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=2), st.integers(0, 1), st.integers(0, 10_000))
def test_a_larger_buffer_never_makes_the_nth_departure_later(buffers: list[int], which: int, seed: int) -> None:
    larger = [places + (index == which) for index, places in enumerate(buffers)]
    small, large = departures(buffers, seed), departures(larger, seed)
    assert len(large) >= len(small)
    assert all(after <= before + 1e-9 for before, after in zip(small, large, strict=False))


def test_a_reversed_line_makes_as_much() -> None:
    def made(means: list[float]) -> int:
        stations: list[dict[str, object]] = [
            {"name": f"m{10 * mean:g}", "cycle": {"law": "exponential", "mean": mean}, "buffer": 1} for mean in means
        ]
        factory = Factory(plant_of(stations), seed=1)
        factory.run(4_000)
        return factory.lines[0].delivered

    assert made([1.0, 1.5, 0.8]) == pytest.approx(made([0.8, 1.5, 1.0]), rel=0.04)


def test_another_machine_does_not_change_the_random_numbers_of_the_others() -> None:
    def cycles(names: list[str]) -> list[float]:
        stations: list[dict[str, object]] = [
            {"name": name, "cycle": {"law": "gamma", "mean": 2, "cv": 0.3}, "buffer": "unlimited"} for name in names
        ]
        factory = Factory(plant_of(stations), seed=1)
        factory.run(500)
        return [float(c.value) for c in factory.take_changes() if c.machine == "l/a" and c.name == "cycle_s"]

    assert cycles(["a", "b"]) == pytest.approx(cycles(["a", "b", "c"]))


def test_counts_go_up_by_one_and_states_change_at_every_change() -> None:
    factory = Factory(load(CONFIG / "plant.yaml"), seed=1)
    factory.run(600)
    changes = factory.take_changes()
    for machine in factory.machines:
        good = [c.value for c in changes if c.machine == machine.path and c.name == "good"]
        states = [c.value for c in changes if c.machine == machine.path and c.name == "state"]
        assert good == list(range(1, machine.good + 1))
        assert all(before != after for before, after in pairwise(states))


def test_orders_are_made_in_full_and_in_order() -> None:
    book = {"product": "x", "quantity": 3}, {"product": "y", "quantity": 2, "at": 100}
    source = Orders.model_validate({"kind": "orders", "orders": book, "repeat": False})
    factory = Factory(plant_of([{"name": "a", "cycle": 1}], source=source.model_dump()), seed=1)
    factory.run(1000)
    assert [part.product for part in factory.lines[0].finished] == ["x", "x", "x", "y", "y"]
    assert [part.entered_s for part in factory.lines[0].finished] == [0, 1, 2, 100, 101]
