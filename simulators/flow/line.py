"""A line: stations in series with buffers in between, and the parts on it."""

from itertools import count

import simpy

from simulators import plant
from simulators.flow.buffer import Buffer
from simulators.flow.change import Ledger
from simulators.flow.machine import Machine
from simulators.flow.part import Part


class Line:
    """Raw parts without end on one side, finished parts on the other.  Entered = delivered + lost + on the line."""

    def __init__(self, env: simpy.Environment, spec: plant.Line, seed: int, ledger: Ledger) -> None:
        self.env = env
        self.name = spec.name
        self.spec = spec
        self.ledger = ledger
        self.entered = self.delivered = self.lost = 0
        self._serials = count(1)
        self.buffers = [Buffer(env, station.buffer) for station in spec.stations]
        self._after = dict(zip([s.name for s in spec.stations], [*self.buffers[1:], None], strict=True))
        self.buffers[0].supply = self._raw_part
        self.machines = [
            Machine(self, station, name, seed, inflow)
            for station, inflow in zip(spec.stations, self.buffers, strict=True)
            for name in station.machine_names
        ]

    @property
    def parts(self) -> int:
        """How many parts are on the line now."""
        return self.entered - self.delivered - self.lost

    def after(self, station: plant.Station) -> Buffer | None:
        """Where a good part goes after a station; None: it is finished."""
        return self._after[station.name]

    def deliver(self, part: Part) -> None:
        self.delivered += 1

    def lose(self, part: Part) -> None:
        self.lost += 1

    def _raw_part(self) -> Part:
        self.entered += 1
        return Part(f"{self.name}-{next(self._serials):08d}", self.spec.product, self.env.now)
