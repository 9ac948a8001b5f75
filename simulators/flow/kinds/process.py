"""One part at a time: take, work, pass on."""

from simulators.flow.machine import Machine, Steps


def process(machine: Machine) -> Steps:
    """The life of a machine that works on one part at a time."""
    while True:
        part = yield from machine.next_part()
        defect = yield from machine.work(part)
        yield from machine.pass_on(part, defect)
