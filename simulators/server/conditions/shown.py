"""The conditions of one server: their nodes, their events, and what moves them.

Every machine has the alarm Breakdown, whose input is its variable Fault.  Those of the alarm file follow their inputs:
a variable of the machine, or one of their own that the script writes.  The source of an alarm on a variable is that
variable.

    Server ─HasNotifier→ site ─HasNotifier→ line ─HasNotifier→ machine ─HasCondition→ Breakdown
                                                            └─HasEventSource→ Temperature ─HasCondition→ Hot
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asyncua import ua

from simulators.alarms import NO_ALARMS, Alarms, AnyAlarm, Dialog, Discrepancy, Limits, OffNormal
from simulators.server.conditions.fields import of_alarm, of_condition, of_kind, optional_of
from simulators.server.conditions.rules import Rule, rule_of
from simulators.server.conditions.state import ConditionState
from simulators.server.events import NODE, Events, Fields
from simulators.server.instances import Instance, InstanceMaker
from simulators.server.machines import MachineNodes, NodeNamespace, title
from simulators.server.nodes import ObjectIds, StatusCodes, numeric
from simulators.server.space import HAS_COMPONENT, Variable
from simulators.server.subscriptions import Subscription
from simulators.server.value_writer import ValueWriter

TYPES = {
    "exclusive_limit": numeric(ObjectIds.ExclusiveLimitAlarmType),
    "non_exclusive_limit": numeric(ObjectIds.NonExclusiveLimitAlarmType),
    "off_normal": numeric(ObjectIds.OffNormalAlarmType),
    "discrepancy": numeric(ObjectIds.DiscrepancyAlarmType),
    "dialog": numeric(ObjectIds.DialogConditionType),
}
BREAKDOWN = numeric(ObjectIds.OffNormalAlarmType)
HAS_CONDITION = numeric(ObjectIds.HasCondition)
HAS_EVENT_SOURCE = numeric(ObjectIds.HasEventSource)
FAILURE_SEVERITY = {"abort": 800, "hold": 500}


@dataclass(slots=True)
class Condition:
    """One condition of the server."""

    nodes: MachineNodes
    type_id: ua.NodeId
    name: str
    source: tuple[ua.NodeId, str]
    """Node and name of the condition's source."""
    instance: Instance
    state: ConditionState
    input_id: ua.NodeId
    alarm: AnyAlarm | None = None
    """None: a breakdown."""
    input: Variable | None = None
    rule: Rule | None = None
    fault: str = ""
    targets: dict[str, ua.NodeId] = field(default_factory=dict)
    last: Fields = field(default_factory=dict)
    """The fields of the last event."""


