"""What causes what: speed has its price, care renews what it says, crews keep their hours, wear stays, circles end."""

import math
from collections.abc import Callable, Mapping

import pytest
from pydantic import ValidationError

from simulators.flow import Factory
from simulators.plant import Plant
from simulators.plant.checks import warnings_of
from simulators.states import State

HOUR = 3600.0
DAY = 86_400.0


def plant(*stations: Mapping[str, object], **more: object) -> Plant:
    """A plant of one line of stations that measure nothing, unless they say so."""
    line_keys: dict[str, object] = {key: more.pop(key) for key in ("standstill", "shifts", "source") if key in more}
    usual: Mapping[str, object] = {"signals": [], "cycle": 10}
    whole = [{**usual, **station} for station in stations]
    line = {"name": "l", "stations": whole, **line_keys}
    return Plant.model_validate({"name": "p", "site": "s", "lines": [line], **more})


def ran(made: Plant, until_s: float, before: Callable[[Factory], None] = lambda factory: None) -> Factory:
    factory = Factory(made, seed=1)
    before(factory)
    factory.run(until_s)
    return factory


CIRCLE = (
    {"name": "a"},
    {"name": "b", "buffer": 1, "defects": [{"code": "d", "probability": 0.05, "to": "a"}]},
)  # fmt: skip


def test_rework_into_full_buffers_does_not_stop_the_line() -> None:
    line = ran(plant(*CIRCLE), 4 * DAY).lines[0]
    assert not line.stalled
    assert line.delivered == pytest.approx(0.95 * 4 * DAY / 10, rel=0.01)
    assert line.entered == line.delivered + line.lost + line.parts
    assert line.parts <= 3


def test_a_belt_that_is_not_full_closes_no_circle() -> None:
    belt = {
        "name": "belt", "kind": "conveyor", "places": 3, "cycle": {"law": "exponential", "mean": 1}, "buffer": 0,
        "defects": [{"code": "d", "probability": 0.2, "to": "belt", "at_most": 2}],
    }  # fmt: skip
    factory = Factory(plant(belt), seed=0)
    line, most = factory.lines[0], 0
    while factory.env.peek() <= HOUR:
        factory.env.step()
        most = max(most, len(line.buffers["belt"]))
    assert most == 1, "one part aside at a time, and only while the belt is full"
    assert not line.stalled
    assert line.delivered > 2000


def test_a_stalled_line_reports_the_standstill() -> None:
    factory = ran(plant(*CIRCLE, standstill="wait"), DAY)
    stalled = [change for change in factory.take_changes() if change.name == "stalled"]
    assert factory.lines[0].stalled
    assert [(change.machine, change.value) for change in stalled] == [("l/a", True), ("l", True)]
    assert {machine.state for machine in factory.machines} == {State.BLOCKED}


def test_the_plant_file_warns_of_a_standstill() -> None:
    assert warnings_of(plant(*CIRCLE)) == []
    (warning,) = warnings_of(plant(*CIRCLE, standstill="wait"))
    assert "a, b" in warning
    roomy = ({"name": "a", "buffer": "unlimited"}, {**CIRCLE[1]})
    assert warnings_of(plant(*roomy, standstill="wait")) == []


@pytest.mark.parametrize("counts", ["operating", "calendar", "cycles"])
def test_maintenance_renews_failures_of_every_kind(counts: str) -> None:
    """Every failure comes 100 s (10 cycles) after the last renewal, and care comes before it each time."""
    every = 10 if counts == "cycles" else 100
    care = {"by": "calendar", "every": 50, "takes": 1, "when": "at_once"}
    failing = {"name": "a", "failures": [{"every": every, "repair": 5, "counts": counts}]}
    assert ran(plant({**failing, "maintenance": [{**care, "renews": True}]}), 10_000).machines[0].failures == 0
    assert ran(plant({**failing, "maintenance": [{**care, "renews": False}]}), 10_000).machines[0].failures > 50


