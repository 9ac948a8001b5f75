"""Causes make defects and failures more likely by what they say, only when they act, and are off by default."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from simulators.flow import Factory
from simulators.plant import Plant
from simulators.trace import line_of

DAY = 86_400.0


def plant(causes: list[dict[str, Any]], **station: Any) -> Plant:
    usual = {"name": "s", "cycle": 10, "signals": [], "scrap": 0.02, **station, "causes": causes}
    line: dict[str, Any] = {"name": "l", "stations": [usual]}
    if "setup" in station:
        orders = [{"product": product, "quantity": 20} for product in "ab"]
        line["source"] = {"kind": "orders", "orders": orders}
    return Plant.model_validate({"name": "p", "site": "s", "lines": [line]})


def scrap_share(made: Plant) -> tuple[float, int]:
    factory = Factory(made, seed=2, keeping=False)
    factory.run(4 * DAY)
    machine = factory.machines[0]
    return machine.scrap / machine.cycles, machine.cycles


WEAR = {"by": "wear", "defects": 4}
TOOL = {"tool": {"life": 100, "change": 60}}
REEL = {"components": [{"name": "reel", "lot": 20}]}
CASES: tuple[tuple[list[dict[str, Any]], dict[str, Any], float], ...] = (
    ([], TOOL, 1.0),
    ([WEAR], TOOL, 1 + 3 * 50.5 / 100),  # the mean wear of parts 1 to 100
    ([{"by": "product_change", "parts": 5, "defects": 5}], {"setup": {"usual": 60}}, 1 + 4 * 5 / 20),
    ([{"by": "lot", "component": "reel", "share": 0.2, "defects": 6}], REEL, 1 + 5 * 0.2),
    ([WEAR, {"by": "product_change", "parts": 20, "defects": 2}], {**TOOL, "setup": {"usual": 60}}, 2.515 * 2),
)


@pytest.mark.parametrize(("causes", "station", "factor"), CASES)
def test_defects_are_as_much_more_likely_as_the_causes_say(
    causes: list[dict[str, Any]], station: dict[str, Any], factor: float
) -> None:
    share, cycles = scrap_share(plant(causes, **station))
    spread = 6 if "components" in station else 4  # lots are fewer than parts
    assert abs(share - 0.02 * factor) < spread * math.sqrt(0.02 * factor / cycles)


def test_failures_come_with_wear() -> None:
    breaks = {"failures": [{"name": "f", "every": {"law": "exponential", "mean": 500}, "repair": 1}], **TOOL}
    counts = []
    for causes in ([], [{"by": "wear", "failures": 3}]):
        factory = Factory(plant(causes, **breaks), seed=2, keeping=False)
        factory.run(5 * DAY)
        machine = factory.machines[0]
        counts.append(machine.failures / machine.worked_s(5 * DAY))
    assert counts[1] / counts[0] == pytest.approx(1 + 2 * 49.5 / 100, rel=0.15)


def test_a_cold_machine_makes_defects_and_its_signal_shows_it_before() -> None:
    signal = {"name": "temperature", "kind": "lag", "unit": "°C", "high": 100, "working": 60, "idle": 20, "lag": 300}
    cold = {"by": "signal", "signal": "temperature", "below": 50, "defects": 40}
    made = plant(
        [cold], signals=[signal], failures=[{"name": "f", "every": {"law": "constant", "value": 3000}, "repair": 2000}]
    )
    factory, seen = Factory(made, seed=2), list[tuple[float, bool]]()
    machine = factory.machines[0]
    machine.witnesses.append(
        lambda part, at_s: seen.append((machine.signals["temperature"].value(at_s), part.visits[-1].verdict != ""))
    )
    factory.run(3 * DAY)
    shares = [
        sum(bad for value, bad in seen if is_cold == (value < 50)) / sum(is_cold == (value < 50) for value, _ in seen)
        for is_cold in (True, False)
    ]
    assert shares[0] > 0.6
    assert shares[1] < 0.06


def test_causes_do_not_depend_on_who_looks_and_are_off_by_default() -> None:
    def trace_of(made: Plant, look: bool) -> list[str]:
        factory = Factory(made, seed=3)
        for until_s in range(100, 20_000, 100):
            factory.run(until_s)
            if look:
                [signal.value(until_s) for signal in factory.machines[0].signals.values()]
        return list(map(line_of, factory.take_changes()))

    signal = {"name": "t", "kind": "lag", "unit": "°C", "high": 100, "working": 60, "idle": 20, "noise": 2}
    made = plant([{"by": "signal", "signal": "t", "below": 50, "defects": 9}], signals=[signal])
    assert trace_of(made, True) == trace_of(made, False)
    assert Plant.model_validate({"name": "p", "site": "s", "lines": [
        {"name": "l", "stations": [{"name": "s", "cycle": 1}]}]}).lines[0].stations[0].causes == ()  # fmt: skip


IMPOSSIBLE = (
    {"by": "wear", "defects": -1}, {"by": "signal", "signal": "t"}, {"by": "signal", "above": 1},
    {"by": "signal", "signal": "nowhere", "above": 1}, {"by": "lot", "defects": 2},
    {"by": "lot", "component": "reel", "failures": 2}, {"by": "wear", "signal": "t"},
)  # fmt: skip


@pytest.mark.parametrize("cause", IMPOSSIBLE)
def test_an_impossible_cause_is_refused(cause: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        plant([cause])
