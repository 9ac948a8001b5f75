"""An oven: it works on a whole batch at once."""

from collections.abc import Generator

import simpy

from simulators.flow.machine import Machine
from simulators.flow.part import Part
from simulators.flow.stoppable import Steps
from simulators.plant import Oven
from simulators.states import State


def bake(machine: Machine) -> Steps:
    """The process of an oven: fill it, bake once, hand the parts on one by one."""
    station = machine.station
    assert isinstance(station, Oven)
    while True:
        parts = yield from _fill(machine, station)
        if (steps := machine.prepare(parts[0])) is not None:
            yield from steps
        began_s = machine.env.now
        yield from machine.spend(State.WORKING, machine.work_s(parts[0]))
        for part in parts:
            defect = machine.finish(part, began_s)
            if (steps := machine.pass_on(part, defect)) is not None:
                yield from steps


def _fill(machine: Machine, station: Oven) -> Generator[simpy.Event, Part | None, list[Part]]:
    parts = [(yield from machine.next_part())]
    deadline_s = machine.env.now + station.patience
    while len(parts) < station.batch:
        part = (yield from machine.next_part()) if not station.patience else (yield from _one_by(deadline_s, machine))
        if part is None:
            break
        parts.append(part)
    return parts


def _one_by(deadline_s: float, machine: Machine) -> Generator[simpy.Event, Part | None, Part | None]:
    """Another part, if one comes before the deadline."""
    part = machine.inflow.take() if machine.ready else None
    left_s = deadline_s - machine.env.now
    if part is not None or left_s <= 0:
        return part
    machine.turn(State.STARVED)
    coming = machine.inflow.wait_part(machine)
    yield coming | machine.env.timeout(left_s)
    if coming.triggered:
        part = coming.value
        return part
    machine.inflow.give_up(coming)
    return None
