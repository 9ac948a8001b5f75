"""Curves within a cycle: what was measured while a machine worked on one part.

A curve is computed when it is asked for, from what was true of its cycle: its number, the wear, the verdict, how the
flashing went.  Its noise has a stream of its own for each cycle, so the flow does not depend on who looks.
"""

import math
from collections import deque
from collections.abc import Sequence

import msgspec

from simulators.flow.flashing import Flash
from simulators.plant import CurveSpec, Progress, Pulses, Tightening, Zones
from simulators.streams import stream

MOST_WAITING = 10_000
"""Cycles that nobody asks for: then the oldest go."""


class Cycle(msgspec.Struct, frozen=True, gc=False):
    """What the curves of one cycle depend on."""

    at_s: float
    number: int
    """How many parts the machine had finished."""
    wear: float
    """The used share of its tool, from 0."""
    defect: str
    flashes: Sequence[Flash]


class Curves:
    """The curves of one machine whose cycles wait to be published, the oldest first."""

    def __init__(self, specs: Sequence[CurveSpec], seed: int, path: str) -> None:
        self.specs = specs
        self._seed = seed
        self._path = path
        self._waiting: deque[Cycle] = deque(maxlen=MOST_WAITING)

    def add(self, cycle: Cycle) -> None:
        self._waiting.append(cycle)

    def take(self, at_s: float) -> dict[str, list[float]]:
        """The curves of the cycle that ended at this time, by name; those of earlier ones are gone."""
        while self._waiting and self._waiting[0].at_s <= at_s:
            cycle = self._waiting.popleft()
            if cycle.at_s == at_s:
                return {spec.name: self.curve(spec, cycle) for spec in self.specs}
        return {}

    def curve(self, spec: CurveSpec, cycle: Cycle) -> list[float]:
        """One curve, in equal steps from the beginning of the cycle (or the angle 0) to its end."""
        places = [n / (spec.points - 1) for n in range(spec.points)]
        values = [_value(spec, place, cycle) for place in places]
        if not spec.noise:
            return values
        luck = stream(self._seed, self._path, f"curve/{spec.name}/{cycle.number}").standard_normal(spec.points)
        return [value + spec.noise * float(each) for value, each in zip(values, luck, strict=True)]


def axis(spec: CurveSpec, cycle_s: float) -> tuple[str, float]:
    """Unit and distance of the steps of a curve: degrees for a tightening, else seconds of the cycle."""
    whole, unit = (spec.angle, "°") if isinstance(spec, Tightening) else (cycle_s, "s")
    return unit, whole / (spec.points - 1)


def _value(spec: CurveSpec, place: float, cycle: Cycle) -> float:
    lost = 1.0 - spec.wear * min(cycle.wear, 1.0)
    match spec:
        case Pulses():
            return spec.height * lost if place * spec.pulses % 1.0 < spec.duty else 0.0
        case Tightening():
            reached = spec.target * lost * (1.0 - spec.falls_short if cycle.defect else 1.0)
            flat = 0.7  # of the angle, until the head is seated
            low = spec.target * spec.seated
            return low * place / flat if place < flat else low + (reached - low) * (place - flat) / (1.0 - flat)
        case Zones():
            return _lagged(spec, place) * lost
        case Progress():
            return _progress(cycle.flashes, place)


def _lagged(spec: Zones, place: float) -> float:
    """The temperature of a part that follows its zones: exact, from zone to zone."""
    value, whole, passed = spec.start, sum(zone.share for zone in spec.zones), 0.0
    for zone in spec.zones:
        ends = passed + zone.share / whole
        value = zone.value + (value - zone.value) * math.exp(-(min(place, ends) - passed) / spec.lag)
        if place <= ends:
            return value
        passed = ends
    return value


def _progress(flashes: Sequence[Flash], place: float) -> float:
    """How much of the present control unit is written.  A failed attempt ends half way."""
    whole = sum(flash.share * flash.attempts for flash in flashes)
    left = place * whole
    for flash in flashes:
        for attempt in range(1, flash.attempts + 1):
            if left <= flash.share * (1 - 1e-9):
                goal = 100.0 if flash.done and attempt == flash.attempts else 50.0
                return goal * left / flash.share
            left -= flash.share
    return 100.0 if flashes and flashes[-1].done else 50.0
