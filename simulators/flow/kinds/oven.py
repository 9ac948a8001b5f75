"""An oven: works on a whole batch at once."""

from collections.abc import Generator

import simpy

from simulators.flow.machine import Machine, Steps
from simulators.flow.part import Part
from simulators.plant import Oven
from simulators.states import State


def bake(machine: Machine) -> Steps:
    """The life of an oven: fill it, bake once, hand the parts on one by one."""
    station = machine.station
    assert isinstance(station, Oven)
    while True:
        parts = yield from _fill(machine, station)
        yield from machine.prepare(parts[0])
        began_s = machine.env.now
        yield from machine.spend(State.WORKING, machine.work_s(parts[0]))
        for part in parts:
            defect = machine.finish(part, began_s)
            yield from machine.pass_on(part, defect)


def _fill(machine: Machine, station: Oven) -> Generator[simpy.Event, Part | None, list[Part]]:
    parts = [(yield from machine.next_part())]
    deadline_s = machine.env.now + station.patience
    while len(parts) < station.batch:
        if not station.patience:
            parts.append((yield from machine.next_part()))
            continue
        part = machine.inflow.take()
        if part is None:
            if machine.env.now >= deadline_s:
                break
            machine.turn(State.STARVED)
            yield machine.env.timeout(min(1.0, deadline_s - machine.env.now))
        else:
            parts.append(part)
    return parts