def test_repairs_wait_for_the_shift_of_the_crew() -> None:
    """A failure of 8 h at 13:00, an early shift from 6 to 14 o'clock: an hour of work that day, seven the next."""
    shifts = [{"from": "06:00", "to": "14:00"}]
    crew = {"name": "mechanics", "shifts": shifts}
    failing = {"name": "a", "failures": [{"every": 13 * HOUR, "repair": 8 * HOUR, "crew": "mechanics"}]}
    made = plant(failing, crews=[crew])
    machine = ran(made, 2 * DAY).machines[0]
    assert machine.account.seconds(2 * DAY)[State.DOWN] == pytest.approx(24 * HOUR)  # until 13:00 of the next day
    assert ran(made, 2 * DAY).crews["mechanics"].worked_s == 8 * HOUR


def test_ten_repairs_of_eight_hours_take_eighty_hours_of_the_shifts() -> None:
    shifts = [{"from": "06:00", "to": "14:00"}]
    failing = {"name": "a", "failures": [{"every": 2 * HOUR, "repair": 8 * HOUR, "crew": "mechanics"}]}
    made = plant(failing, crews=[{"name": "mechanics", "shifts": shifts}], shifts=shifts)
    machine = ran(made, 14 * DAY).machines[0]
    seconds = machine.account.seconds(14 * DAY)
    assert seconds[State.WORKING] + seconds[State.DOWN] == pytest.approx(14 * 8 * HOUR)
    assert seconds[State.DOWN] == pytest.approx(seconds[State.WORKING] / (2 * HOUR) * 8 * HOUR, abs=8 * HOUR)


def test_wear_stays_when_the_machine_stops_and_falls_at_a_tool_change() -> None:
    wear = {"kind": "wear", "name": "tip", "unit": "%", "high": 150, "new": 0, "worn": 100, "life": 1000}
    station = {"name": "a", "signals": [wear], "tool": {"life": 50, "change": 20}}
    factory = Factory(plant(station), seed=1)
    (machine,) = factory.machines
    tip = machine.signals["tip"]
    factory.run(400)
    machine.stop(State.HELD)
    factory.run(450)
    assert tip.value(450) == pytest.approx(40.0)
    machine.release(State.HELD)
    factory.run(600.5)  # the 50th part is done at 550, the tool is changed until 570
    assert tip.value(600.5) == pytest.approx(100 * 30.5 / 1000)


def test_speed_costs_power_by_its_cube() -> None:
    power = {"working": 3000, "idle": 1000}
    factory = Factory(plant({"name": "a", "power": power}), seed=1)
    (machine,) = factory.machines
    factory.run(1000)
    machine.set_speed(2.0)
    factory.run(1500)
    machine.set_speed(1.0)
    factory.run(2000)
    assert machine.energy_j(2000) == pytest.approx(1000 * 3000 + 500 * (1000 + 2000 * 8) + 500 * 3000)
    assert machine.energy_j(2500) - machine.energy_j(2000) == pytest.approx(500 * 3000)


def test_speed_costs_failures_and_tools() -> None:
    """Twice as fast: failures after a quarter of the working time, tools for an eighth of the parts."""
    station = {
        "name": "a", "failures": [{"every": 400, "repair": 10}], "tool": {"life": 80, "change": 30},
        "speed": {"failures": 2, "tool": 3},
    }  # fmt: skip
    (machine,) = ran(plant(station), 100_000, lambda factory: factory.machines[0].set_speed(2.0)).machines
    seconds = machine.account.seconds(100_000)
    assert machine.failures == math.floor(seconds[State.WORKING] / 100)
    changes = seconds[State.SETUP] / 30
    assert machine.cycles / 10 == pytest.approx(changes, abs=1.01)


def test_speed_costs_scrap() -> None:
    station = {"name": "a", "scrap": 0.02}
    (machine,) = ran(plant(station), 300_000, lambda factory: factory.machines[0].set_speed(3.0)).machines
    assert machine.scrap / machine.cycles == pytest.approx(0.18, abs=0.005)


def test_an_exponent_of_zero_makes_speed_free() -> None:
    free = {"power": 0, "failures": 0, "defects": 0, "tool": 0}
    station = {"name": "a", "scrap": 0.02, "speed": free}
    (machine,) = ran(plant(station), 200_000, lambda factory: factory.machines[0].set_speed(3.0)).machines
    assert machine.scrap / machine.cycles == pytest.approx(0.02, abs=0.0025)


def test_a_price_below_zero_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        plant({"name": "a", "speed": {"power": -1}})
