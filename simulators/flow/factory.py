"""The whole plant in one simpy environment."""

from collections.abc import Sequence

import simpy

from simulators.flow.change import Change, Ledger
from simulators.flow.line import Line
from simulators.flow.machine import Machine
from simulators.flow.sensors import signals_of
from simulators.plant import Plant


class Factory:
    """A plant that runs.  Same plant, same seed: the same changes in the same order, however it is driven.

    `keeping=False` records no changes: for long runs that only read counts and accounts.
    """

    def __init__(self, plant: Plant, seed: int, keeping: bool = True) -> None:
        self.plant = plant
        self.seed = seed
        self.env = simpy.Environment()
        self._ledger = Ledger(keeping)
        self.lines: Sequence[Line] = [Line(self.env, line, seed, self._ledger) for line in plant.lines]
        self.machines: Sequence[Machine] = [machine for line in self.lines for machine in line.machines]
        for machine in self.machines:
            machine.signals = signals_of(machine, seed)

    @property
    def now_s(self) -> float:
        """The simulated time, in seconds since the start."""
        return float(self.env.now)

    @property
    def changes(self) -> list[Change]:
        """What has happened since the changes were last taken."""
        return self._ledger.changes

    def take_changes(self) -> list[Change]:
        """What has happened since the last call, oldest first."""
        return self._ledger.take()

    def run(self, until_s: float) -> None:
        """Go to a simulated time at full speed.  What happens exactly then belongs to the next run."""
        self.env.run(until=until_s)
