"""Objects / site / Simulation: simulated time, which clients can read and control while it runs.

| node | type | |
| --- | --- | --- |
| SimulatedTime | Double, s | since the start |
| Speed | Double, writable | simulated seconds per second |
| Lag | Double, s | how late the simulation is, in wall time |
| Paused | Boolean | |
| Pause, Resume | methods | stop and continue simulated time |
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from asyncua import ua

from simulators.server.machines import NodeNamespace, add_limits, site_of
from simulators.server.nodes import ObjectIds, StatusCodes, numeric, status
from simulators.server.operations import Operations
from simulators.server.space import READ, WRITE
from simulators.server.value_writer import ValueWriter
from simulators.signals import UNITS

SLOWEST, FASTEST = 0.001, 1e6
ANALOG = numeric(ObjectIds.AnalogUnitRangeType)


class SimulationClock(Protocol):
    """The part of the clock that clients may read and control."""

    @property
    def now_s(self) -> float: ...
    @property
    def speed(self) -> float: ...
    @property
    def lag_s(self) -> float: ...
    @property
    def paused(self) -> bool: ...
    def set_speed(self, speed: float) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Simulation:
    """The `Simulation` object of one server."""

    def __init__(
        self, ns: NodeNamespace, site: str, writer: ValueWriter, operations: Operations, pace: SimulationClock
    ) -> None:
        self._writer = writer
        self._pace = pace
        self._operations = operations
        space, text = ns.space, f"{site}/Simulation"
        node_id = space.add_object(ns.id(text), ns.name("Simulation"), site_of(ns, site))
        self._variables = {
            name: space.add_variable(
                ns.id(f"{text}/{name}"), ns.name(name), node_id, ua.VariantType.Double, 0.0, type_id=ANALOG,
                access=READ | WRITE if name == "Speed" else READ,
            )
            for name in ("SimulatedTime", "Speed", "Lag")
        }  # fmt: skip
        for name, variable in self._variables.items():
            unit, limits = ("1", (SLOWEST, FASTEST)) if name == "Speed" else ("s", (0.0, 1e10))
            add_limits(ns, variable.node_id, f"{text}/{name}", UNITS[unit], limits)
        self._paused = space.add_variable(
            ns.id(f"{text}/Paused"), ns.name("Paused"), node_id, ua.VariantType.Boolean, False
        )
        space.add_method(ns.id(f"{text}/Pause"), ns.name("Pause"), node_id, self._doing(pace.pause))
        space.add_method(ns.id(f"{text}/Resume"), ns.name("Resume"), node_id, self._doing(pace.resume))
        operations.add_set_point(self._variables["Speed"], SLOWEST, FASTEST, self._set_speed)

    def show(self, now_s: float) -> None:
        """Write the present values."""
        self._writer.write(self._variables["SimulatedTime"], now_s, now_s)
        self._writer.write(self._variables["Speed"], self._pace.speed, now_s)
        self._writer.write(self._variables["Lag"], self._pace.lag_s, now_s)
        self._writer.write(self._paused, self._pace.paused, now_s)

    def _set_speed(self, speed: float) -> None:
        self._pace.set_speed(speed)
        self.show(self._pace.now_s)

    def _doing(self, what: Callable[[], None]) -> Callable[..., Awaitable[ua.StatusCode]]:
        async def method(parent: ua.NodeId, *arguments: ua.Variant) -> ua.StatusCode:
            if not self._operations.allowed():
                return status(StatusCodes.BadUserAccessDenied)
            what()
            self.show(self._pace.now_s)
            return status(0)

        return method
