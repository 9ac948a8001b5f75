"""The companion specifications of a machine: always OPC 40001-1 (Machinery), and PackML or MachineTool on request.

    Objects / Machines / <machine>                        the machine itself, the same node as below its line
        Identification                                    manufacturer, serial number
        MachineryBuildingBlocks / MachineryItemState, MachineryOperationMode, OperationCounters
        PackML                                            also below Objects / PackMLObjects
        Monitoring, Production, Equipment, Notification   of a machine tool, which is a MachineToolType

All values follow from the one state of the machine (`simulators/states.py`).  An inactive sub-state machine of PackML
has the status Bad_StateNotActive.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from asyncua import ua

from simulators.flow import Machine
from simulators.flow.packml_unit import PackMLUnit
from simulators.server import packml_admin
from simulators.server.instances import Instance, InstanceMaker
from simulators.server.machines import MachineNodes, NodeNamespace, unit_information
from simulators.server.models import HAS_ADDIN, TABLES, Models, Ref, table
from simulators.server.nodes import ObjectIds, StatusCodes, localized, numeric, qualified
from simulators.server.packml_admin import PackMLAdmin, PackMLTypes
from simulators.server.space import BASE_OBJECT, FOLDER_TYPE, HAS_COMPONENT, ORGANIZES, Variable
from simulators.signals import UnitOfMeasure
from simulators.states import MACHINERY, PACK_MODE_OF, Pack, PackMode, State

Write = Callable[[Variable, object, float, int], None]
"""Writes a variable: value, simulated time, status."""

MACHINES: Ref = ("m", 1001)
PACKML_OBJECTS: Ref = ("p", 72)
IDENTIFICATION: Ref = ("m", 1012)
ITEM_STATE: Ref = ("m", 1002)
OPERATION_MODE: Ref = ("m", 1008)
COUNTERS: Ref = ("m", 1009)
PACKML: Ref = ("p", 6)
MACHINE_TOOL: Ref = ("t", 13)
HAS_NOTIFIER = numeric(ObjectIds.HasNotifier)
PACK_MODES: Ref = ("p", 11)
PROGRAM_STATE: Ref = ("t", 15)
LEVELS = {"BaseStateMachine/MachineState/ExecuteState": 1, "BaseStateMachine/MachineState": 2, "BaseStateMachine": 3}
"""The three nested state machines of PackML, and the numbers of their types."""
COMMANDS = {
    "BaseStateMachine": ("Abort", "Clear"),
    "BaseStateMachine/MachineState": ("Stop", "Reset"),
    "BaseStateMachine/MachineState/ExecuteState": (
        "Start", "Reset", "Hold", "Unhold", "Suspend", "Unsuspend", "ToComplete",
    ),
}  # fmt: skip
PACK_OPTIONAL = frozenset(
    {f"{level}/{name}" for level, names in COMMANDS.items() for name in names}
    | {f"{level}/CurrentState/Number" for level in LEVELS}
    | {"Status/MachSpeed/EngineeringUnits", "Status/CurMachSpeed/EngineeringUnits", "Admin/MachDesignSpeed"}
    | {"Admin/AccTimeSinceReset", *packml_admin.OPTIONAL}
)
RUNNING, CLEARED = 18, 19
"""StateNumbers of the super-states that OPC 30050 adds."""
INACTIVE = StatusCodes.BadStateNotActive
TOOL_MODES = {State.SETUP: 2, State.MAINTENANCE: 4}
"""MachineOperationMode where it is not Automatic (1)."""
PROGRAM_STATES = {State.WORKING: 1, State.OFF: 2, State.DOWN: 3, State.HELD: 3}
"""State number of the active program (Running, Ended, Interrupted) where it is not Initializing (0)."""


@dataclass(frozen=True, slots=True)
class States:
    """The states of a state machine type by StateNumber, and its transitions."""

    names: dict[int, tuple[str, ua.NodeId]] = field(default_factory=dict)
    transitions: list[ua.NodeId] = field(default_factory=list)


def states_of(models: Models, type_ref: Ref) -> States:
    """The states, read from the table of the model."""
    rows = table(next(name for name in TABLES if table(name).letter == type_ref[0])).rows
    found = States()
    for row in rows:
        if row.parent != type_ref or row.type is None:
            continue
        if row.type == ("i", 2310):
            found.transitions.append(models.id(row.ref))
        numbers = [r.value for r in rows if r.parent == row.ref and r.name[1] == "StateNumber"]
        if numbers and isinstance(numbers[0], int):
            found.names[numbers[0]] = (row.name[1], models.id(row.ref))
    return found


@dataclass(frozen=True, slots=True)
class MachineInstances:
    """The instances of one machine."""

    nodes: MachineNodes
    unit: PackMLUnit
    item_state: Instance
    mode: Instance
    counters: Instance
    packml: Instance | None
    tool: Instance | None


class Information:
    """Adds the companion models to machines, and keeps their values up to date."""

    def __init__(self, ns: NodeNamespace, models: Models, write: Write) -> None:
        self._ns = ns
        self._models = models
        self.maker = InstanceMaker(ns)
        self._write = self.write = write
        self._states = {ref: states_of(models, ref) for ref in (ITEM_STATE, OPERATION_MODE, PROGRAM_STATE)}
        self._levels = {path: states_of(models, ("p", number)) for path, number in LEVELS.items()}
        self.shown: dict[str, MachineInstances] = {}
        self.admins: dict[str, PackMLAdmin] = {}
        """Counters, times and wishes of the PackML units, by path of the machine."""
        self._packml_types = PackMLTypes(ns.space, models)
        self.notifier = models.id(MACHINES)
        ns.space.refer(numeric(ObjectIds.Server), self.notifier, HAS_NOTIFIER)

    def type_of(self, machine: Machine) -> ua.NodeId:
        """The type definition of a machine's own node."""
        return self._models.id(MACHINE_TOOL) if machine.station.model == "machine-tool" else BASE_OBJECT

    def add(self, nodes: MachineNodes, unit: PackMLUnit) -> MachineInstances:
        """Give a machine the objects of its companion models."""
        ns, models, machine, space = self._ns, self._models, nodes.machine, self._ns.space
        space.refer(self.notifier, nodes.node_id, ORGANIZES)
        space.refer(self.notifier, nodes.node_id, HAS_NOTIFIER)
        tool = self._add_tool(nodes) if machine.station.model == "machine-tool" else None
        if tool is None:
            self.maker.make(
                models.id(IDENTIFICATION), f"{machine.path}/Identification", models.name("d", "Identification"),
                nodes.node_id, HAS_ADDIN, optional=("Model", "ComponentName", "Location"),
                values=nameplate(machine),
            )  # fmt: skip
        text = f"{machine.path}/MachineryBuildingBlocks"
        blocks = space.add_object(
            ns.id(text), models.name("m", "MachineryBuildingBlocks"), nodes.node_id, FOLDER_TYPE, HAS_COMPONENT
        )

        def block(ref: Ref, letter: str, name: str, *optional: str) -> Instance:
            return self.maker.make(
                models.id(ref), f"{text}/{name}", models.name(letter, name), blocks, HAS_ADDIN, optional=optional
            )

        shown = MachineInstances(
            nodes, unit,
            item_state=block(ITEM_STATE, "m", "MachineryItemState", "CurrentState/Number"),
            mode=block(OPERATION_MODE, "m", "MachineryOperationMode", "CurrentState/Number"),
            counters=block(
                COUNTERS, "d", "OperationCounters", "PowerOnDuration", "OperationDuration", "OperationCycleCounter"
            ),
            packml=self._add_packml(nodes) if machine.station.model == "packml" else None, tool=tool,
        )  # fmt: skip
        self.shown[machine.path] = shown
        if shown.packml is not None:
            self.admins[machine.path] = PackMLAdmin(unit, self._packml_types, shown.packml.variables)
        return shown

    def _add_tool(self, nodes: MachineNodes) -> Instance:
        values = {f"Identification/{key}": value for key, value in nameplate(nodes.machine).items()}
        values["Production/ActiveProgram/Name"] = nodes.machine.line
        optional = ("Identification/Model", "Identification/ComponentName", "Identification/Location")
        tool_type = self._models.id(MACHINE_TOOL)
        return self.maker.fill(nodes.node_id, nodes.machine.path, tool_type, optional=optional, values=values)

    def _add_packml(self, nodes: MachineNodes) -> Instance:
        text = f"{nodes.machine.path}/PackML"
        ns, models = self._ns, self._models
        per_minute = unit_information(UnitOfMeasure("C94", "1/min", "reciprocal minute"))
        span = ua.Range(ua.Double(0.0), ua.Double(10 * design_speed(nodes.machine)))
        values: dict[str, object] = {
            "Status/MachSpeed/EURange": span, "Status/CurMachSpeed/EURange": span,
            "Status/MachSpeed/EngineeringUnits": per_minute, "Status/CurMachSpeed/EngineeringUnits": per_minute,
            "Status/UnitSupportedModes": models.id(PACK_MODES), "Admin/MachDesignSpeed": design_speed(nodes.machine),
        }  # fmt: skip
        values.update(packml_admin.blank())
        for path, states in self._levels.items():
            values[f"{path}/AvailableStates"] = [node_id for _, node_id in states.names.values()]
            values[f"{path}/AvailableTransitions"] = list(states.transitions)
        made = self.maker.make(
            models.id(PACKML), text, qualified("PackML", ns.index), nodes.node_id, HAS_COMPONENT,
            optional=PACK_OPTIONAL, values=values,
        )  # fmt: skip
        ns.space.refer(models.id(PACKML_OBJECTS), made.node_id, ORGANIZES)
        return made

    def show(self, machine: Machine, state: State, now_s: float) -> None:
        """Write every variable that follows from the machine's state."""
        shown = self.shown[machine.path]
        item_state, mode = MACHINERY[state]
        self._show_state(shown.item_state, "", self._states[ITEM_STATE], item_state.value, now_s)
        self._show_state(shown.mode, "", self._states[OPERATION_MODE], mode.value, now_s)
        if shown.tool is not None:
            number = PROGRAM_STATES.get(state, 0)
            self._show_state(shown.tool, "Production/ActiveProgram/State/", self._states[PROGRAM_STATE], number, now_s)
            self._write(
                shown.tool.variables["Monitoring/MachineTool/OperationMode"], TOOL_MODES.get(state, 1), now_s, 0
            )
        if shown.packml is not None:
            variables, pack_mode = shown.packml.variables, PACK_MODE_OF.get(state, PackMode.PRODUCTION)
            pack_mode = self.admins[machine.path].mode_of(pack_mode)
            self._write(variables["Status/UnitModeCurrent"], pack_mode.value, now_s, 0)
            self._write(variables["Status/EquipmentBlocked"], state is State.BLOCKED, now_s, 0)
            self._write(variables["Status/EquipmentStarved"], state is State.STARVED, now_s, 0)
            self.show_speed(machine, state, now_s)

    def show_speed(self, machine: Machine, state: State, now_s: float) -> None:
        """Write the machine speeds of PackML in parts per minute: the requested and the actual one."""
        packml = self.shown[machine.path].packml
        if packml is not None:
            asked = design_speed(machine) * machine.speed
            self._write(packml.variables["Status/MachSpeed"], asked, now_s, 0)
            run = asked if state is State.WORKING else 0.0
            self._write(packml.variables["Status/CurMachSpeed"], run, now_s, 0)

    def show_pack_state(self, machine: Machine, state: Pack, now_s: float) -> None:
        """Write the state at each of the three levels.  Everything below an inactive state is not active."""
        packml = self.shown[machine.path].packml
        if packml is None:
            return
        number: int = state.value
        for path in LEVELS:
            states = self._levels[path]
            self._show_state(packml, f"{path}/", states, number if number in states.names else None, now_s)
            if number in states.names:
                number = RUNNING if path.endswith("ExecuteState") else CLEARED

    def _show_state(self, instance: Instance, path: str, states: States, number: int | None, now_s: float) -> None:
        """Write CurrentState, its Id and its Number.  `number` None: the state machine is not active."""
        code = 0 if number is not None else INACTIVE
        name, node_id = states.names[number] if number is not None else (None, None)
        text = localized(name) if name else None
        for key, content in (("", text), ("/Id", node_id), ("/Number", number)):
            variable = instance.variables.get(f"{path}CurrentState{key}")
            if variable is not None:
                self._write(variable, content, now_s, code)

    def count(self, machine: Machine, now_s: float) -> None:
        """Write the operation counters: hours powered, hours at work, cycles."""
        variables = self.shown[machine.path].counters.variables
        spent = machine.account.seconds(now_s)
        on_s = sum(spent.values()) - spent[State.OFF]
        self._write(variables["PowerOnDuration"], 1000.0 * on_s, now_s, 0)
        self._write(variables["OperationDuration"], 1000.0 * spent[State.WORKING], now_s, 0)
        self._write(variables["OperationCycleCounter"], machine.cycles, now_s, 0)
        if (admin := self.admins.get(machine.path)) is not None:
            admin.show(self._write, now_s)


def design_speed(machine: Machine) -> float:
    """Parts per minute at the cycle time of the plant file."""
    return 60.0 / machine.ideal_cycle_s


def nameplate(machine: Machine) -> Mapping[str, object]:
    """Manufacturer, model and serial number of a machine: invented, but always the same for the same path."""
    number = hashlib.sha256(machine.path.encode()).hexdigest()[:8].upper()
    return {
        "Manufacturer": localized("Connected Factory Works"),
        "SerialNumber": number,
        "ProductInstanceUri": f"urn:connected-factory:machine:{number}",
        "Model": localized(machine.station.name),
        "ComponentName": localized(machine.name),
        "Location": machine.path,
    }
