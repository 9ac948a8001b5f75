"""One part at a time: take, work, pass on."""

import simpy
from simpy.events import Timeout

from simulators.flow.machine import WORKING, Machine
from simulators.flow.stoppable import Steps


def process(machine: Machine) -> Steps:
    """The process of a machine that works on one part at a time.

    It does the same as `in_verbs`, with the usual case of `Machine.spend` (nothing stops the machine, no failure is
    near) written out.  Nine of ten events of a plant pass here, and a nested generator would cost as much as the event
    itself.  A test compares the two.
    """
    env, account, inflow, at_once = machine.env, machine.account, machine.inflow, machine.begins_at_once
    operating, striking, care = machine.processes.operating, machine.processes.striking, machine.processes.between_parts
    while True:
        part = None if machine.stopped or care else inflow.take()
        if part is None:
            part = yield from machine.next_part()
        while True:
            if at_once:
                if part.order != machine.order or part.product != machine.product:
                    machine.show_work(part)
            elif (steps := machine.prepare(part)) is not None:
                yield from steps
            began_s, seconds = env.now, machine.work_s(part)
            speed, hazard = machine.speed, machine.hazard
            span = seconds / speed
            for each in striking:
                if each.left <= span * hazard:
                    seldom = True
                    break
            else:
                seldom = machine.stopped > 0 or seconds <= 0
            if seldom:
                yield from machine.spend(WORKING, seconds)
            else:
                if account.state is not WORKING:
                    machine.turn(WORKING)
                machine.timing = True
                try:
                    yield Timeout(env, span)
                    machine.timing = False
                    left = 0.0
                except simpy.Interrupt:
                    span = env.now - began_s
                    left = max(seconds - span * speed, 1e-9)
                for each in operating:
                    each.left -= span * hazard
                if left or machine.stopped:
                    yield from machine.spend(WORKING, left)
            defect = machine.finish(part, began_s)
            if defect is None or not machine.put_right_here(part, defect):
                break
        if (steps := machine.pass_on(part, defect)) is not None:
            yield from steps


def in_verbs(machine: Machine) -> Steps:
    """The same process, written with the verbs of `Machine`."""
    while True:
        part = yield from machine.next_part()
        defect = yield from machine.work(part)
        if (steps := machine.pass_on(part, defect)) is not None:
            yield from steps
