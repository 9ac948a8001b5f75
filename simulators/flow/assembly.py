"""Where two flows meet: the finished parts of one line wait to be built into the parts of another.

A store is the last buffer of the line that feeds it: when it is full, that line is blocked.  A part leaves its line
when it is built in, and counts as delivered then.
"""

from collections.abc import Callable, Mapping

import simpy

from simulators.flow.buffer import Buffer
from simulators.flow.part import Part
from simulators.plant import Plant


class Store(Buffer):
    """Finished parts of a line that wait to be built in."""

    def __init__(self, env: simpy.Environment, places: int) -> None:
        super().__init__(env, places)
        self.on_use: Callable[[Part], None] = lambda part: None
        """Called with each part that is built in: its line delivers it."""


def stores_of(plant: Plant, env: simpy.Environment) -> Mapping[str, Store]:
    """The stores of a plant, by the line that fills them."""
    return {
        component.line: Store(env, component.places)
        for line in plant.lines
        for station in line.stations
        for component in station.components
        if component.line is not None
    }
