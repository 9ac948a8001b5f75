"""Continuous signals as functions of simulated time.

A value is computed in closed form when it is read, from the past state changes and from noise that the seed fixes on a
grid of its own.  So the value at a simulated time does not depend on the sampling rate or the speed of the clock.  Time
only moves forward: never ask for a value before the last event.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from simulators.streams import Sampler


@dataclass(frozen=True, slots=True)
class UnitOfMeasure:
    """A unit of measure: UNECE code (Recommendation 20), symbol and name."""

    code: str
    name: str
    meaning: str

    @property
    def unit_id(self) -> int:
        """The unitId of OPC UA's EUInformation: the code's characters as a big-endian integer."""
        return int.from_bytes(self.code.encode("ascii"), "big")


UNITS = {
    unit.name: unit
    for unit in (
        UnitOfMeasure("CEL", "°C", "degree Celsius"),
        UnitOfMeasure("C16", "mm/s", "millimetre per second"),
        UnitOfMeasure("BAR", "bar", "bar"),
        UnitOfMeasure("AMP", "A", "ampere"),
        UnitOfMeasure("B22", "kA", "kiloampere"),
        UnitOfMeasure("VLT", "V", "volt"),
        UnitOfMeasure("WTT", "W", "watt"),
        UnitOfMeasure("KWT", "kW", "kilowatt"),
        UnitOfMeasure("JOU", "J", "joule"),
        UnitOfMeasure("KWH", "kWh", "kilowatt hour"),
        UnitOfMeasure("RPM", "rpm", "revolutions per minute"),
        UnitOfMeasure("HTZ", "Hz", "hertz"),
        UnitOfMeasure("P1", "%", "percent"),
        UnitOfMeasure("MMT", "mm", "millimetre"),
        UnitOfMeasure("4H", "µm", "micrometre"),
        UnitOfMeasure("NEW", "N", "newton"),
        UnitOfMeasure("NU", "Nm", "newton metre"),
        UnitOfMeasure("SEC", "s", "second"),
        UnitOfMeasure("C26", "ms", "millisecond"),
        UnitOfMeasure("L2", "L/min", "litre per minute"),
        UnitOfMeasure("2N", "dB", "decibel"),
        UnitOfMeasure("KGM", "kg", "kilogram"),
        UnitOfMeasure("GRM", "g", "gram"),
        UnitOfMeasure("MTS", "m/s", "metre per second"),
        UnitOfMeasure("DD", "°", "degree"),
        UnitOfMeasure("C62", "1", "one"),
    )
}


@dataclass(frozen=True, slots=True)
class Signal:
    """One measured quantity of a machine."""

    name: str
    unit: UnitOfMeasure
    low: float
    high: float
    source: Callable[[float], float]

    def value(self, now_s: float) -> float:
        """The value at `now_s`, which must not lie before the last event of the flow."""
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
        """Approach `target` from now on."""
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

    It is drawn exactly on a grid of a quarter of the correlation time.  Between the grid points it is the conditional
    mean, so the value depends on the time only, not on when it is read.
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
