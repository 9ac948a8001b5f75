"""The part of the factory that one OPC UA server shows, and how it is kept up to date.

Changes (state, counters, cycle times) are written one by one, in order, each with the simulated instant at which it
happened.  None is merged with the next, at any speed.  Signals, energy and operation counters are functions of
simulated time.  They are sampled at a rate in *wall* time, so a factory at 1000 x does not send 1000 x as many samples.
A value equal to the last written one is not written again.
"""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncua.server.address_space import NodeData

from simulators.alarms import NO_ALARMS, Alarms
from simulators.flow import Change, Line, Machine, SetPoints
from simulators.flow.crew import Crew
from simulators.flow.curves import Curves, axis
from simulators.flow.packml_unit import PackMLUnit
from simulators.flow.results import Results
from simulators.flow.stress import StressTag
from simulators.server.conditions import ConditionMethods, Conditions
from simulators.server.endpoint import MODEL_URI, OpcUaServer
from simulators.server.events import Events
from simulators.server.information import Information
from simulators.server.lines import LinesShown
from simulators.server.machines import MachineNodes, NodeNamespace, add_machines, title
from simulators.server.models import TABLES, Models, table
from simulators.server.nodes import collection_paused
from simulators.server.operations import Operations
from simulators.server.pacing import Simulation, SimulationClock
from simulators.server.record import Recorder
from simulators.server.space import Space, Variable
from simulators.server.stress import Load
from simulators.server.value_writer import ValueWriter
from simulators.states import Pack, State

STATE_NUMBERS = {state.value: number for number, state in enumerate(State)}
"""The value of StateNumber for each value of State."""
VARIABLES = {
    "state": "State", "good": "Good", "scrap": "Scrap", "rework": "Rework", "cycle_s": "CycleTime", "fault": "Fault",
    "serial": "SerialNumber", "defect": "Defect", "product": "Product", "order": "Order", "reason": "Reason",
    "ideal_s": "IdealTime",
}  # fmt: skip
"""Which variable shows which change.  Changes of other names are not served."""
REMEMBERED = ("State", "Good", "Scrap", "CycleTime", "Fault")
"""The variables whose history is kept."""


