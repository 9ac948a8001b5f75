"""The kinds of stations: one small file each, written with the verbs of `Machine`.

A new kind is a file here, a class with its keys in `simulators/plant/stations.py`, and a line in `STATION_PROCESSES`.
"""

from collections.abc import Callable, Mapping

from simulators.flow.kinds.conveyor import convey
from simulators.flow.kinds.oven import bake
from simulators.flow.kinds.process import process
from simulators.flow.kinds.transport import carry
from simulators.flow.machine import Machine
from simulators.flow.stoppable import Steps

STATION_PROCESSES: Mapping[str, Callable[[Machine], Steps]] = {
    "process": process,
    "transport": carry,
    "conveyor": convey,
    "oven": bake,
}
