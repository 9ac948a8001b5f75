"""Two flows meet: a part waits for its component, the feeding line for room, and nothing is lost or built in twice."""

from typing import Any

import pytest

from simulators.flow import Factory
from simulators.plant import Plant
from simulators.plant.checks import problems_of
from simulators.states import State


def plant(feeder_s: float, main_s: float, places: int = 2, **more: Any) -> Plant:
    built_in = {"name": "drive", "line": "drives", "places": places, **more}
    lines = [
        {"name": "drives", "stations": [{"name": "d", "cycle": feeder_s, "signals": []}]},
        {"name": "cars", "stations": [{"name": "m", "cycle": main_s, "signals": [], "components": [built_in]}]},
    ]
    return Plant.model_validate({"name": "p", "site": "s", "lines": lines})


@pytest.mark.parametrize(("feeder_s", "main_s"), [(10.0, 7.0), (7.0, 10.0), (10.0, 10.0)])
def test_the_slower_flow_sets_the_pace_and_each_part_gets_one_component(feeder_s: float, main_s: float) -> None:
    factory = Factory(plant(feeder_s, main_s), seed=1)
    factory.run(10_000)
    drives, cars = factory.lines
    assert cars.delivered == pytest.approx(10_000 / max(feeder_s, main_s), abs=2)
    assert drives.delivered - cars.delivered in (0, 1)  # one may be in work
    assert drives.entered == drives.delivered + drives.parts
    assert drives.parts <= 4
    serials = [part.components for part in cars.finished]
    first = cars.delivered - len(serials) + 1
    assert serials == [[f"cars/m/drive/drives-{first + number:08}"] for number in range(len(serials))]
    blocked = factory.machine("drives/d").account.seconds_in(State.BLOCKED, 10_000)
    starved = factory.machine("cars/m").account.seconds_in(State.STARVED, 10_000)
    assert (blocked > 2000) == (feeder_s < main_s)
    assert (starved > 2000) == (feeder_s > main_s)


def test_feeders_that_cannot_be_are_told_with_their_place() -> None:
    assert not problems_of(plant(1, 1))
    [(place, text)] = problems_of(plant(1, 1, line="nowhere"))
    assert place == ("lines", 1, "stations", 0, "components", 0, "line")
    assert "no line nowhere" in text
    assert any("into themselves" in text for _, text in problems_of(plant(1, 1, line="cars")))
