"""A machine in the address space: Objects / site / line / machine / variables.

| variable | type | unit | what |
| --- | --- | --- | --- |
| State | String | | one of the states of `simulators/states.py` |
| StateNumber | Int32 | | its position in that list, from 0 |
| Reason | String | | of the state: failure, planned maintenance, station without room, product or `tool` set up for,
| | | | `shift`, `operator` |
| Since | DateTime | | when the state began |
| Product | String | | that it works on, or did last |
| Order | UInt32 | | number of that product's order, from 1; 0 without orders |
| SerialNumber, Defect | String | | of the last part, of the last defect |
| Good, Scrap, Rework | UInt32 | | parts finished since the start |
| Fault | String | | the cause of the breakdown; empty when there is none |
| CycleTime | Double | s | of the last part |
| IdealCycleTime | Double | s | of the usual product |
| IdealTime | Double | s | ideal time of all parts made: the numerator of OEE, also with several products |
| Energy | Double | J | used since the start |
| one per signal | Double | as the plant file says | sampled |
| one per curve | Double[] | as the plant file says | of the last part, in equal steps (their distance: …Step) |

Node ids are readable texts: `ns=N;s=line-1/press-1/Temperature`.  Each analog variable has EURange and
EngineeringUnits.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asyncua import ua

from simulators.flow import Machine
from simulators.flow.curves import axis
from simulators.plant import CurveSpec
from simulators.server.nodes import ObjectIds, localized, numeric, qualified, text_id
from simulators.server.space import BASE_OBJECT, DATA_VARIABLE, FOLDER_TYPE, OBJECTS, ORGANIZES, Space, Variable
from simulators.signals import UNITS, UnitOfMeasure

ANALOG_UNIT_RANGE = numeric(ObjectIds.AnalogUnitRangeType)
RANGE_TYPE = numeric(ObjectIds.Range)
UNIT_TYPE = numeric(ObjectIds.EUInformation)

HAS_NOTIFIER = numeric(ObjectIds.HasNotifier)
SERVER = numeric(ObjectIds.Server)
DAY_S = 86_400.0
"""Counters grow without end; their EURange is what a day of work adds."""
NOTIFIES = 1
"""EventNotifier: clients may subscribe to events here."""

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MachineNodes:
    """The variables of one machine, by name."""

    machine: Machine
    node_id: ua.NodeId
    line_id: ua.NodeId
    variables: dict[str, Variable] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeNamespace:
    """Where nodes go in the address space: the store, and the index of our namespace."""

    space: Space
    index: int

    def id(self, text: str) -> ua.NodeId:
        return text_id(text, self.index)

    def name(self, text: str) -> ua.QualifiedName:
        return qualified(text, self.index)


def add_machines(
    ns: NodeNamespace,
    site: str,
    machines: Iterable[Machine],
    type_of: Callable[[Machine], ua.NodeId] = lambda m: BASE_OBJECT,
) -> dict[str, MachineNodes]:
    """Add folders and variables for `machines`.  Returns their nodes by path."""
    root = site_of(ns, site)
    lines: dict[str, ua.NodeId] = {}
    found: dict[str, MachineNodes] = {}
    for machine in machines:
        if machine.line not in lines:
            lines[machine.line] = ns.space.add_object(
                ns.id(machine.line), ns.name(machine.line), root, FOLDER_TYPE, ORGANIZES, notifier=NOTIFIES
            )
            ns.space.refer(root, lines[machine.line], HAS_NOTIFIER)
        found[machine.path] = add_machine(ns, machine, lines[machine.line], type_of(machine))
    return found


def site_of(ns: NodeNamespace, site: str) -> ua.NodeId:
    """The folder of the site, made when it is not there yet."""
    node_id = ns.id(site)
    if node_id not in ns.space.store:
        ns.space.add_object(node_id, ns.name(site), OBJECTS, FOLDER_TYPE, ORGANIZES, notifier=NOTIFIES)
        ns.space.refer(SERVER, node_id, HAS_NOTIFIER)
    return node_id


def add_machine(ns: NodeNamespace, machine: Machine, line: ua.NodeId, type_id: ua.NodeId = BASE_OBJECT) -> MachineNodes:
    node_id = ns.space.add_object(
        ns.id(machine.path), ns.name(machine.name), line, type_id, ORGANIZES, notifier=NOTIFIES
    )
    ns.space.refer(line, node_id, HAS_NOTIFIER)
    nodes = MachineNodes(machine, node_id, line)
    plain: Mapping[str, tuple[ua.VariantType, object, str]] = {
        "State": (ua.VariantType.String, "", "present state of the machine"),
        "StateNumber": (ua.VariantType.Int32, 0, "position of State in the list of states, from 0"),
        "Fault": (ua.VariantType.String, "", "cause of the breakdown; empty when there is none"),
        "Reason": (ua.VariantType.String, "", "why the machine is in its state"),
        "Since": (ua.VariantType.DateTime, datetime.now(UTC), "when the state began"),
        "Product": (ua.VariantType.String, "", "product in work, or the last one"),
        "Order": (ua.VariantType.UInt32, 0, "number of the order in work, from 1; 0 without orders"),
        "SerialNumber": (ua.VariantType.String, "", "serial number of the last part"),
        "Defect": (ua.VariantType.String, "", "code of the last defect"),
        "Good": (ua.VariantType.UInt32, 0, "good parts since the start"),
        "Scrap": (ua.VariantType.UInt32, 0, "scrapped parts since the start"),
        "Rework": (ua.VariantType.UInt32, 0, "parts sent to rework since the start"),
    }
    for name, (kind, content, description) in plain.items():
        nodes.variables[name] = ns.space.add_variable(
            ns.id(f"{machine.path}/{name}"), ns.name(name), node_id, kind, content, type_id=DATA_VARIABLE,
            description=description,
        )  # fmt: skip
    usual_s = machine.ideal_cycle_s
    span = (0.0, 10.0 * usual_s)
    add_analog(ns, nodes, "CycleTime", unit=UNITS["s"], limits=span, description="work time of the last part")
    add_analog(
        ns,
        nodes,
        "IdealCycleTime",
        unit=UNITS["s"],
        limits=span,
        description="ideal work time of a part, the reference of OEE",
    )
    add_analog(
        ns,
        nodes,
        "IdealTime",
        unit=UNITS["s"],
        limits=(0.0, DAY_S),
        description="ideal time of all parts made since the start: the numerator of OEE",
    )
    a_day = (0.0, DAY_S * machine.station.power.working)
    add_analog(ns, nodes, "Energy", unit=UNITS["J"], limits=a_day, description="energy used since the start")
    for name, signal in machine.signals.items():
        add_analog(
            ns, nodes, title(name), unit=signal.unit, limits=(signal.low, signal.high), description=f"{name}, sampled"
        )
    for spec in machine.station.curves:
        add_curve(ns, nodes, spec)
    return nodes


def add_curve(ns: NodeNamespace, nodes: MachineNodes, spec: CurveSpec) -> None:
    """An array of values within a cycle, and the distance of its steps."""
    name = title(spec.name)
    text, unit = f"{nodes.machine.path}/{name}", axis(spec, 0.0)[0]
    variable = ns.space.add_variable(
        ns.id(text), ns.name(name), nodes.node_id, ua.VariantType.Double, [], type_id=ANALOG_UNIT_RANGE,
        description=f"{spec.name} within the last cycle",
    )  # fmt: skip
    add_limits(ns, variable.node_id, text, UNITS[spec.unit], (0.0, spec.high))
    nodes.variables[name] = variable
    what = f"from one value of {name} to the next"
    add_analog(ns, nodes, f"{name}Step", unit=UNITS[unit], limits=(0.0, 3600.0), description=what)


def add_analog(
    ns: NodeNamespace, nodes: MachineNodes, name: str, *, unit: UnitOfMeasure, limits: Limits, description: str
) -> Variable:
    """A Double with EURange and EngineeringUnits (Part 8, 5.3.2.4)."""
    text = f"{nodes.machine.path}/{name}"
    variable = ns.space.add_variable(
        ns.id(text), ns.name(name), nodes.node_id, ua.VariantType.Double, 0.0, type_id=ANALOG_UNIT_RANGE,
        description=description,
    )  # fmt: skip
    add_limits(ns, variable.node_id, text, unit, limits)
    nodes.variables[name] = variable
    return variable


def add_limits(ns: NodeNamespace, node_id: ua.NodeId, text: str, unit: UnitOfMeasure, limits: Limits) -> None:
    low, high = limits
    ns.space.add_property(
        ns.id(f"{text}/EURange"), qualified("EURange"), node_id, ua.VariantType.ExtensionObject,
        ua.Range(ua.Double(low), ua.Double(high)), data_type=RANGE_TYPE,
    )  # fmt: skip
    ns.space.add_property(
        ns.id(f"{text}/EngineeringUnits"), qualified("EngineeringUnits"), node_id, ua.VariantType.ExtensionObject,
        unit_information(unit), data_type=UNIT_TYPE,
    )  # fmt: skip


def unit_information(unit: UnitOfMeasure) -> ua.EUInformation:
    """A unit as EUInformation (Part 8, 5.6.3), with its UNECE code."""
    uri = "http://www.opcfoundation.org/UA/units/un/cefact"
    return ua.EUInformation(ua.String(uri), ua.Int32(unit.unit_id), localized(unit.name), localized(unit.meaning))


def title(name: str) -> str:
    """The browse name form of a name: `spindle-load` becomes `SpindleLoad`."""
    return "".join(part[:1].upper() + part[1:] for part in name.replace("_", "-").split("-"))
