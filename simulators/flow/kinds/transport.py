"""A vehicle: it carries one part, hands it over, and comes back empty.  Both ways count as working."""

from simulators.flow.machine import Machine
from simulators.flow.stoppable import Steps
from simulators.plant import Transport
from simulators.states import State


def carry(machine: Machine) -> Steps:
    """The process of a vehicle."""
    station = machine.station
    assert isinstance(station, Transport)
    back_s = station.back.sampler(machine.seed, machine.path, "back")
    while True:
        part = yield from machine.next_part()
        defect = yield from machine.work(part)
        if (steps := machine.pass_on(part, defect)) is not None:
            yield from steps
        yield from machine.spend(State.WORKING, back_s())
