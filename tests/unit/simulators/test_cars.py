"""Cars: control units are flashed, a bad version rises as one defect code, each car has a valid number of its own."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from simulators.errors import ConfigError
from simulators.fleet import members
from simulators.flow import Factory
from simulators.flow.curves import Curves, Cycle
from simulators.flow.flashing import Flash
from simulators.flow.people import TURN_S
from simulators.flow.results import Results
from simulators.plant import Plant, load
from simulators.plant.checks import problems_of
from simulators.plant.vehicles import Vin, check_digit, is_vin

PLANTS = Path(__file__).parents[3] / "config" / "plants"
VIN: dict[str, Any] = {"manufacturer": "WCF", "descriptor": "SD1AB", "plant": "G"}
DAY = 86_400.0


def plant(station: dict[str, Any], *, orders: list[dict[str, Any]] | None = None, **line: Any) -> Plant:
    made = {"name": "l", "vin": VIN, "stations": [{"name": "s", "cycle": 100, "signals": [], **station}], **line}
    if orders is not None:
        made["source"] = {"kind": "orders", "orders": orders}
    return Plant.model_validate({"name": "p", "site": "s", "crews": [{"name": "team", "people": 3}], "lines": [made]})


@pytest.mark.parametrize("vin", ["1M8GDM9AXKP042788", "11111111111111111", "5GZCZ43D13S812715"])
def test_the_check_digit_is_that_of_the_rule(vin: str) -> None:
    assert check_digit(vin) == vin[8]
    assert is_vin(vin)
    wrong = [f"{vin[:n]}{'2' if vin[n] != '2' else '3'}{vin[n + 1 :]}" for n in (0, 5, 16)]
    assert not any(map(is_vin, (*wrong, vin[:-1], f"{vin[:-1]}I")))


def test_cars_of_all_products_and_years_have_numbers_of_their_own() -> None:
    rule = Vin.model_validate({**VIN, "descriptors": {"estate": "ES1AB"}})
    numbers = [rule.of(product, n) for n in (1, 999_999, 1_000_000, 1_000_001) for product in ("sedan", "estate")]
    assert all(map(is_vin, numbers))
    assert len(set(numbers)) == 8
    assert numbers[0][9] == "T"  # 2026
    assert numbers[-1][9] == "V"


def test_each_good_car_leaves_with_its_number() -> None:
    factory = Factory(load(PLANTS / "end-of-line.yaml"), seed=1)
    factory.run(DAY / 4)
    line = factory.lines[0]
    left = [str(change.value) for change in factory.take_changes() if change.name == "vin"]
    assert len(left) == line.delivered > 100
    assert len(set(left)) == len(left)
    assert all(map(is_vin, left))


def test_attempts_cost_their_time_and_the_last_one_a_defect() -> None:
    ecus = [{"name": "a", "share": 3, "fails": 0.2, "attempts": 2, "defect": "dead"}, {"name": "b", "share": 1}]
    factory = Factory(plant({"ecus": ecus, "defects": [{"code": "other", "probability": 0}, {"code": "dead",
                      "probability": 0}]}), seed=3, keeping=False)  # fmt: skip
    factory.run(40 * DAY)
    machine = factory.machines[0]
    share = 0.2 * 0.2
    assert machine.defects == {"dead": machine.scrap}
    assert abs(machine.scrap / machine.cycles - share) < 4 * math.sqrt(share / machine.cycles)
    mean_s = machine.worked_s(40 * DAY) / machine.cycles  # a second attempt of three quarters of the cycle
    assert mean_s == pytest.approx(100 * (1 + 0.2 * 0.75), rel=0.01)


def test_a_bad_version_comes_with_its_order_and_rises_as_its_code() -> None:
    factory = Factory(load(PLANTS / "end-of-line.yaml"), seed=1, keeping=False)
    codes: Counter[tuple[bool, str]] = Counter()
    flashed: Counter[bool] = Counter()
    for machine in factory.machines[1:3]:
        machine.witnesses.append(
            lambda part, began_s: (
                flashed.update([part.software.get("gateway") == "2.4.0"]),
                codes.update([(part.software.get("gateway") == "2.4.0", part.visits[-1].verdict)]),
            )[0]
        )
    factory.run(5 * DAY)

    def rate(bad: bool, code: str) -> float:
        return codes[bad, code] / flashed[bad]

    assert rate(True, "bus-silent") == pytest.approx(0.2, abs=0.03)
    assert rate(False, "bus-silent") < 0.01
    assert abs(rate(True, "ecu-dead") - rate(False, "ecu-dead")) < 0.01
    orders = {part.order % 4 for part in factory.lines[0].finished if part.software["gateway"] == "2.4.0"}
    assert orders == {3}


def test_part_results_tell_person_number_software_and_attempts() -> None:
    ecus = [{"name": "a", "version": "7.1", "fails": 0.5, "attempts": 9}]
    made = plant({"ecus": ecus, "team": "team", "machines": 2, "defects": [{"code": "x", "probability": 0}]})
    factory = Factory(made, seed=1)
    found = []
    for machine in factory.machines:
        machine.results = Results(machine.station.machine_names)
        factory.run(factory.now_s + TURN_S + 10)
        own = [part for part in factory.lines[0].finished if part.visits[-1].machine == machine.name]
        results = [machine.results.take(part.serial, factory.now_s) for part in own]
        found += [(machine.name, result) for result in results if result is not None]
    name, first = found[0]
    assert (name, first.software, first.person) == ("s-1", ("a=7.1",), "team-1")
    assert is_vin(first.vin)
    assert any(result.retries for _, result in found)
    assert {result.person for _, result in found} <= {"team-1", "team-2", "team-3"}


def test_a_worse_machine_makes_more_defects() -> None:
    worse = {"by": "machine", "machine": "s-2", "defects": 4}
    made = plant({"machines": 2, "scrap": 0.02, "causes": [worse]})
    factory = Factory(made, seed=2, keeping=False)
    factory.run(40 * DAY)
    shares = [machine.scrap / machine.cycles for machine in factory.machines]
    assert shares == pytest.approx([0.02, 0.08], abs=0.005)


def test_progress_falls_back_with_a_failed_attempt() -> None:
    made = plant({"ecus": [{"name": "a"}], "defects": [{"code": "x", "probability": 0}],
                  "curves": [{"name": "p", "kind": "progress", "unit": "%", "points": 5}]})  # fmt: skip
    (spec,) = made.lines[0].stations[0].curves
    curves = Curves((spec,), 1, "l/s")
    again = Cycle(1.0, 1, 0.0, "", (Flash("a", "1", 1.0, 2, True),))
    assert curves.curve(spec, again) == pytest.approx([0, 25, 0, 50, 100])  # half way, and anew


def test_a_worn_tip_welds_with_less_current_and_a_bad_screw_lacks_torque() -> None:
    pulses = {"name": "i", "kind": "pulses", "unit": "kA", "height": 10, "wear": 0.2, "points": 40, "noise": 0.01}
    torque = {"name": "t", "kind": "tightening", "unit": "Nm", "target": 100, "falls_short": 0.5, "points": 11}
    zones = {"name": "z", "kind": "zones", "unit": "°C", "zones": [{"value": 150}, {"value": 250}], "lag": 0.01}
    specs = plant({"curves": [pulses, torque, zones]}).lines[0].stations[0].curves
    curves = Curves(specs, 1, "l/s")
    new, worn, bad = (Cycle(1.0, n, wear, code, ()) for n, wear, code in ((1, 0, ""), (2, 1, ""), (3, 0, "loose")))
    tops = [max(curves.curve(specs[0], cycle)) for cycle in (new, worn)]
    assert tops == pytest.approx([10, 8], abs=0.05)
    assert curves.curve(specs[0], new) == curves.curve(specs[0], new)
    assert [curves.curve(specs[1], cycle)[-1] for cycle in (new, bad)] == [100, 50]
    board = curves.curve(specs[2], new)
    assert board[0] == 25
    assert board[29] == pytest.approx(150, abs=0.1)
    assert board[-1] == pytest.approx(250, abs=0.1)


def test_care_waits_for_the_shift_of_its_crew_and_the_machine_goes_on() -> None:
    care = {"name": "oil", "by": "calendar", "every": "1h", "takes": 60, "crew": "day"}
    crew = {"name": "day", "shifts": [{"from": "06:00", "to": "14:00"}]}
    line = {"name": "l", "stations": [{"name": "s", "cycle": 100, "signals": [], "maintenance": [care]}]}
    factory = Factory(Plant.model_validate({"name": "p", "site": "s", "crews": [crew], "lines": [line]}), seed=1)
    factory.run(5.9 * 3600)
    assert factory.machines[0].cycles == 212
    factory.run(6.1 * 3600)
    assert any(change.value == "maintenance" for change in factory.take_changes())


@pytest.mark.parametrize(
    ("station", "line", "told"),
    [
        ({"ecus": [{"name": "a"}]}, {}, "it needs `defects`"),
        ({"ecus": [{"name": "a", "defect": "y"}], "defects": [{"code": "x", "probability": 0}]}, {}, "no defect y"),
        ({"ecus": [{"name": "a", "fails": 1}], "defects": [{"code": "x", "probability": 0}]}, {}, "less than 1"),
        ({"curves": [{"name": "p", "kind": "progress", "unit": "%"}]}, {}, "progress needs `ecus`"),
        ({"causes": [{"by": "machine", "machine": "s-9", "defects": 2}]}, {}, "no machine s-9"),
        ({}, {"vin": {**VIN, "manufacturer": "WIF"}}, "write 3 of the characters"),
        ({}, {"vin": {**VIN, "year": 2009}}, "greater than or equal to 2010"),
    ],
)
def test_impossible_cars_are_refused(station: dict[str, Any], line: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        plant(station, **line)


def test_numbers_that_collide_and_unknown_names_are_told_with_their_place() -> None:
    orders = [{"product": "a", "quantity": 1, "software": {"radio": "1"}}]
    made = plant({"team": "night"}, orders=orders)
    twice = made.model_copy(update={"lines": (made.lines[0], made.lines[0].model_copy(update={"name": "k"}))})
    assert [(place[:2], text.partition(":")[0]) for place, text in problems_of(twice)] == [
        (("lines", 1), "k would give its cars the numbers of l"), *(
            (("lines", n), what) for n in (0, 1) for what in ("no crew night", "no control unit radio")
        ),
    ]  # fmt: skip


def test_the_plants_of_a_fleet_give_numbers_of_their_own() -> None:
    file = [PLANTS / "end-of-line.yaml"]
    rules = [each.plant.lines[0].vin for each in members(file, 122, 1, "opc.tcp://127.0.0.1:0")]
    patterns = [pattern for rule in rules if rule is not None for pattern in rule.patterns]
    assert len(set(patterns)) == len(patterns) == 244
    with pytest.raises(ConfigError, match="suffice for 1089 plants"):
        members(file, 1090, 1, "opc.tcp://127.0.0.1:0")
