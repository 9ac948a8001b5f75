"""A loop of carriers: a part enters the loop's first station only on a carrier, and keeps it until the last one."""

from collections.abc import Callable, Generator

import simpy

from simulators import plant
from simulators.flow.part import Part


class Loop:
    """Carriers that wait, carry a part, or travel back empty."""

    def __init__(self, env: simpy.Environment, spec: plant.Loop, line: plant.Line, seed: int) -> None:
        names = [station.name for station in line.stations]
        self.env = env
        self.name = spec.name
        self.stations = names[names.index(spec.first) : names.index(spec.last) + 1]
        self.free = spec.carriers
        self.on_return: Callable[[], None] = lambda: None
        self._back_s = spec.back.sampler(seed, f"{line.name}/{spec.name}", "back")

    def load(self, part: Part) -> None:
        """Put a part on a waiting carrier."""
        self.free -= 1
        part.carrier = self

    def leave(self, part: Part) -> None:
        """Take a part off at the end of the loop; its carrier travels back to the beginning."""
        if part.carrier is self:
            part.carrier = None
        travel_s = self._back_s()
        if travel_s > 0:
            self.env.process(self._come_back(travel_s))
        else:
            self._arrive()

    def _come_back(self, travel_s: float) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(travel_s)
        self._arrive()

    def _arrive(self) -> None:
        self.free += 1
        self.on_return()
