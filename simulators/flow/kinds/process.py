"""One part at a time: take, work, pass on."""

import simpy

from simulators.flow.change import Change
from simulators.flow.kernel import Pause
from simulators.flow.machine import Machine
from simulators.flow.part import Visit
from simulators.flow.stoppable import STARVED, WORKING, Steps
from simulators.plant import Defect


def process(machine: Machine) -> Steps:
    """The process of a machine that works on one part at a time.

    It does the same as `in_verbs`, with the usual case of each verb written out: nothing stops the machine, no failure
    is near, the part is good, and there is one way to go.  Nine of ten events of a plant pass here, and what a cycle
    costs is its calls and its look-ups.  A test compares the two.
    """
    env, path, name, account, inflow = machine.env, machine.path, machine.name, machine.account, machine.inflow
    take, at_once, one_time_s = inflow.take, machine.begins_at_once, machine.one_time_s
    operating, striking, care = machine.processes.operating, machine.processes.striking, machine.processes.between_parts
    quality, luck, spoiled, ideals = machine.quality, machine.quality.luck, machine.causes.spoil, machine.ideals
    keep, counted, witnesses, flashing = machine.keep, machine.is_counted, machine.witnesses, machine.flashing
    only = machine.routes.only
    outflow = machine.outflows.get(only) if machine.station.blocking == "after" else None
    defect: Defect | None
    while True:
        part = None if machine.stopped or care else take()
        if part is None:
            if care:
                part = yield from machine.next_part()
            else:
                machine.turn(STARVED)
                part = yield inflow.wait_part(machine)
                assert part is not None, "the inflow hands over parts only"
        while True:
            if at_once:
                if part.order != machine.order or part.product != machine.product:
                    machine.show_work(part)
            elif (steps := machine.prepare(part)) is not None:
                yield from steps
            began_s, seconds = env.now, one_time_s() if one_time_s is not None else machine.work_s(part)
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
                    yield Pause(env, span)
                    machine.timing = False
                    left = 0.0
                except simpy.Interrupt:
                    span = env.now - began_s
                    left = max(seconds - span * speed, 1e-9)
                for each in operating:
                    each.left -= span * hazard
                if left or machine.stopped:
                    yield from machine.spend(WORKING, left)
            now = env.now
            machine.cycles += 1
            machine.ideal_s = ideal_s = machine.ideal_s + (ideals.get(part.product) or machine.ideal_of(part.product))
            if counted:
                machine.count(part)
            if spoiled or quality.factor != 1.0:
                defect = quality.verdict(machine.causes.defects(part, now))
            elif not quality.is_asked or (drawn := luck()) >= quality.bad:
                defect = None
            else:
                defect = quality.found(drawn)
            if flashing is not None:
                defect = flashing.verdict(part) or defect
            part.visits.append(Visit(name, began_s, now, "" if defect is None else defect.code))
            if machine.curves is not None:
                machine.remember_cycle(now, defect)
            for witness in witnesses:
                witness(part, began_s)
            if defect is None:
                break
            if keep is not None:
                keep((Change(now, path, "cycle_s", now - began_s), Change(now, path, "ideal_s", ideal_s)))
            if not machine.put_right_here(part, defect):
                break
        if defect is not None:
            steps = machine.pass_on(part, defect)
        else:
            machine.good = good = machine.good + 1
            if keep is not None:
                keep(
                    (
                        Change(now, path, "cycle_s", now - began_s),
                        Change(now, path, "ideal_s", ideal_s),
                        Change(now, path, "good", good),
                        Change(now, path, "serial", part.serial),
                    )
                )
            if machine.results is not None:
                machine.tell_result(part, "good", "")
            if outflow is None or part.carrier is not None:
                steps = machine.hand_on(part, only or machine.routes.next_after(part))
            elif outflow.offer(part):
                continue
            else:
                steps = machine.wait_room(part, outflow, only, None)
        if steps is not None:
            yield from steps


def in_verbs(machine: Machine) -> Steps:
    """The same process, written with the verbs of `Machine`."""
    while True:
        part = yield from machine.next_part()
        defect = yield from machine.work(part)
        if (steps := machine.pass_on(part, defect)) is not None:
            yield from steps
