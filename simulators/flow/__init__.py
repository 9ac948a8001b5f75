"""The SimPy kernel of a plant: stations, buffers, failures, quality.  No clock of the wall, no network."""

from simulators.flow.change import Change, Command
from simulators.flow.factory import Factory
from simulators.flow.line import Line
from simulators.flow.machine import Machine
from simulators.flow.part import Part, Visit
from simulators.flow.replay import replay
from simulators.flow.unit import Unit

__all__ = ["Change", "Command", "Factory", "Line", "Machine", "Part", "Unit", "Visit", "replay"]
