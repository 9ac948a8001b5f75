"""Repeats a run: plant, seed and the obeyed commands determine it completely.

A command acts after all other events at its simulated time.  The clock ensures this in the first run, and this module
in the repeated one.
"""

from collections.abc import Iterable

import simpy

from simulators.flow.change import Command
from simulators.flow.factory import Factory
from simulators.flow.packml_unit import PackMLUnit
from simulators.states import Cause


def replay(factory: Factory, commands: Iterable[Command], until_s: float) -> None:
    """Run a new factory to `until_s`, with each command at its own time."""
    units = {machine.path: PackMLUnit(machine) for machine in factory.machines}
    for command in commands:
        through(factory.env, command.at_s)
        if (command.machine, command.name) in factory.set_points.all:
            factory.set_points.set(command.machine, command.name, command.value)
        elif command.name == "speed":
            units[command.machine].machine.set_speed(float(command.value))
        else:
            units[command.machine].command(Cause[str(command.value).upper()])
    through(factory.env, until_s)


def through(env: simpy.Environment, at_s: float) -> None:
    """Process every event up to and at `at_s`, and stop there."""
    while env.peek() <= at_s:
        env.step()
    stand_at(env, at_s)


def stand_at(env: simpy.Environment, at_s: float) -> None:
    """Advance simulated time over a span without events."""
    if at_s <= env.now:
        return
    env.run(until=at_s)
    if env.peek() <= at_s:
        env.step()  # run() leaves its own stop event first in the queue, and peek() would see that one
