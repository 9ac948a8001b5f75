"""Events: a state has changed, a part is done, something has broken down.

| type | when | fields beside those of BaseEventType |
| --- | --- | --- |
| StateChangeEventType (ours) | a machine enters another state | State, PreviousState |
| PartEventType (ours) | a machine has finished its work on a part | SerialNumber, Product, Order, Station, Visit, |
| | | Verdict (good, rework, scrap), Good, DefectCode, CycleTime, Tool, Components, |
| | | Person, Vin, Software, Retries |

Alarms are in `simulators/server/conditions`.  A subscriber to the Server object, to Machines, to the site, to a line or
to a machine gets the events of all machines below.  Times are simulated instants, like source timestamps.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from asyncua import ua
from asyncua.common.events import Event

from simulators.flow.results import PartResult
from simulators.server.machines import MachineNodes, NodeNamespace
from simulators.server.nodes import ObjectIds, localized, numeric
from simulators.server.subscriptions import Subscription, Subscriptions

BASE_EVENT = numeric(ObjectIds.BaseEventType)
SERVER = numeric(ObjectIds.Server)

Fields = Mapping[str, tuple[object, ua.VariantType]]
TEXT, BOOLEAN = ua.VariantType.String, ua.VariantType.Boolean
LOCALIZED, NODE = ua.VariantType.LocalizedText, ua.VariantType.NodeId


class Events:
    """Generates events and hands them to the subscriptions with a matching monitored item."""

    def __init__(
        self, ns: NodeNamespace, subscriptions: Subscriptions, shared: tuple[ua.NodeId, ...]
    ) -> None:  # fmt: skip
        """`shared`: the notifiers, besides the Server object, that report the events of every machine."""
        self._ns = ns
        self._subscriptions = subscriptions
        self._shared = (SERVER, *shared)
        self.sent = 0
        self.state_type = self._add_type("StateChangeEventType", {"State": ("", TEXT), "PreviousState": ("", TEXT)})
        self.part_type = self._add_type("PartEventType", _fields_of(_NO_RESULT))

    def _add_type(self, name: str, fields: Fields) -> ua.NodeId:
        ns, space = self._ns, self._ns.space
        node_id = space.add_type(ns.id(name), ns.name(name), BASE_EVENT, ua.NodeClass.ObjectType, False)
        for each, (content, kind) in fields.items():
            space.add_property(ns.id(f"{name}/{each}"), ns.name(each), node_id, kind, content)
        return node_id

    def state_changed(self, nodes: MachineNodes, state: str, before: str, at: datetime) -> None:
        fields: Fields = {"State": (state, TEXT), "PreviousState": (before, TEXT)}
        message = f"{nodes.machine.path} is {state}"
        self._send(nodes, self.state_type, message, severity=100, at=at, fields=fields)

    def part_done(self, nodes: MachineNodes, result: PartResult, at: datetime) -> None:
        """Report one part result."""
        message = f"{nodes.machine.path} made a part: {result.verdict}"
        self._send(nodes, self.part_type, message, severity=50, at=at, fields=_fields_of(result))

    def _send(
        self, nodes: MachineNodes, type_id: ua.NodeId, message: str, *, severity: int, at: datetime, fields: Fields
    ) -> None:  # fmt: skip
        common = self.common((nodes.node_id, nodes.machine.path), type_id, message, severity=severity, at=at)
        self.send((nodes.node_id, nodes.line_id), {**common, **fields})

    def common(
        self,
        source: tuple[ua.NodeId, str],
        type_id: ua.NodeId,
        message: str,
        *,
        severity: int,
        at: datetime,
        event_id: bytes = b"",
    ) -> Fields:
        """The fields of BaseEventType.  `source`: node and name."""
        return {
            "EventId": (event_id or uuid.uuid4().bytes, ua.VariantType.ByteString),
            "EventType": (type_id, NODE),
            "SourceNode": (source[0], NODE),
            "SourceName": (source[1], TEXT),
            "Time": (at, ua.VariantType.DateTime),
            "ReceiveTime": (datetime.now(UTC), ua.VariantType.DateTime),
            "Message": (localized(message), LOCALIZED),
            "Severity": (severity, ua.VariantType.UInt16),
        }

    def send(
        self, sources: Sequence[ua.NodeId], fields: Fields, only: Subscription | None = None, item: int | None = None,
        *, forced: bool = False,
    ) -> None:  # fmt: skip
        """Hand an event to the items that watch one of its sources or the nodes that report everything.

        `only`: to this subscription, and (`item`) to this item of it.  `forced`: to every item that waits for events,
        whatever it watches and filters.
        """
        self.sent += 1
        listening = [only] if only else [s for s in self._subscriptions.subscriptions.values() if _listens(s)]
        if not listening:
            return
        event = Event(sources[0] if sources else SERVER)
        for name, (content, kind) in fields.items():
            event.add_property(name, content, kind)
        for subscription in listening:
            if isinstance(subscription, Subscription):
                subscription.items.notify_event(event, None if forced else (*sources, *self._shared), item)


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
