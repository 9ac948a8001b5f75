"""Continuous signals as functions of simulated time.

Nothing ticks: a value is computed when somebody asks, in closed form, from the state changes so far and from noise that
is fixed by the seed on a grid of its own.  So a signal has the same value at the same simulated time, however often it
is sampled and however fast the clock runs.  Time may only go forward: never ask for a value before the last event.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from simulators.streams import Sampler


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure: UNECE code (Recommendation 20), and what people read."""

    code: str
    name: str
    meaning: str

    @property
    def unit_id(self) -> int:
        """The number that OPC UA's EUInformation carries: the code's characters as a big-endian integer."""
        return int.from_bytes(self.code.encode("ascii"), "big")


UNITS = {
    unit.name: unit
    for unit in (
        Unit("CEL", "°C", "degree Celsius"),
        Unit("C16", "mm/s", "millimetre per second"),
        Unit("BAR", "bar", "bar"),
        Unit("AMP", "A", "ampere"),
        Unit("VLT", "V", "volt"),
        Unit("WTT", "W", "watt"),
        Unit("KWT", "kW", "kilowatt"),
        Unit("JOU", "J", "joule"),
        Unit("KWH", "kWh", "kilowatt hour"),
        Unit("RPM", "rpm", "revolutions per minute"),
        Unit("HTZ", "Hz", "hertz"),
        Unit("P1", "%", "percent"),
        Unit("MMT", "mm", "millimetre"),
        Unit("4H", "µm", "micrometre"),
        Unit("NEW", "N", "newton"),
        Unit("NU", "Nm", "newton metre"),
        Unit("SEC", "s", "second"),
        Unit("C26", "ms", "millisecond"),
        Unit("L2", "L/min", "litre per minute"),
        Unit("2N", "dB", "decibel"),
        Unit("KGM", "kg", "kilogram"),
        Unit("GRM", "g", "gram"),
        Unit("MTS", "m/s", "metre per second"),
        Unit("C62", "1", "one"),
    )
}


@dataclass(frozen=True, slots=True)
class Signal:
    """One measured quantity of a machine."""

    name: str
    unit: Unit
    low: float
    high: float
    source: Callable[[float], float]

    def value(self, now_s: float) -> float:
        """The value at a simulated time, which must not lie before the last event of the flow."""
        return self.source(now_s)


class Lag:
    """First-order lag: follows its target with a time constant.  Exact between changes of target."""

    __slots__ = ("_at_s", "_from", "lag_s", "target")

    def __init__(self, start: float, lag_s: float) -> None:
        self.lag_s = lag_s
        self.target = start
        self._from = start
        self._at_s = 0.0

    def aim(self, target: float, now_s: float) -> None:
        """From now on go towards `target`."""
        if target != self.target:
            self._from = self.value(now_s)
            self._at_s = now_s
            self.target = target

    def value(self, now_s: float) -> float:
        if self.lag_s <= 0:
            return self.target
        return self.target + (self._from - self.target) * math.exp((self._at_s - now_s) / self.lag_s)


class Wander:
    """Ornstein-Uhlenbeck noise: mean 0, standard deviation 1, given correlation time.

    Drawn exactly on a grid of a quarter of the correlation time, and bridged in between by its conditional mean, so
    that the value depends on the time alone and not on when it was asked for.
    """

    __slots__ = ("_decay", "_index", "_left", "_normal", "_right", "step_s")

    def __init__(self, correlation_s: float, normal: Sampler) -> None:
        self.step_s = correlation_s / 4
        self._decay = math.exp(-0.25)
        self._normal = normal
        self._index = 0
        self._left = normal()
        self._right = self._next(self._left)

    def _next(self, value: float) -> float:
        return value * self._decay + math.sqrt(1 - self._decay**2) * self._normal()

    def value(self, now_s: float) -> float:
        steps = now_s / self.step_s
        while self._index + 1 <= steps:
            self._left, self._right = self._right, self._next(self._right)
            self._index += 1
        part = max(0.0, steps - self._index)
        return (self._left * math.sinh((1 - part) / 4) + self._right * math.sinh(part / 4)) / math.sinh(0.25)


@dataclass(frozen=True, slots=True)
class Lie:
    """How a sensor errs: from when, for how long, by how much; spikes come every so often and last so long."""

    kind: str
    at_s: float
    lasts_s: float
    amount: float
    every_s: float
    width_s: float


def lying(curve: Callable[[float], float], lie: Lie) -> Callable[[float], float]:
    """What a sensor shows that is stuck, drifts by `amount` per hour, has spikes, or shows a sentinel, for a while.

    Stuck shows the value it had when it was first asked within the time of the fault: ask when the fault begins.
    """
    kept: list[float] = []

    def shown(now_s: float) -> float:
        since_s = now_s - lie.at_s
        if not 0 <= since_s < lie.lasts_s:
            return curve(now_s)
        match lie.kind:
            case "sentinel":
                return lie.amount
            case "stuck":
                kept[:] = kept or [curve(now_s)]
                return kept[0]
            case "drift":
                return curve(now_s) + lie.amount * since_s / 3600.0
            case _:
                return curve(now_s) + (lie.amount if since_s % lie.every_s < lie.width_s else 0.0)

    return shown
