"""Faults of values: what a distorted variable shows instead of the true value.

A distortion sees every value for a variable whose name matches.  It returns the value to write instead, or None to hold
it back.  `ValueWriter` remembers the true value and shows it again when the distortion ends.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from simulators.faults import Active, DisorderTime, Freeze, RemoveNode, RepeatTime, Rollover, Status, matches
from simulators.server.nodes import StatusCodes

TOP = 2**32


class ServedValue(NamedTuple):
    """What a variable should show."""

    content: object
    source_time: datetime
    code: int


Distort = Callable[[str, ServedValue], ServedValue | None]
"""Takes the name of a variable and its true value, returns the value to write.  None: write nothing."""


class Distortion:
    """One active fault of values."""

    def __init__(self, active: Active, pattern: str, distort: Distort) -> None:
        self.active = active
        self._pattern = pattern
        self._distort = distort
        self._fits: dict[str, bool] = {}

    def fits(self, name: str) -> bool:
        """Whether the variable is distorted."""
        if name not in self._fits:
            self._fits[name] = matches(name, self._pattern)
        return self._fits[name]

    def apply(self, name: str, truth: ServedValue) -> ServedValue | None:
        return self._distort(name, truth)


def distortion_of(active: Active, began: datetime, now_s: Callable[[], float]) -> Distortion | None:
    """The distortion of a fault.  None: the fault is of another kind."""
    fault = active.fault
    if isinstance(fault, Freeze | RemoveNode):
        return Distortion(active, fault.nodes, lambda name, truth: None)
    if isinstance(fault, Status):
        codes = [int(getattr(StatusCodes, code)) for code in fault.codes]
        return Distortion(active, fault.nodes, _cycling(codes, lambda: int((now_s() - active.began_s) / fault.period)))
    if isinstance(fault, RepeatTime):
        return Distortion(active, fault.nodes, lambda name, truth: truth._replace(source_time=began))
    if isinstance(fault, DisorderTime):
        return Distortion(active, fault.nodes, _disordering(timedelta(seconds=fault.by)))
    if isinstance(fault, Rollover):
        return Distortion(active, fault.nodes, _rolling(fault.left))
    return None


def _cycling(codes: list[int], turn: Callable[[], int]) -> Distort:
    return lambda name, truth: truth._replace(code=codes[turn() % len(codes)])


def _disordering(by: timedelta) -> Distort:
    odd: dict[str, bool] = {}

    def distort(name: str, truth: ServedValue) -> ServedValue:
        odd[name] = not odd.get(name, False)
        return truth if odd[name] else truth._replace(source_time=truth.source_time - by)

    return distort


def _rolling(left: int) -> Distort:
    """Shift each counter so that its first value is `left` below the maximum."""
    shifts: dict[str, int] = {}

    def distort(name: str, truth: ServedValue) -> ServedValue:
        if not isinstance(truth.content, int) or isinstance(truth.content, bool):
            return truth
        shift = shifts.setdefault(name, TOP - 1 - left - truth.content)
        return truth._replace(content=(truth.content + shift) % TOP)

    return distort
