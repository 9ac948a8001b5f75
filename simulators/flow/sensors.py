"""The signals of a machine: what its state and its wear do to temperature, vibration and the like."""

from collections.abc import Callable

from simulators.flow.machine import Machine
from simulators.plant import Lagging, SignalSpec, Wearing
from simulators.signals import UNITS, Lag, Signal, Wander
from simulators.states import State
from simulators.streams import blocks, stream


def signals_of(machine: Machine, seed: int) -> dict[str, Signal]:
    """Every signal of a machine, by name."""
    return {spec.name: _signal(spec, machine, seed) for spec in machine.station.signals}


def _signal(spec: SignalSpec, machine: Machine, seed: int) -> Signal:
    pure = _lagging(spec, machine) if isinstance(spec, Lagging) else _wearing(spec, machine)
    noise, wander = spec.noise, Wander(spec.correlation, blocks(stream(seed, machine.path, spec.name).standard_normal))
    return Signal(
        spec.name, UNITS[spec.unit], spec.low, spec.high, lambda now_s: pure(now_s) + noise * wander.value(now_s)
    )


def _lagging(spec: Lagging, machine: Machine) -> Callable[[float], float]:
    lag = Lag(spec.idle, spec.lag)
    machine.followers.append(lambda state, now_s: lag.aim(spec.working if state is State.WORKING else spec.idle, now_s))
    return lag.value


def _wearing(spec: Wearing, machine: Machine) -> Callable[[float], float]:
    def value(now_s: float) -> float:
        if machine.state is not State.WORKING:
            return spec.idle
        return spec.new + (spec.worn - spec.new) * (machine.worked_s(now_s) % spec.life) / spec.life

    return value
