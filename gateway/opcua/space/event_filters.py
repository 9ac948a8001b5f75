"""Events and alarms (Part 4, 7.22.3; Part 9): the filters to request them, and the events received.

An event is a row like any other.  Its tag is the notifier, its value a `Structure` of the chosen fields, its source
time the event's `Time`.  So events take the same path as values.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from asyncua import ua

from gateway.opcua.codec.decode import Notification, Published
from gateway.opcua.codec.namespaces import index_of
from gateway.opcua.codec.node_ids import node_of
from gateway.opcua.codec.value import read_value
from gateway.opcua.codec.wire import Dialect, Malformed, Reader
from gateway.opcua.session.asyncua_edge import peer_errors
from gateway.opcua.session.session import Session
from gateway.values import Structure, Typed

EVENT_NOTIFIER = ua.AttributeIds.EventNotifier
DEFAULT_FIELDS = (
    "EventId", "EventType", "SourceNode", "SourceName", "Time", "ReceiveTime", "Message", "Severity",
    "ConditionName", "Retain", "ActiveState/Id", "AckedState/Id",
)  # fmt: skip
"""Fields of all events, then of alarms.  A field that an event does not have is left out."""

_DECLARED_AT = {
    "ConditionName": ua.ObjectIds.ConditionType,
    "Retain": ua.ObjectIds.ConditionType,
    "AckedState": ua.ObjectIds.AcknowledgeableConditionType,
    "ActiveState": ua.ObjectIds.AlarmConditionType,
}
"""Fields that some servers accept only with the type that declares them.  All others belong to BaseEventType."""
MODEL_CHANGES = 0x7FFF_FFFF
"""The client handle of our own item for changes of the address space.  It has no tag.  Not the largest number, which
node-opcua takes for "no handle"."""
_MODEL_FIELDS = ("EventType",)
_SERVER = ua.NodeId(ua.Int32(ua.ObjectIds.Server), ua.Int16(0))
_CONDITION = ua.NodeId(ua.Int32(ua.ObjectIds.ConditionType), ua.Int16(0))
_REFRESH = ua.NodeId(ua.Int32(ua.ObjectIds.ConditionType_ConditionRefresh), ua.Int16(0))
_DATE_TIME, _NODE_ID, _STRUCTURE = 13, 17, 22


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events to report, and their fields."""

    fields: tuple[str, ...] = DEFAULT_FIELDS
    """Browse paths below the event type, parts joined with `/`; `uri:Name` where the namespace is another."""
    types: tuple[str, ...] = ()
    """Node ids of event types, with their subtypes.  Empty: all."""
    least_severity: int = 1


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it was received."""

    handle: int
    value: Structure
    source_ticks: int
    server_ticks: int
    problem: str = ""
    """What is wrong with one of its fields."""


def filter_of(wanted: EventFilter, uris: Sequence[str]) -> ua.EventFilter:
    """The filter of a monitored item.  Types in namespaces that the server does not have select nothing."""
    made = ua.EventFilter()
    made.SelectClauses = [_operand(path, uris) for path in wanted.fields]
    made.WhereClause = _where(wanted, uris)
    return made


def model_changes_request() -> ua.MonitoredItemCreateRequest:
    """An item for the BaseModelChangeEvents of the Server object (Part 3, 9.32), which report new and removed nodes."""
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor.NodeId, request.ItemToMonitor.AttributeId = _SERVER, EVENT_NOTIFIER
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters.ClientHandle = ua.UInt32(MODEL_CHANGES)
    request.RequestedParameters.QueueSize = ua.UInt32(1)
    request.RequestedParameters.DiscardOldest = True
    types = (f"i={ua.ObjectIds.BaseModelChangeEventType}",)
    request.RequestedParameters.Filter = filter_of(EventFilter(_MODEL_FIELDS, types), ())
    return request


def _operand(path: str, uris: Sequence[str]) -> ua.SimpleAttributeOperand:
    operand = ua.SimpleAttributeOperand()
    operand.TypeDefinitionId = _type(_DECLARED_AT.get(path.split("/")[0], ua.ObjectIds.BaseEventType))
    operand.BrowsePath = [_qualified(part, uris) for part in path.split("/")]
    operand.AttributeId = ua.AttributeIds.Value
    return operand


def _type(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number), ua.Int16(0))


def _qualified(part: str, uris: Sequence[str]) -> ua.QualifiedName:
    uri, colon, name = part.rpartition(":")
    index = index_of(uri, uris) if colon else 0
    return ua.QualifiedName(ua.String(name if colon else part), ua.UInt16(0 if index is None else index))


def _where(wanted: EventFilter, uris: Sequence[str]) -> ua.ContentFilter:
    """(type or type …) and severity, as the element list of Part 4, 7.7: operators before operands."""
    nodes = [node for text in wanted.types if (node := node_of(text, uris)) is not None]
    parts: list[_Tree] = []
    if wanted.types:
        parts.append(_joined(ua.FilterOperator.Or, [_of_type(node) for node in nodes or [ua.NodeId()]]))
    if wanted.least_severity > 1:
        parts.append(_severity(wanted.least_severity))
    made = ua.ContentFilter()
    if parts:
        made.Elements = _flat(_joined(ua.FilterOperator.And, parts))
    return made


@dataclass(frozen=True, slots=True)
class _Tree:
    """A filter element whose operands may be elements."""

    operator: ua.FilterOperator
    operands: tuple["_Tree | ua.LiteralOperand | ua.SimpleAttributeOperand", ...]


def _of_type(node: ua.NodeId) -> _Tree:
    return _Tree(ua.FilterOperator.OfType, (ua.LiteralOperand(ua.Variant(node, ua.VariantType.NodeId)),))


def _severity(least: int) -> _Tree:
    literal = ua.LiteralOperand(ua.Variant(least, ua.VariantType.UInt16))
    return _Tree(ua.FilterOperator.GreaterThanOrEqual, (_operand("Severity", ()), literal))


def _joined(operator: ua.FilterOperator, trees: Sequence[_Tree]) -> _Tree:
    first, *others = trees
    return _Tree(operator, (first, _joined(operator, others))) if others else first


def _flat(tree: _Tree) -> list[ua.ContentFilterElement]:
    """Breadth first, so that every operand lies after its operator."""
    elements: list[ua.ContentFilterElement] = []
    queue, following = [tree], 1
    while queue:
        current = queue.pop(0)
        element = ua.ContentFilterElement()
        element.FilterOperator = current.operator
        element.FilterOperands = []
        for operand in current.operands:
            if isinstance(operand, _Tree):
                queue.append(operand)
                element.FilterOperands.append(ua.ElementOperand(ua.UInt32(following)))
                following += 1
            else:
                element.FilterOperands.append(operand)
        elements.append(element)
    return elements


def read_events(
    published: Published, part: Notification, dialect: Dialect, fields: Sequence[tuple[str, ...]]
) -> tuple[list[Event], int, str]:
    """The events of an EventNotificationList, how many were lost, and why.  Never raises.

    `fields` are the names asked for, by handle; events of other handles are counted as lost, but for MODEL_CHANGES.
    """
    r = Reader(published.body, part.start, part.end, dialect)
    events: list[Event] = []
    total = lost = 0
    problem = ""
    try:
        total = r.fit(max(0, r.i32()), 8)
        for _ in range(total):
            event = _read_event(r, fields)
            events += [event] if event is not None else []
    except (Malformed, struct.error) as error:
        problem = str(error)
    lost = total - len(events)
    return events, lost, problem or ("events of handles that we did not give" if lost else "")


def _read_event(r: Reader, fields: Sequence[tuple[str, ...]]) -> Event | None:
    handle = r.u32()
    values, problem = [], ""
    for _ in range(max(0, r.count(1))):
        built_in, value, _, what = read_value(r)
        values.append(Typed(built_in, value))
        problem = problem or what
    names = fields[handle] if handle < len(fields) else _MODEL_FIELDS if handle == MODEL_CHANGES else ()
    if not names:
        return None
    found = {name: typed for name, typed in zip(names, values, strict=False) if typed.type}
    event_type = found.get("EventType")
    kind = str(event_type.value) if event_type is not None and event_type.type == _NODE_ID else ""
    return Event(handle, Structure(kind, found), _ticks(found.get("Time")), _ticks(found.get("ReceiveTime")), problem)


def _ticks(typed: Typed | None) -> int:
    return typed.value if typed is not None and typed.type == _DATE_TIME and isinstance(typed.value, int) else 0


async def refresh_conditions(session: Session, subscription_id: int) -> bool:
    """Ask for the present state of all alarms (Part 9, 5.5.7); False where the server has none."""
    request = ua.CallMethodRequest()
    request.ObjectId, request.MethodId = _CONDITION, _REFRESH
    request.InputArguments = [ua.Variant(subscription_id, ua.VariantType.UInt32)]
    with peer_errors("refresh alarms", session.where):
        try:
            [result] = await session.services.call([request])
        except ua.uaerrors.UaStatusCodeError:
            return False
    return bool(result.StatusCode.is_good())
