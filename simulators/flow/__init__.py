"""The SimPy kernel of a plant: stations, buffers, failures, quality.  It knows neither wall time nor network."""

from simulators.flow.change import Change, Command
from simulators.flow.factory import Factory
from simulators.flow.line import Line
from simulators.flow.machine import Machine
from simulators.flow.packml_unit import PackMLUnit
from simulators.flow.part import Part, Visit
from simulators.flow.replay import replay
from simulators.flow.set_points import SetPoint, SetPoints

__all__ = [
    "Change",
    "Command",
    "Factory",
    "Line",
    "Machine",
    "PackMLUnit",
    "Part",
    "SetPoint",
    "SetPoints",
    "Visit",
    "replay",
]
