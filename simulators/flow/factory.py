"""The whole plant in one simpy environment."""

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime

import simpy

from simulators.flow.assembly import stores_of
from simulators.flow.change import Change, Command, Ledger
from simulators.flow.crew import Crew
from simulators.flow.kernel import Kernel
from simulators.flow.line import Line
from simulators.flow.machine import Machine
from simulators.flow.sensors import signals_of
from simulators.flow.set_points import SetPoints
from simulators.flow.shifts import working_spans
from simulators.flow.stress import tags_of
from simulators.plant import Plant
from simulators.states import State


class Factory:
    """A running plant.  The same plant and seed give the same changes in the same order, whatever drives it.

    `start` is the instant of simulated time 0 for the shifts (default: as in the file).  `keeping=False` records no
    changes: for long runs that only read counts and accounts.
    """

    def __init__(self, plant: Plant, seed: int, keeping: bool = True, start: datetime | None = None) -> None:
        self.plant = plant
        self.seed = seed
        self.start = start or plant.start
        self.env = Kernel(initial_time=0.0)
        self._ledger = Ledger(keeping)
        self.crews = {
            crew.name: Crew(
                self.env, crew, working_spans(crew.shifts, plant.timezone, self.start) if crew.shifts else None
            )
            for crew in plant.crews
        }
        stores = stores_of(plant, self.env)
        self.lines: Sequence[Line] = [
            Line(self.env, spec, seed, self._ledger, self.crews, stores) for spec in plant.lines
        ]
        self.machines: Sequence[Machine] = [machine for line in self.lines for machine in line.machines]
        self.set_points = SetPoints(self.lines, self.crews, self._ledger)
        self.stress = [tag for spec in plant.stress for tag in tags_of(spec)]
        for machine in self.machines:
            machine.signals = signals_of(machine, seed)
        for line in self.lines:
            if line.spec.shifts:
                self._keep_hours(line, working_spans(line.spec.shifts, plant.timezone, self.start))

    @property
    def now_s(self) -> float:
        """The simulated time, in seconds since the start."""
        return float(self.env.now)

    @property
    def changes(self) -> list[Change]:
        """The changes since they were last taken, oldest first."""
        return self._ledger.changes

    @property
    def commands(self) -> list[Command]:
        """Every command from outside that was obeyed: see `simulators/flow/replay.py`."""
        return self._ledger.commands

    def take_changes(self) -> list[Change]:
        """The changes since the last call, oldest first; the list starts anew."""
        return self._ledger.take()

    def machine(self, path: str) -> Machine:
        """The machine of a path such as `line-1/press`.  Raises KeyError when there is none."""
        return {machine.path: machine for machine in self.machines}[path]

    def run(self, until_s: float) -> None:
        """Run to `until_s` at full speed.  Events at exactly `until_s` belong to the next run."""
        self.env.run(until=until_s)

    def _keep_hours(self, line: Line, spans: Iterator[tuple[float, float]]) -> None:
        first = next(spans)
        if first[0] > 0:
            for machine in line.machines:
                machine.stop(State.OFF)
        self.env.process(self._hours(line.machines, first, spans))

    def _hours(
        self, machines: Sequence[Machine], span: tuple[float, float], spans: Iterator[tuple[float, float]]
    ) -> Generator[simpy.Event, None, None]:
        while True:
            begin_s, end_s = span
            if begin_s > 0:
                yield self.env.timeout(begin_s - self.env.now)
                for machine in machines:
                    machine.release(State.OFF)
            yield self.env.timeout(end_s - self.env.now)
            for machine in machines:
                machine.stop(State.OFF)
            span = next(spans)
