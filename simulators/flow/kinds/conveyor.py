"""A belt: parts move from end to end in a fixed time, keep their distance, and queue at the end.

One process puts parts on, another takes them off.  The belt is blocked while its first part cannot leave (the parts
behind it close up), works while it carries parts, and is starved while it is empty.  A stop halts all parts.
"""

from collections import deque

from simulators.flow.machine import Machine
from simulators.flow.part import Part
from simulators.flow.stoppable import GRAVEST, Steps
from simulators.plant import Conveyor
from simulators.states import State


def convey(machine: Machine) -> Steps:
    """The process of a belt."""
    station = machine.station
    assert isinstance(station, Conveyor)
    belt = Belt(machine, station.places)
    machine.env.process(belt.unload())
    return belt.load()


class Belt:
    """The parts on the belt: when each was put on, and at which running time of the belt it reaches the end."""

    def __init__(self, machine: Machine, places: int) -> None:
        self._machine = machine
        self._places = places
        self._on: deque[tuple[Part, float, float]] = deque()
        self._stuck = False
        machine.can_take = True
        self._changed = machine.env.event()

    def load(self) -> Steps:
        """Put parts on, at the distance of the places, as long as there is a place."""
        machine = self._machine
        while True:
            while len(self._on) >= self._places:
                yield self._changed
            part = machine.inflow.take() if machine.ready else None
            if part is None:
                self._show()
                part = yield machine.inflow.wait_part(machine)
                assert part is not None
            if (steps := machine.prepare(part)) is not None:
                yield from steps
            travel_s = machine.work_s(part)
            now_s = machine.env.now
            self._on.append((part, now_s, self._running_s() + travel_s))
            self._tell()
            yield machine.env.timeout(travel_s / self._places)

    def unload(self) -> Steps:
        """Take parts off at the end, first in first out."""
        machine = self._machine
        while True:
            while not self._on:
                yield self._changed
            part, on_s, off_s = self._on[0]
            while (wait_s := off_s - self._running_s()) > 1e-9 or not machine.ready:
                yield machine.env.timeout(wait_s) if machine.ready else machine.wait_ready()
            defect = machine.finish(part, on_s)
            self._stuck = True
            if (steps := machine.pass_on(part, defect)) is not None:
                yield from steps
            self._stuck = False
            self._on.popleft()
            self._tell()

    def _running_s(self) -> float:
        """How long the belt has run, in seconds: the time without stops."""
        machine, now_s = self._machine, self._machine.env.now
        return float(now_s) - sum(machine.account.seconds_in(stop, now_s) for stop in GRAVEST)

    def _tell(self) -> None:
        changed, self._changed = self._changed, self._machine.env.event()
        changed.succeed()
        self._machine.can_take = len(self._on) < self._places
        if self._stuck and not self._machine.can_take:
            self._machine.filled_up(self._on[0][0])
        self._show()

    def _show(self) -> None:
        if not self._stuck:
            self._machine.turn(State.WORKING if self._on else State.STARVED)
