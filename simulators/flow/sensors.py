"""The signals of a machine: how its state, load and wear change temperature, vibration and the like."""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import simpy

from simulators.flow.machine import Machine
from simulators.plant import Counting, Lagging, Loading, Plant, SensorFault, SignalSpec, Wearing
from simulators.signals import UNITS, Lag, Signal, Wander
from simulators.states import State
from simulators.streams import blocks, stream

Curve = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class SensorEdge:
    """A sensor of some machines goes wrong, or is right again."""

    at_s: float
    begins: bool
    signals: Sequence[str]
    """`line/machine/signal` of each machine of the station."""
    fault: SensorFault


def sensor_faults(plant: Plant) -> list[SensorEdge]:
    """All beginnings and ends of sensor faults of a plant, the last one first."""
    edges = [
        SensorEdge(at_s, begins, [f"{line.name}/{machine}/{signal.name}" for machine in station.machine_names], fault)
        for line in plant.lines
        for station in line.stations
        for signal in station.signals
        for fault in signal.faults
        for at_s, begins in ((fault.at, True), (fault.at + fault.lasts, False))
    ]
    return sorted(edges, key=lambda edge: edge.at_s, reverse=True)


def signals_of(machine: Machine, seed: int) -> dict[str, Signal]:
    """Every signal of a machine, by name."""
    for spec in machine.station.signals:
        if spec.name in machine.causes.signals:
            machine.causes.watch(spec.name, _pure(spec, machine))
    return {spec.name: _signal(spec, machine, seed) for spec in machine.station.signals}


def _signal(spec: SignalSpec, machine: Machine, seed: int) -> Signal:
    curve = _noisy(_pure(spec, machine), spec, machine, seed)
    for fault in spec.faults:
        curve = with_fault(curve, fault)
        if fault.kind == "stuck":
            machine.env.process(_ask_at(fault.at, machine, curve))
    return Signal(spec.name, UNITS[spec.unit], spec.low, spec.high, curve)


def _ask_at(at_s: float, machine: Machine, curve: Curve) -> Generator[simpy.Event, None, None]:
    """Read the curve when the fault begins, so that a stuck sensor keeps that value however it is sampled."""
    yield machine.env.timeout(at_s)
    curve(at_s)


def with_fault(curve: Curve, fault: SensorFault) -> Curve:
    """The curve that a faulty sensor shows: see `SensorFault` in `simulators/plant/sensing.py`.

    A stuck sensor keeps the value of the first reading within the time of the fault, so read it when the fault begins.
    """
    kept: list[float] = []

    def shown(now_s: float) -> float:
        since_s = now_s - fault.at
        if not 0 <= since_s < fault.lasts:
            return curve(now_s)
        match fault.kind:
            case "sentinel":
                return fault.amount
            case "stuck":
                kept[:] = kept or [curve(now_s)]
                return kept[0]
            case "drift":
                return curve(now_s) + fault.amount * since_s / 3600.0
            case "spike":
                return curve(now_s) + (fault.amount if since_s % fault.every < fault.width else 0.0)

    return shown


def _pure(spec: SignalSpec, machine: Machine) -> Curve:
    match spec:
        case Lagging():
            return _lagging(spec, machine)
        case Wearing():
            return _wearing(spec, machine)
        case Loading():
            return _loading(spec, machine)
        case Counting():
            return lambda now_s: spec.low + (spec.per_second * now_s) % (spec.high - spec.low)


def _noisy(pure: Curve, spec: SignalSpec, machine: Machine, seed: int) -> Curve:
    """Add noise.  The signals of a machine with the same correlation time share one stream for the common part."""
    if not spec.noise:
        return pure
    own = Wander(spec.correlation, blocks(stream(seed, machine.path, f"noise/{spec.name}").standard_normal))
    if not spec.shared:
        return lambda now_s: pure(now_s) + spec.noise * own.value(now_s)
    shared = Wander(spec.correlation, blocks(stream(seed, machine.path, "noise").standard_normal))
    alone = math.sqrt(1 - spec.shared**2)
    return lambda now_s: pure(now_s) + spec.noise * (spec.shared * shared.value(now_s) + alone * own.value(now_s))


def _lagging(spec: Lagging, machine: Machine) -> Curve:
    lag = Lag(spec.idle, spec.lag)
    off = spec.idle if spec.off is None else spec.off
    down = spec.idle if spec.down is None else spec.down
    targets = {State.WORKING: spec.working, State.OFF: off, State.DOWN: down}
    machine.followers.append(lambda state, now_s: lag.aim(targets.get(state, spec.idle), now_s))
    return lag.value


def _wearing(spec: Wearing, machine: Machine) -> Curve:
    def value(now_s: float) -> float:
        if spec.idle is not None and machine.state is not State.WORKING:
            return spec.idle
        used_s = machine.worked_s(now_s) - machine.renewed_s
        worn = min(used_s / spec.life, 1.5) if machine.can_renew else used_s % spec.life / spec.life
        return spec.new + (spec.worn - spec.new) * worn

    return value


def _loading(spec: Loading, machine: Machine) -> Curve:
    lag = Lag(spec.per_watt * machine.watts(machine.state), spec.lag)
    machine.followers.append(lambda state, now_s: lag.aim(spec.per_watt * machine.watts(state), now_s))
    return lag.value
