"""One part at a time: take, prepare, work, pass on."""

from simulators.flow.machine import Machine, Steps
from simulators.states import State


def process(machine: Machine) -> Steps:
    """The life of a machine that works on one part at a time."""
    while True:
        part = yield from machine.next_part()
        yield from machine.prepare(part)
        began_s = machine.env.now
        yield from machine.spend(State.WORKING, machine.work_s(part))
        defect = machine.finish(part, began_s)
        yield from machine.pass_on(part, defect)
