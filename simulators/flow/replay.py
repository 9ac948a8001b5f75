"""The same run again: plant, seed and the commands that were obeyed are all there is to it.

A command acts after everything that happens at its simulated time; the clock sees to that, and so does this.
"""

from collections.abc import Iterable

import simpy

from simulators.flow.change import Command
from simulators.flow.factory import Factory
from simulators.flow.packml_unit import PackMLUnit
from simulators.states import Cause


def replay(factory: Factory, commands: Iterable[Command], until_s: float) -> None:
    """Drive a new factory to a simulated time, giving each command at its own."""
    units = {machine.path: PackMLUnit(machine) for machine in factory.machines}
    for command in commands:
        through(factory.env, command.at_s)
        if command.name == "speed":
            units[command.machine].machine.set_speed(float(command.value))
        else:
            units[command.machine].command(Cause[str(command.value).upper()])
    through(factory.env, until_s)


def through(env: simpy.Environment, at_s: float) -> None:
    """Let everything happen up to and at a simulated time, and stand there."""
    while env.peek() <= at_s:
        env.step()
    stand_at(env, at_s)


def stand_at(env: simpy.Environment, at_s: float) -> None:
    """Move simulated time on over a span in which nothing happens."""
    if at_s <= env.now:
        return
    env.run(until=at_s)
    if env.peek() <= at_s:
        env.step()  # run() leaves its own stop event behind, first in line: peek() would see only that
