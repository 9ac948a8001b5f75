"""The SimPy kernel of a plant: stations, buffers, failures, quality.  No clock of the wall, no network."""

from simulators.flow.change import Change
from simulators.flow.factory import Factory
from simulators.flow.machine import Machine

__all__ = ["Change", "Factory", "Machine"]
