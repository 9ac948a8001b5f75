"""Flashing: a station writes software into the control units of a car, one after another, as often as it takes.

An attempt that fails costs its time again.  After the last attempt the car has the defect of that control unit.  A bad
version is written like any other, and shows as defects in the test at the end; the car keeps it, and what it does on
the road.
"""

from collections.abc import Sequence

import msgspec

from simulators.flow.part import Part
from simulators.plant import Defect, Ecu, Station
from simulators.streams import uniform


class Flash(msgspec.Struct, frozen=True, gc=False):
    """What was done to one control unit: which version, in how many attempts, and whether the last one succeeded."""

    ecu: str
    version: str
    share: float
    """Its part of the cycle time in one attempt."""
    attempts: int
    done: bool


class Flashing:
    """The flashing of one machine."""

    def __init__(self, station: Station, seed: int, path: str) -> None:
        self._ecus = station.ecus
        self._all = sum(ecu.share for ecu in station.ecus)
        self._defects = {defect.code: defect for defect in station.defects}
        self._first = station.defects[0].code
        self._luck = uniform(seed, path, "flash")
        self.flashes: Sequence[Flash] = ()
        """Of the part in work, or of the last one."""

    def plan(self, part: Part, usual_s: float) -> float:
        """Decide how the flashing of a part goes.  Returns its seconds; `usual_s`: those without failures."""
        self.flashes = [self._flash(ecu, part) for ecu in self._ecus]
        return usual_s * sum(flash.share * flash.attempts for flash in self.flashes)

    def _flash(self, ecu: Ecu, part: Part) -> Flash:
        attempts = 1
        while (fails := self._luck() < ecu.fails) and attempts < ecu.attempts:
            attempts += 1
        return Flash(ecu.name, part.ordered.get(ecu.name, ecu.version), ecu.share / self._all, attempts, not fails)

    def verdict(self, part: Part) -> Defect | None:
        """Write down what the part got.  Returns the defect that comes from its software, if any."""
        found: Defect | None = None
        part.retries = sum(flash.attempts - 1 for flash in self.flashes)
        for ecu, flash in zip(self._ecus, self.flashes, strict=True):
            if flash.done:
                part.software[ecu.name] = flash.version
            bad = next((each for each in ecu.bad if each.version == flash.version), None)
            fails = self._luck() < bad.defects if bad is not None else False
            if found is None and (fails or not flash.done):
                found = self._defects[ecu.defect or self._first]
        return found
