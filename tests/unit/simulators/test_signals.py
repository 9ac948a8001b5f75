"""Signals are functions of simulated time: how often they are sampled changes nothing."""

import math
from pathlib import Path

import numpy as np
import pytest

from simulators.flow import Factory, Machine
from simulators.plant import Plant, load
from simulators.signals import UNITS, Lag, Wander
from simulators.streams import blocks, stream

DEMO = Path(__file__).parents[3] / "config" / "plant.yaml"


def machine_with(signal: dict[str, object], **station: object) -> tuple[Factory, Machine]:
    spec = {"name": "x", "unit": "°C", "high": 100, **signal}
    stations = [{"name": "a", "cycle": 10, "signals": [spec], **station}]
    plant = Plant.model_validate({"name": "p", "site": "s", "lines": [{"name": "l", "stations": stations}]})
    factory = Factory(plant, seed=1)
    return factory, factory.machines[0]


def value(factory: Factory, machine: Machine, now_s: float) -> float:
    if now_s > factory.now_s:
        factory.run(now_s)
    return machine.signals["x"].value(now_s)


@pytest.mark.parametrize("step_s", [0.5, 3.0, 60.0])
def test_sampling_often_or_seldom_gives_the_same_values(step_s: float) -> None:
    def sampled(step_s: float) -> list[float]:
        factory = Factory(load(DEMO), seed=1)
        signals = [signal for machine in factory.machines for signal in machine.signals.values()]
        values = []
        for number in range(1, int(600 / step_s) + 1):
            factory.run(number * step_s)
            now = [signal.value(number * step_s) for signal in signals]
            if number * step_s % 60 == 0:
                values += now
        return values

    assert sampled(step_s) == sampled(20.0)


def test_a_lag_covers_63_per_cent_of_the_way_in_its_time_constant() -> None:
    lag = Lag(20.0, 100.0)
    lag.aim(80.0, 50.0)
    assert lag.value(150.0) == pytest.approx(20 + 60 * (1 - math.exp(-1)))
    lag.aim(20.0, 150.0)
    assert lag.value(150.0) == pytest.approx(20 + 60 * (1 - math.exp(-1)))
    assert lag.value(1e6) == pytest.approx(20.0)


def test_temperature_follows_the_state() -> None:
    factory, machine = machine_with(
        {"kind": "lag", "working": 80, "idle": 20, "lag": 10}, failures=[{"every": 200, "repair": 500}]
    )
    assert value(factory, machine, 190) == pytest.approx(80, abs=0.01)
    assert value(factory, machine, 690) == pytest.approx(20, abs=0.01)


def test_noise_has_the_configured_deviation_and_correlation_time() -> None:
    wander = Wander(10.0, blocks(stream(1, "a", "b").standard_normal))
    values = np.array([wander.value(2.5 * k) for k in range(40_000)])
    assert values.mean() == pytest.approx(0.0, abs=0.03)
    assert values.std() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(values[:-4], values[4:])[0, 1] == pytest.approx(math.exp(-1), abs=0.03)


def test_shared_noise_correlates_the_signals_of_a_machine() -> None:
    common = {
        "kind": "lag",
        "unit": "A",
        "high": 9,
        "working": 0,
        "idle": 0,
        "noise": 1,
        "shared": 0.8,
        "correlation": 1,
    }
    stations = [{"name": "a", "cycle": 10, "signals": [{**common, "name": "x"}, {**common, "name": "y"}]}]
    plant = Plant.model_validate({"name": "p", "site": "s", "lines": [{"name": "l", "stations": stations}]})
    x, y = Factory(plant, seed=1).machines[0].signals.values()
    pairs = np.array([(x.value(k), y.value(k)) for k in range(10_000)])
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.64, abs=0.04)


def test_wear_grows_with_work_and_a_new_tool_ends_it() -> None:
    wear = {"kind": "wear", "new": 1, "worn": 5, "life": 40}
    factory, machine = machine_with(wear, tool={"life": 4, "change": 5})
    assert value(factory, machine, 5) == pytest.approx(1.5)
    assert value(factory, machine, 39) == pytest.approx(4.9)
    assert value(factory, machine, 42) == pytest.approx(5.0)  # stands, and the tool is still the worn one
    assert value(factory, machine, 46) == pytest.approx(1.1)


def test_vibration_falls_to_its_idle_value_when_the_machine_stops() -> None:
    vibration = {"kind": "wear", "new": 1, "worn": 5, "life": 40, "idle": 0.1}
    factory, machine = machine_with(vibration, tool={"life": 4, "change": 5})
    assert value(factory, machine, 39) == pytest.approx(4.9)
    assert value(factory, machine, 42) == pytest.approx(0.1)


def test_load_follows_the_power_of_the_state() -> None:
    factory, machine = machine_with({"kind": "load", "per_watt": 0.01, "lag": 0}, power={"working": 5000})
    assert value(factory, machine, 5) == pytest.approx(50)


def lying(**fault: object) -> tuple[Factory, Machine]:
    return machine_with({"kind": "ramp", "per_second": 1.0, "high": 1e6, "faults": [{"at": 100, "lasts": 50, **fault}]})


@pytest.mark.parametrize("first_asked_s", [100.0, 120.0, 149.0])
def test_a_stuck_sensor_keeps_the_value_of_the_moment_it_stuck(first_asked_s: float) -> None:
    factory, machine = lying(kind="stuck")
    assert value(factory, machine, first_asked_s + 0.5) == 100.0
    assert value(factory, machine, 151) == 151


def test_drifting_spiking_and_sentinel_sensors() -> None:
    factory, machine = lying(kind="drift", amount=3600)
    assert [value(factory, machine, t) for t in (99, 100, 110, 150)] == [99, 100, 120, 150]
    factory, machine = lying(kind="spike", amount=-40, every=20, width=2)
    assert [value(factory, machine, t) for t in (101, 105, 121, 141.5)] == [61, 105, 81, 101.5]
    factory, machine = lying(kind="sentinel", amount=-9999)
    assert [value(factory, machine, t) for t in (99, 130, 150)] == [99, -9999, 150]


def test_every_unit_has_the_number_that_opc_ua_gives_its_code() -> None:
    assert UNITS["°C"].unit_id == 4408652
    assert all(unit.name == name for name, unit in UNITS.items())
