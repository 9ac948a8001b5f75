"""Events: a state has changed, a part is done, something has broken down.

| type | when | fields beside those of BaseEventType |
| --- | --- | --- |
| StateChangeEventType (ours) | a machine enters another state | State, PreviousState |
| PartEventType (ours) | a machine has finished its work on a part | SerialNumber, Product, Order, Station, Visit, |
| | | Verdict (good, rework, scrap), Good, DefectCode, CycleTime, Tool, Components, |
| | | Person, Vin, Software, Retries |
| OffNormalAlarmType (Part 9) | a machine breaks down, is repaired, an alarm is acknowledged | ConditionName, Retain, |
| | | ActiveState/Id, AckedState/Id, … |

A subscriber to the Server object, to Machines, to a line or to a machine gets the events of all machines below.  Times
are simulated instants, like source timestamps.  The severity of an alarm is 800 for a failure that aborts, and 500 for
one that holds.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asyncua import ua
from asyncua.common.events import Event

from simulators.flow.results import PartResult
from simulators.server.instances import Instance, InstanceMaker
from simulators.server.machines import MachineNodes, NodeNamespace
from simulators.server.nodes import ObjectIds, StatusCodes, localized, numeric, status
from simulators.server.space import HAS_COMPONENT, Variable
from simulators.server.subscriptions import Subscription, Subscriptions

BASE_EVENT = numeric(ObjectIds.BaseEventType)
ALARM = numeric(ObjectIds.OffNormalAlarmType)
SERVER = numeric(ObjectIds.Server)
ACKNOWLEDGE = numeric(ObjectIds.AcknowledgeableConditionType_Acknowledge)
REFRESH = numeric(ObjectIds.ConditionType_ConditionRefresh)
FAILURE_SEVERITY = {"abort": 800, "hold": 500}

Write = Callable[[Variable, object, datetime], None]
"""Writes a variable: value and source time."""
Fields = Mapping[str, tuple[object, ua.VariantType]]
TEXT, BOOLEAN = ua.VariantType.String, ua.VariantType.Boolean
LOCALIZED, NODE = ua.VariantType.LocalizedText, ua.VariantType.NodeId


@dataclass(slots=True)
class Alarm:
    """The condition "this machine has broken down".  Its state outlives the events that report it."""

    source: MachineNodes
    instance: Instance
    active: bool = False
    acked: bool = True
    name: str = ""
    severity: int = 1
    event_id: bytes = b""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def retain(self) -> bool:
        return self.active or not self.acked


class Events:
    """Generates events and hands them to the subscriptions with a matching monitored item."""

    def __init__(
        self, ns: NodeNamespace, subscriptions: Subscriptions, shared: tuple[ua.NodeId, ...], write: Write
    ) -> None:
        """`shared`: the notifiers, besides the Server object, that report the events of every machine."""
        self._ns = ns
        self._subscriptions = subscriptions
        self._shared = (SERVER, *shared)
        self._write = write
        self._alarms: dict[ua.NodeId, Alarm] = {}
        self.sent = 0
        self.state_type = self._add_type("StateChangeEventType", {"State": ("", TEXT), "PreviousState": ("", TEXT)})
        self.part_type = self._add_type("PartEventType", _fields_of(_NO_RESULT))

    def _add_type(self, name: str, fields: Fields) -> ua.NodeId:
        ns, space = self._ns, self._ns.space
        node_id = space.add_type(ns.id(name), ns.name(name), BASE_EVENT, ua.NodeClass.ObjectType, False)
        for each, (content, kind) in fields.items():
            space.add_property(ns.id(f"{name}/{each}"), ns.name(each), node_id, kind, content)
        return node_id

    def add_alarm(self, nodes: MachineNodes, maker: InstanceMaker) -> None:
        """Give a machine its condition object `Breakdown`."""
        text = f"{nodes.machine.path}/Breakdown"
        ns = self._ns
        values = {"ConditionName": "Breakdown", "SourceName": nodes.machine.path, "SourceNode": nodes.node_id}
        instance = maker.make(ALARM, text, ns.name("Breakdown"), nodes.node_id, HAS_COMPONENT, values=values)
        self._alarms[instance.node_id] = Alarm(nodes, instance)

    def bind_methods(self) -> None:
        """Let clients acknowledge alarms and call ConditionRefresh (Part 9, 5.5.7 and 5.7.3)."""
        self._ns.space.store[ACKNOWLEDGE].call = self._acknowledge
        self._ns.space.store[REFRESH].call = self._refresh

    def state_changed(self, nodes: MachineNodes, state: str, before: str, at: datetime) -> None:
        fields: Fields = {"State": (state, TEXT), "PreviousState": (before, TEXT)}
        common = self._common(nodes, self.state_type, f"{nodes.machine.path} is {state}", severity=100, at=at)
        self._send(nodes, {**common, **fields})

    def part_done(self, nodes: MachineNodes, result: PartResult, at: datetime) -> None:
        """Report one part result."""
        message = f"{nodes.machine.path} made a part: {result.verdict}"
        common = self._common(nodes, self.part_type, message, severity=50, at=at)
        self._send(nodes, {**common, **_fields_of(result)})

    def broke_down(self, nodes: MachineNodes, fault: str, severity: str, at: datetime) -> None:
        """Report that a failure began.  An empty `fault` means that it ended."""
        alarm = next((a for a in self._alarms.values() if a.source is nodes), None)
        if alarm is None:
            return
        alarm.active, alarm.at = bool(fault), at
        if fault:
            alarm.acked, alarm.name = False, fault
            alarm.severity = FAILURE_SEVERITY.get(severity, 800)
        self._tell(alarm, f"{nodes.machine.path}: {alarm.name}{'' if fault else ' is repaired'}")

    def _tell(self, alarm: Alarm, message: str, only: Subscription | None = None) -> None:
        alarm.event_id = uuid.uuid4().bytes
        active, acked = alarm.active, alarm.acked
        fields: Fields = {
            "ConditionName": ("Breakdown", TEXT),
            "BranchId": (ua.NodeId(), NODE),
            "Retain": (alarm.retain, BOOLEAN),
            "EnabledState": (localized("Enabled"), LOCALIZED),
            "EnabledState/Id": (True, BOOLEAN),
            "ActiveState": (localized("Active" if active else "Inactive"), LOCALIZED),
            "ActiveState/Id": (active, BOOLEAN),
            "AckedState": (localized("Acknowledged" if acked else "Unacknowledged"), LOCALIZED),
            "AckedState/Id": (acked, BOOLEAN),
            "NodeId": (alarm.instance.node_id, NODE),
            "Quality": (status(0), ua.VariantType.StatusCode),
        }
        common = self._common(
            alarm.source, ALARM, message, severity=alarm.severity, at=alarm.at, event_id=alarm.event_id
        )
        for path, (content, _) in {**common, **fields}.items():
            variable = alarm.instance.variables.get(path)
            if variable is not None:
                self._write(variable, content, alarm.at)
        self._send(alarm.source, {**common, **fields}, only)

    def _common(
        self,
        nodes: MachineNodes,
        type_id: ua.NodeId,
        message: str,
        *,
        severity: int,
        at: datetime,
        event_id: bytes = b"",
    ) -> Fields:
        """The fields of BaseEventType."""
        return {
            "EventId": (event_id or uuid.uuid4().bytes, ua.VariantType.ByteString),
            "EventType": (type_id, NODE),
            "SourceNode": (nodes.node_id, NODE),
            "SourceName": (nodes.machine.path, TEXT),
            "Time": (at, ua.VariantType.DateTime),
            "ReceiveTime": (datetime.now(UTC), ua.VariantType.DateTime),
            "Message": (localized(message), LOCALIZED),
            "Severity": (severity, ua.VariantType.UInt16),
        }

    def _send(self, nodes: MachineNodes, fields: Fields, only: Subscription | None = None) -> None:
        self.sent += 1
        listening = [only] if only else [s for s in self._subscriptions.subscriptions.values() if _listens(s)]
        if not listening:
            return
        event = Event(nodes.node_id)
        for name, (content, kind) in fields.items():
            event.add_property(name, content, kind)
        sources = (nodes.node_id, nodes.line_id, *self._shared)
        for subscription in listening:
            if isinstance(subscription, Subscription):
                subscription.items.notify_event(event, sources)

    async def _acknowledge(self, condition: ua.NodeId, *arguments: ua.Variant) -> ua.StatusCode:
        alarm = self._alarms.get(condition)
        if alarm is None:
            return status(StatusCodes.BadNodeIdUnknown)
        if len(arguments) != 2:
            return status(StatusCodes.BadArgumentsMissing)
        if arguments[0].Value != alarm.event_id:
            return status(StatusCodes.BadEventIdUnknown)
        if alarm.acked:
            return status(StatusCodes.BadConditionBranchAlreadyAcked)
        alarm.acked, alarm.at = True, max(alarm.at, datetime.now(UTC))
        self._tell(alarm, f"{alarm.source.machine.path}: {alarm.name} is acknowledged")
        return status(0)

    async def _refresh(self, condition_type: ua.NodeId, *arguments: ua.Variant) -> ua.StatusCode:
        number = arguments[0].Value if arguments else None
        subscription = self._subscriptions.subscriptions.get(number) if isinstance(number, int) else None
        if not isinstance(subscription, Subscription):
            return status(StatusCodes.BadSubscriptionIdInvalid)
        for alarm in self._alarms.values():
            if alarm.retain:
                self._tell(alarm, f"{alarm.source.machine.path}: {alarm.name}", subscription)
        return status(0)


def _fields_of(result: PartResult) -> Fields:
    return {
        "SerialNumber": (result.serial, TEXT),
        "Product": (result.product, TEXT),
        "Order": (result.order, ua.VariantType.UInt32),
        "Station": (result.station, TEXT),
        "Visit": (result.visit, ua.VariantType.UInt32),
        "Verdict": (result.verdict, TEXT),
        "Good": (result.verdict == "good", BOOLEAN),
        "DefectCode": (result.defect, TEXT),
        "CycleTime": (result.cycle_s, ua.VariantType.Double),
        "Tool": (result.tool, ua.VariantType.UInt32),
        "Components": (list(result.components), TEXT),
        "Person": (result.person, TEXT),
        "Vin": (result.vin, TEXT),
        "Software": (list(result.software), TEXT),
        "Retries": (result.retries, ua.VariantType.UInt32),
    }


_NO_RESULT = PartResult(0.0, "", "", 0, "", "", "", 0.0, 0, 0, (), "", "", (), 0)


def _listens(subscription: object) -> bool:
    return isinstance(subscription, Subscription) and bool(subscription.items.event_items)
