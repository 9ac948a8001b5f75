"""One anchor: a small plant, the measured quantities, the theoretical values, and the length of the run.

Every measured quantity grows with time (parts made, seconds in a state, part seconds in a buffer), so an estimate is
its growth after the warm-up divided by the length of the run.  If the law has no variance the run is exact, needs no
warm-up, and must agree within rounding.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from simulators.flow import Factory
from simulators.plant import Plant
from simulators.verify.markov import Expected

Reading = Callable[[float], float]
"""The accumulated quantity up to a simulated time."""
LIMIT = 4.0
"""The |z| from which an anchor fails: one false alarm in 16 000 anchors."""
WARM_UP = 0.02
"""The length of the warm-up, as a share of the run; it is added to the run."""
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Measure:
    """One quantity of a case.  `read` takes a new factory and returns the reading; `known` is a published constant."""

    name: str
    law: Expected
    read: Callable[[Factory], Reading]
    known: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One plant and its measured quantities.  `length_s`: the full length of the run, in simulated seconds."""

    section: str
    name: str
    plant: Plant
    measures: tuple[Measure, ...]
    length_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one measure."""

    section: str
    name: str
    exact: float
    estimate: float
    z: float

    @property
    def passed(self) -> bool:
        return abs(self.z) < LIMIT


def run(case: Case, share: float, seed: int) -> list[Outcome]:
    """Run a case for a share of its full length, and judge every measure."""
    factory = Factory(case.plant, seed, keeping=False)
    readings = [measure.read(factory) for measure in case.measures]
    exact = all(measure.law.avar == 0 for measure in case.measures)
    length_s = case.length_s if exact else case.length_s * share
    warm_s = 0.0 if exact else WARM_UP * case.length_s
    before = [0.0] * len(readings)
    if warm_s:
        factory.run(warm_s)
        before = [reading(warm_s) for reading in readings]
    factory.run(warm_s + length_s)
    gained = [reading(warm_s + length_s) - start for reading, start in zip(readings, before, strict=True)]
    return [_judged(case, m, g / length_s, length_s) for m, g in zip(case.measures, gained, strict=True)]


def _judged(case: Case, measure: Measure, estimate: float, length_s: float) -> Outcome:
    law, error = measure.law, estimate - measure.law.exact
    if law.avar:
        z = error / math.sqrt(law.avar / length_s)
    else:
        z = 0.0 if abs(error) <= ROUNDING * max(1.0, abs(law.exact)) else math.copysign(math.inf, error)
    return Outcome(case.section, f"{case.name}: {measure.name}", law.exact, estimate, z)