class PlantServer:
    """One server's view of some machines."""

    def __init__(
        self, endpoint: OpcUaServer, writer: ValueWriter, ns: NodeNamespace, models: Models, site: str = ""
    ) -> None:
        self.endpoint = endpoint
        self.writer = writer
        self._ns = ns
        self.information = Information(ns, models, writer.write)
        core = endpoint.iserver
        self.events = Events(ns, core.subscriptions, (self.information.notifier, ns.id(site)))
        self.conditions = Conditions(ns, self.information.maker, self.events, writer)
        self.operations = Operations(
            ns, endpoint.access.may_operate, lambda: core.caller, self._speed_changed, self.information
        )
        self._methods = ConditionMethods(ns.space, self.conditions, lambda: core.calling, self.operations.allowed)
        core.judge = self.operations.judge
        core.read_history = writer.history.read
        self.machines: dict[str, MachineNodes] = {}
        self.lines: LinesShown | None = None
        self.load: Load | None = None
        self.simulation: Simulation | None = None
        self._removed: dict[object, list[NodeData]] = {}
        self._passed: list[tuple[Machine, Pack, float]] = []

    def add(
        self, site: str, units: Collection[PackMLUnit], stress: Sequence[StressTag] = (), now_s: float = 0.0
    ) -> None:
        """Build the address space for machines and load variables.  The PackML units outlive the server."""
        if stress:
            self.load = Load(self._ns, self.writer, site, stress, now_s)
        by_path = {unit.machine.path: unit for unit in units}
        machines = [unit.machine for unit in units]
        self.machines = add_machines(self._ns, site, machines, self.information.type_of)
        for nodes in self.machines.values():
            unit = by_path[nodes.machine.path]
            unit.on_state.clear()
            if nodes.machine.results is None:
                nodes.machine.results = Results(nodes.machine.station.machine_names)
            if nodes.machine.curves is None and (specs := nodes.machine.station.curves):
                nodes.machine.curves = Curves(specs, nodes.machine.seed, nodes.machine.path)
            shown = self.information.add(nodes, unit)
            self.operations.add(shown)
            self.conditions.add_breakdown(nodes)
            if shown.packml is not None:
                unit.on_state.append(self._remember_state(nodes.machine))
            for name in REMEMBERED:
                self.writer.history.keep(nodes.variables[name])
            for name in ("energy", *nodes.machine.signals):
                self.writer.history.keep(nodes.variables[title(name)], sampled=True)

    def add_alarms(self, file: Alarms, now_s: float) -> None:
        """Add the alarms of an alarm file, and bind the methods of all conditions."""
        self.conditions.add_file(file, self.machines, now_s)
        self._methods.bind()

    def add_lines(self, plan: "Plan") -> None:
        """Add the lines and crews that this server shows, and the set-points of everything that it shows."""
        self.lines = LinesShown(self._ns, plan.site, self.writer, self.operations)
        self.lines.add(plan.lines, plan.crews)
        if plan.set_points is not None:
            of_lines = [f"{line.name}/{part}" for line in plan.lines for part in ("SetPoints", "Buffers")]
            self.lines.add_points(plan.set_points.of(*of_lines, *self.machines), plan.set_points)

    def remove_nodes(self, key: object, variables: Iterable[Variable]) -> None:
        """Remove variables from the address space, until `restore_nodes` with the same key."""
        self._removed[key] = [self._ns.space.remove(variable.node_id) for variable in variables]

    def restore_nodes(self, key: object) -> None:
        for node in self._removed.pop(key, ()):
            self._ns.space.restore(node)

    def _remember_state(self, machine: Machine) -> Callable[[Pack, float], None]:
        return lambda state, at_s: self._passed.append((machine, state, at_s))

    def write_all(self, now_s: float) -> None:
        """Write every present value: before the first client connects."""
        for nodes in self.machines.values():
            machine, variables = nodes.machine, nodes.variables
            for name, content in (
                ("State", machine.state.value), ("StateNumber", STATE_NUMBERS[machine.state.value]),
                ("Good", machine.good), ("Scrap", machine.scrap), ("Rework", machine.rework),
                ("IdealCycleTime", machine.ideal_cycle_s), ("SpeedFactor", machine.speed), ("Fault", machine.fault),
                ("CycleTime", 0.0), ("SerialNumber", ""), ("Defect", ""), ("IdealTime", machine.ideal_s),
                ("Product", machine.product), ("Order", machine.order),
                ("Reason", machine.reason), ("Since", self.writer.instant(machine.account.since_s)),
            ):  # fmt: skip
                self.writer.write(variables[name], content, now_s)
            self.information.show(machine, machine.state, now_s)
            if machine.fault:
                self.conditions.broke_down(nodes, machine.fault, machine.severity, now_s)
            self.information.show_pack_state(machine, self.information.shown[machine.path].unit.state, now_s)
        if self.lines is not None:
            self.lines.write_all(now_s)
        if self.load is not None:
            self.load.write_all(now_s)
        self.conditions.write_all(now_s)
        self.sample(now_s)

    def record_rest(self, now_s: float) -> None:
        """Record the value of every variable not recorded yet.  Called once, before the first client connects."""
        self.sample(now_s)
        self.writer.record_rest(self._ns.index)

    def publish(self, changes: Sequence[Change], now_s: float) -> None:
        """Write the changes up to `now_s`.  Changes of machines on other servers are left out."""
        if self.load is not None:
            self.load.publish(now_s)
        for machine, state, at_s in self._passed:
            self.information.show_pack_state(machine, state, at_s)
        self._passed.clear()
        if self.lines is not None:
            self.lines.publish(changes)
        for change in changes:
            nodes = self.machines.get(change.machine)
            name = VARIABLES.get(change.name)
            if nodes is not None and name is not None:
                before = nodes.variables[name].content
                self.writer.write(nodes.variables[name], change.value, change.at_s)
                self._follow_up(nodes, change, before)
        self.conditions.play(now_s)

    def _follow_up(self, nodes: MachineNodes, change: Change, before: object) -> None:
        """Write the other variables and send the events that follow from a change."""
        at = self.writer.instant(change.at_s)
        if change.name == "state":
            state = State(str(change.value))
            self.writer.write(nodes.variables["StateNumber"], STATE_NUMBERS[state.value], change.at_s)
            self.writer.write(nodes.variables["Since"], at, change.at_s)
            self.information.show(nodes.machine, state, change.at_s)
            self.events.state_changed(nodes, state.value, str(before), at)
        elif change.name == "fault":
            self.conditions.broke_down(nodes, str(change.value), nodes.machine.severity, change.at_s)
        elif change.name == "cycle_s" and nodes.machine.curves is not None:
            self._write_curves(nodes, nodes.machine.curves, change)
        elif change.name == "serial" and nodes.machine.results is not None:
            result = nodes.machine.results.take(str(change.value), change.at_s)
            if result is not None:
                self.events.part_done(nodes, result, at)

    def _write_curves(self, nodes: MachineNodes, curves: Curves, change: Change) -> None:
        found = curves.take(change.at_s)
        for spec in curves.specs:
            name = title(spec.name)
            if spec.name in found:
                self.writer.write(nodes.variables[name], found[spec.name], change.at_s)
                step = axis(spec, float(change.value))[1]
                self.writer.write(nodes.variables[f"{name}Step"], step, change.at_s)

    def sample(self, now_s: float) -> None:
        """Write the present value of everything that is a function of time."""
        if self.simulation is not None:
            self.simulation.show(now_s)
        if self.lines is not None:
            self.lines.sample(now_s)
        for nodes in self.machines.values():
            machine = nodes.machine
            self.writer.write(nodes.variables["Energy"], machine.energy_j(now_s), now_s)
            for name, signal in machine.signals.items():
                self.writer.write(nodes.variables[title(name)], signal.value(now_s), now_s)
            self.information.count(machine, now_s)
        self.conditions.look(now_s)

    def _speed_changed(self, nodes: MachineNodes) -> None:
        now_s = float(nodes.machine.env.now)
        self.writer.write(nodes.variables["SpeedFactor"], nodes.machine.speed, now_s)
        self.information.show_speed(nodes.machine, nodes.machine.state, now_s)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one server should show."""

    name: str
    site: str
    units: Sequence[PackMLUnit]
    stress: Sequence[StressTag]
    epoch: datetime
    """The instant of simulated time 0."""
    pace: SimulationClock | None = None
    """The clock that clients may read and control."""
    lines: Sequence[Line] = ()
    crews: Sequence[Crew] = ()
    set_points: SetPoints | None = None
    alarms: Alarms = NO_ALARMS


async def build(
    server: OpcUaServer, plan: Plan, recorder: Recorder, now_s: float = 0.0, shuffle: random.Random | None = None
) -> PlantServer:
    """Fill the address space of a server that does not listen yet, and write every variable once.

    `shuffle` gives the namespaces other indexes than usual.
    """
    uris = [MODEL_URI, *(table(name).uri for name in TABLES)]
    if shuffle is not None:
        shuffle.shuffle(uris)
    indexes = {uri: await server.register_namespace(uri) for uri in uris}
    ns = NodeNamespace(Space(server.iserver.aspace), indexes[MODEL_URI])
    models = Models(ns.space, {table(name).letter: indexes[table(name).uri] for name in TABLES})
    writer = ValueWriter(ns.space, plan.epoch, await server.get_namespace_array(), recorder)
    with collection_paused():
        for name in TABLES:
            models.add(table(name).rows)
        plant_server = PlantServer(server, writer, ns, models, plan.site)
        plant_server.add(plan.site, plan.units, plan.stress, now_s)
        plant_server.add_lines(plan)
        plant_server.add_alarms(plan.alarms, now_s)
        if plan.pace is not None:
            plant_server.simulation = Simulation(ns, plan.site, writer, plant_server.operations, plan.pace)
    plant_server.write_all(now_s)
    return plant_server
