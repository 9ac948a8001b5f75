"""Causes of defects and failures: what raises their probability, and by how much at this moment.

Wear, a signal outside its band, the first parts of another product, a bad lot and a worse machine each have a factor.
The factors of a machine multiply; without a cause that acts they are 1.  A signal counts without its noise, which is
drawn when somebody samples it: the flow must not depend on who looks.
"""

from collections.abc import Callable
from functools import lru_cache

from simulators.flow.part import Part
from simulators.flow.setups import Setups
from simulators.plant import Cause, Station
from simulators.streams import uniform


class Causes:
    """The causes of one machine."""

    def __init__(self, station: Station, seed: int, name: str, setups: Setups, worked_s: Callable[[], float]) -> None:
        """`name`: of the machine; `setups`: know the wear of its tool; `worked_s`: the time since the last renewal."""
        self._causes = [cause for cause in station.causes if cause.machine in (None, name)]
        self._failing = [(cause.failures - 1.0, cause) for cause in self._causes if cause.failures != 1.0]
        self._defective = [(cause.defects - 1.0, cause) for cause in self._causes if cause.defects != 1.0]
        self.spoil = bool(self._defective)
        """Whether they ever make defects more likely."""
        self._setups = setups
        self._worked_s = worked_s
        self._curves: dict[str, Callable[[float], float]] = {}
        self._product = ""
        self._since_change = 10**9
        self._is_bad = lru_cache(maxsize=4096)(
            lambda component, lot, share: uniform(seed, component, f"lot/{lot}")() < share
        )

    def __bool__(self) -> bool:
        return bool(self._causes)

    @property
    def signals(self) -> set[str]:
        """The signals that matter."""
        return {cause.signal for cause in self._causes if cause.signal is not None}

    def watch(self, signal: str, curve: Callable[[float], float]) -> None:
        """Use this curve, without noise, for a signal."""
        self._curves[signal] = curve

    def begin(self, product: str) -> None:
        """Work on a part of this product begins."""
        if self._product == product:
            self._since_change += 1
        else:
            self._since_change = 1 if self._product else self._since_change + 1
            self._product = product

    def failures(self, now_s: float) -> float:
        """By how much failures are more frequent now."""
        factor = 1.0
        for weight, cause in self._failing:
            if cause.by == "wear" and (worn := self._setups.worn) is not None:  # the usual case, written out
                factor *= 1.0 + weight * (worn if worn < 1.0 else 1.0)
            else:
                factor *= 1.0 + weight * self._strength(cause, None, now_s)
        return factor

    def defects(self, part: Part, now_s: float) -> float:
        """By how much this part is more likely to have a defect."""
        factor = 1.0
        for weight, cause in self._defective:
            factor *= 1.0 + weight * self._strength(cause, part, now_s)
        return factor

    def _strength(self, cause: Cause, part: Part | None, now_s: float) -> float:
        """How far a cause acts: 0 not at all, 1 fully."""
        match cause.by:
            case "wear":
                used = self._setups.worn
                return min(used if used is not None else self._worked_s() / cause.life, 1.0)
            case "signal":
                curve = self._curves.get(cause.signal or "")
                value = curve(now_s) if curve is not None else None
                low, high = cause.below, cause.above
                if value is None or ((low is None or value >= low) and (high is None or value <= high)):
                    return 0.0
                return 1.0
            case "product_change":
                return float(self._since_change <= cause.parts)
            case "lot":
                return float(part is not None and self._has_bad_lot(cause, part))
            case "machine":
                return 1.0

    def _has_bad_lot(self, cause: Cause, part: Part) -> bool:
        for built_in in part.components:
            path, _, number = built_in.rpartition("/")
            if path.rpartition("/")[2] == cause.component and self._is_bad(path, number, cause.share):
                return True
        return False
