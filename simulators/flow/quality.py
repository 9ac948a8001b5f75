"""What becomes of a part after a station (good, scrap or rework), and where it goes."""

from bisect import bisect_right
from itertools import accumulate

from simulators.flow.part import Part
from simulators.plant import Defect, Line, Station
from simulators.streams import uniform

SCRAP = Defect(code="scrap", probability=0.0)
"""The verdict for scrap without a stated defect."""


class Quality:
    """The verdicts of one machine."""

    def __init__(self, station: Station, seed: int, path: str) -> None:
        outcomes = [(d, d.probability) for d in station.defects]
        if station.scrap:
            outcomes.append((SCRAP, station.scrap))
        self._defects = [defect for defect, _ in outcomes]
        self._limits = list(accumulate(p for _, p in outcomes))
        self.luck = uniform(seed, path, "quality")
        self.factor = 1.0
        """Probability of defects, relative to the usual speed."""
        self.bad = self._limits[-1] if self._limits else 0.0
        """Probability of any defect at the usual speed."""
        self.is_asked = bool(self._limits)
        """Whether there are defects at all."""

    def verdict(self, factor: float = 1.0) -> Defect | None:
        """The defect of the next part, `factor` times as likely as usual at this speed.  None: it is good."""
        if not self._limits:
            return None
        likely = self.factor * factor
        return self.found(self.luck() / likely if likely else 1.0)

    def found(self, luck: float) -> Defect | None:
        """What a number in [0, 1) means."""
        return None if luck >= self.bad else self._defects[bisect_right(self._limits, luck)]


def is_reworked(defect: Defect, part: Part) -> bool:
    """Whether a defective part is reworked instead of scrapped.  Counts the rework on the part."""
    if defect.to is None:
        return False
    times = part.reworks.get(defect.code, 0)
    if defect.at_most is not None and times >= defect.at_most:
        return False
    part.reworks[defect.code] = times + 1
    return True


class Routes:
    """Where the good parts of one machine go."""

    def __init__(self, line: Line, station: Station, seed: int, path: str) -> None:
        self._luck = uniform(seed, path, "route")
        self._ways: dict[str | None, tuple[list[str], list[float]]] = {}
        for product in {product for _, _, product in line.ways_from(station)}:
            ways = [(to, share) for to, share, of in line.ways_from(station) if of == product]
            self._ways[product] = [to for to, _ in ways], list(accumulate(share for _, share in ways))
        self.only = self.usual if len(self._ways) == 1 and len(self._ways[None][0]) == 1 else ""
        """Where all parts go, when there is only one way; else empty."""

    @property
    def usual(self) -> str:
        """Where parts go first when their product has no way of its own."""
        return self._ways[None][0][0]

    def next_after(self, part: Part) -> str:
        """The name of a station, or `out`."""
        names, limits = self._ways.get(part.product) or self._ways[None]
        if len(names) == 1:
            return names[0]
        return names[min(bisect_right(limits, self._luck()), len(names) - 1)]