class Conditions:
    """Shows conditions and tells what becomes of them."""

    def __init__(self, ns: NodeNamespace, maker: InstanceMaker, events: Events, writer: ValueWriter) -> None:
        self._ns = ns
        self._maker = maker
        self._events = events
        self._writer = writer
        self._file: Alarms = NO_ALARMS
        self._played_s = -1.0
        self.now_s = 0.0
        self.known: dict[ua.NodeId, Condition] = {}
        """By the node id of the condition, and by that of its ShelvingState."""
        self._breakdowns: dict[str, Condition] = {}
        self._scripted: dict[str, Condition] = {}
        self._no_fault: ua.NodeId | None = None

    def add_breakdown(self, nodes: MachineNodes) -> None:
        """Give a machine its condition object `Breakdown`."""
        if self._no_fault is None:
            self._no_fault = self._constant("NoFault", ua.VariantType.String, "")
        condition = self._make(
            nodes, None, "Breakdown", BREAKDOWN, (nodes.node_id, nodes.machine.path), nodes.variables["Fault"]
        )
        condition.targets["normal"] = self._no_fault
        self._breakdowns[nodes.machine.path] = condition

    def _constant(self, text: str, kind: ua.VariantType, content: object) -> ua.NodeId:
        """A variable below Server/ServerConfiguration's sibling `Constants`: what a normal or target value is."""
        space, folder = self._ns.space, self._ns.id("Constants")
        if folder not in space.store:
            space.add_folder(folder, self._ns.name("Constants"), numeric(ObjectIds.ObjectsFolder))
        variable = space.add_variable(
            self._ns.id(f"Constants/{text}"), self._ns.name(text), folder, kind, content
        )  # fmt: skip
        return variable.node_id

    def add_file(self, file: Alarms, machines: dict[str, MachineNodes], now_s: float) -> None:
        """Add the alarms of the machines on this server, and bring them to where the script is."""
        self._file = file
        for alarm in file.alarms:
            if alarm.machine in machines:
                self._add(alarm, machines[alarm.machine])
        self.play(now_s)

    def _add(self, alarm: AnyAlarm, nodes: MachineNodes) -> None:
        space, path = self._ns.space, nodes.machine.path
        if isinstance(alarm, Dialog):
            self._scripted[alarm.name] = self._make(nodes, alarm, alarm.name, TYPES[alarm.kind], (nodes.node_id, path))
            return
        if alarm.input is None:
            text = f"{path}/{alarm.name}Input"
            variable = space.add_variable(
                self._ns.id(text), self._ns.name(f"{alarm.name}Input"), nodes.node_id, ua.VariantType.Double,
                _calm(alarm), description=f"input of the alarm {alarm.name}, written by the script",
            )  # fmt: skip
        else:
            variable = nodes.variables[title(alarm.input)]
        if not any(r.ReferenceTypeId == HAS_EVENT_SOURCE for r in space.store[variable.node_id].references):
            space.refer(nodes.node_id, variable.node_id, HAS_EVENT_SOURCE)
        source = (variable.node_id, str(variable.node_id.Identifier))
        condition = self._make(nodes, alarm, alarm.name, TYPES[alarm.kind], source, variable)
        condition.rule, condition.input = rule_of(alarm), variable
        if isinstance(alarm, OffNormal | Discrepancy):
            key, content = ("normal", alarm.normal) if isinstance(alarm, OffNormal) else ("target", alarm.target)
            condition.targets[key] = self._constant(f"{alarm.name}", ua.VariantType.Double, content)
        if alarm.input is None:
            self._scripted[alarm.name] = condition

    def _make(
        self, nodes: MachineNodes, alarm: AnyAlarm | None, name: str, type_id: ua.NodeId,
        source: tuple[ua.NodeId, str], variable: Variable | None = None,
    ) -> Condition:  # fmt: skip
        path = f"{nodes.machine.path}/{name}"
        instance = self._maker.make(
            type_id, path, self._ns.name(name), nodes.node_id, HAS_COMPONENT, optional=optional_of(alarm),
            values={"ConditionName": name, "SourceName": source[1], "SourceNode": source[0], "EventType": type_id},
        )  # fmt: skip
        self._ns.space.refer(source[0], instance.node_id, HAS_CONDITION)
        severity = alarm.severity if alarm is not None else 1
        state = ConditionState(path, severity, confirmable=alarm is not None and not isinstance(alarm, Dialog))
        condition = Condition(
            nodes, type_id, name, source, instance, state, variable.node_id if variable else ua.NodeId(), alarm
        )
        self.known[instance.node_id] = condition
        if "ShelvingState" in instance.nodes:
            self.known[instance.nodes["ShelvingState"]] = condition
        return condition

    @property
    def all(self) -> list[Condition]:
        return list({id(each): each for each in self.known.values()}.values())

    def write_all(self, now_s: float) -> None:
        """Write every present value, before the first client connects."""
        self.now_s = now_s
        for condition in self.all:
            self._write(condition, self._fields(condition, now_s), now_s)

    def broke_down(self, nodes: MachineNodes, fault: str, severity: str, at_s: float) -> None:
        """Report that a failure began.  An empty `fault` means that it ended."""
        condition = self._breakdowns.get(nodes.machine.path)
        if condition is None:
            return
        path = nodes.machine.path
        if fault:
            condition.fault = fault
        state = condition.state
        level = FAILURE_SEVERITY.get(severity, 800) if fault else state.severity
        if state.set_active(bool(fault), level, frozenset({fault} if fault else ()), at_s):
            self.tell(condition, f"{path}: {condition.fault}{'' if fault else ' is repaired'}", at_s)

    def play(self, until_s: float) -> None:
        """Do the steps of the script that are due, each at its own instant."""
        self.now_s = max(self.now_s, until_s)
        for at_s, step in self._file.due(self._played_s, until_s) if self._file.script else ():
            condition = self._scripted.get(step.alarm)
            if condition is not None and isinstance(condition.alarm, Dialog):
                if condition.state.ask(at_s):
                    self.tell(condition, condition.alarm.prompt, at_s)
            elif condition is not None and condition.input is not None and step.value is not None:
                self._writer.write(condition.input, step.value, at_s)
                self._judge(condition, step.value, at_s)
        self._played_s = until_s

    def look(self, now_s: float) -> None:
        """Judge every input as it is now; end the shelving whose time has passed."""
        self.now_s = max(self.now_s, now_s)
        for condition in self.all if self._file.alarms else ():
            if condition.input is not None and isinstance(condition.input.content, int | float):
                self._judge(condition, float(condition.input.content), now_s)
            if condition.state.shelving_over(now_s):
                self.tell(condition, f"{condition.state.path} is not shelved any more", now_s)
            elif condition.state.shelved_for_s(now_s):
                left = condition.instance.variables["ShelvingState/UnshelveTime"]
                self._writer.write(left, 1000.0 * condition.state.shelved_for_s(now_s), now_s)

    def _judge(self, condition: Condition, value: float, at_s: float) -> None:
        assert condition.rule is not None
        assert condition.alarm is not None
        verdict = condition.rule(value, at_s)
        severity = min(1000, condition.alarm.severity + verdict.severity)
        if condition.state.set_active(verdict.active, severity, verdict.levels, at_s):
            levels = "/".join(sorted(verdict.levels))
            text = f"{condition.state.path}: {levels or ('active' if verdict.active else 'normal')} at {value:g}"
            self.tell(condition, text, at_s)

    def tell(self, condition: Condition, message: str, at_s: float) -> None:
        """Send an event with the present state, and write the state to the nodes."""
        state = condition.state
        fields = {
            **self._fields(condition, at_s),
            **self._events.common(
                condition.source, condition.type_id, message, severity=state.severity,
                at=self._writer.instant(at_s), event_id=state.tell(at_s),
            ),
        }  # fmt: skip
        condition.last = fields
        self._write(condition, fields, at_s)
        self._events.send(self._sources(condition), fields)

    def _sources(self, condition: Condition) -> Sequence[ua.NodeId]:
        nodes = condition.nodes
        own = () if condition.source[0] == nodes.node_id else (condition.source[0],)
        return (*own, nodes.node_id, nodes.line_id)

    def _fields(self, condition: Condition, at_s: float) -> Fields:
        state, alarm, instant = condition.state, condition.alarm, self._writer.instant
        kind = "maintenance" if alarm is None or isinstance(alarm, Dialog) else "process"
        found = of_condition(state, condition.name, kind, condition.instance.node_id, instant)
        if not isinstance(alarm, Dialog):
            found = {**found, **of_alarm(state, condition.input_id, instant, at_s)}
        if alarm is None:
            return {**found, "NormalState": (condition.targets["normal"], NODE)}
        return {**found, **of_kind(state, alarm, condition.targets, instant)}

    def _write(self, condition: Condition, fields: Fields, at_s: float) -> None:
        for path, (content, _) in fields.items():
            variable = condition.instance.variables.get(path)
            if variable is not None:
                code = StatusCodes.BadStateNotActive if content is None else 0  # a sub-state without its alarm
                self._writer.write(variable, content, at_s, code)

    def refresh(self, subscription: Subscription, item: int | None = None) -> None:
        """Repeat the last event of every condition that is to be retained, between RefreshStart and RefreshEnd (Part
        9, 4.5), to one subscription or one of its items."""
        at = self._writer.instant(self.now_s)
        server = (numeric(ObjectIds.Server), "Server")
        for number, text in ((ObjectIds.RefreshStartEventType, "begins"), (ObjectIds.RefreshEndEventType, "is over")):
            edge = self._events.common(server, numeric(number), f"the refresh {text}", severity=1, at=at)
            self._events.send((), edge, subscription, item, forced=True)
            if number == ObjectIds.RefreshEndEventType:
                return
            for condition in self.all:
                if condition.state.retain and condition.last:
                    again = {**condition.last, "ReceiveTime": (datetime.now(UTC), ua.VariantType.DateTime)}
                    self._events.send(self._sources(condition), again, subscription, item)


def _calm(alarm: Limits | OffNormal | Discrepancy) -> float:
    """An input at which the alarm is not active."""
    if isinstance(alarm, OffNormal):
        return alarm.normal
    if isinstance(alarm, Discrepancy):
        return alarm.target
    above = alarm.low if alarm.low is not None else alarm.low_low
    below = alarm.high if alarm.high is not None else alarm.high_high
    if above is not None and below is not None:
        return (above + below) / 2
    return above if above is not None else below if below is not None else 0.0
