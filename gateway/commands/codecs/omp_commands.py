"""The sixteen command types of the Open Manufacturing Platform's connector, each as one of our requests.  Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from gateway.commands.codecs.reading import Body, node_of, number_in, objects_in, text_in
from gateway.commands.outcome import Refused
from gateway.commands.request import MOST_INTERVAL_S, Details, Request

MOST_LEVELS = 100
ROOT = "i=84"
_JOINED = ("read", "write")
"""Several of these in a row are one request."""
ITEMS: Mapping[str, str] = {
    "createSubscriptions": "monitoredItems",
    "removeSubscriptions": "monitoredItems",
    "removeAllSubscriptions": "monitoredItems",
    "restoreSubscriptions": "monitoredItems",
    "createAlarmSubscriptions": "alarmMonitoredItems",
    "removeAlarmSubscriptions": "alarmMonitoredItems",
    "removeAllAlarmSubscriptions": "alarmMonitoredItems",
    "restoreAlarmSubscriptions": "alarmMonitoredItems",
    "respondToAlarmEvents": "alarmEventActions",
}
"""The command types with a list of nodes, and the key of that list in requests and answers."""
_INTERVALS = ("samplingInterval", "publishingInterval", "heartbeatInterval")
"""In their order: none may be shorter than the one before."""
_ACTIONS = {"acknowledge": "acknowledge", "confirm": "confirm"}


def parts_of(requests: Sequence[Body]) -> list[tuple[str, list[Body]]]:
    """What becomes one of our requests each: neighbours of one kind that read, or write, different nodes; of a list of
    variables those with the same intervals; of responses to alarms each alone."""
    found: list[tuple[str, list[Body]]] = []
    for item in requests:
        kind = text_in(item, "commandType")
        last, items = found[-1] if found else ("", [])
        if kind == last in _JOINED and item.get("nodeId") not in [each.get("nodeId") for each in items]:
            items.append(item)
        else:
            found += [(kind, [each]) for each in _divided(kind, item)]
    return found


def _divided(kind: str, item: Body) -> Iterator[Body]:
    key = ITEMS.get(kind, "")
    listed = item.get(key)
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        yield item  # what is wrong with it is said where it is read
        return
    groups: dict[object, list[Body]] = {}
    for number, each in enumerate(listed):
        alike = number if kind == "respondToAlarmEvents" else tuple(str(each.get(name)) for name in _INTERVALS)
        groups.setdefault(alike, []).append(each)
    for group in groups.values() if groups else [[]]:
        yield {**item, key: group}


def nodes_of(kind: str, items: Sequence[Body]) -> list[str]:
    """The nodes of a part as its answer names them, whatever else is wrong with it."""
    if kind not in ITEMS:
        return [str(item.get("nodeId", "")) for item in items]
    listed = items[0].get(ITEMS[kind])
    key = "sourceNodeId" if kind == "respondToAlarmEvents" else "nodeId"
    return [str(each.get(key, "")) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def request_of(kind: str, items: Sequence[Body]) -> Request:
    """Raises `Refused`."""
    build = COMMANDS.get(kind)
    if build is None:
        raise Refused("invalid", f"commandType: one of {', '.join(COMMANDS)}")
    return build(items)


def _node(item: Body) -> str:
    return node_of(text_in(item, "nodeId"))


def _read(items: Sequence[Body]) -> Request:
    return Request("read", tags=tuple(map(_node, items)))


def _write(items: Sequence[Body]) -> Request:
    if any("value" not in item for item in items):
        raise Refused("invalid", "value: is missing")
    values = tuple(_value(item["value"]) for item in items)
    return Request("write", tags=tuple(map(_node, items)), values=values, as_text=True)


def _call(items: Sequence[Body]) -> Request:
    [item] = items
    arguments = _pairs(item.get("arguments") or [])
    if arguments is None:
        raise Refused("invalid", 'arguments: a list of {"key": …, "value": …}')
    return Request("call", tags=(_node(item),), arguments=arguments, as_text=True)


def _browse(items: Sequence[Body]) -> Request:
    return Request("browse", tags=(_node(items[0]),), details=Details(attributes=True))


def _browse_children(items: Sequence[Body]) -> Request:
    return Request("browse", tags=(_node(items[0]),), details=Details(levels=_depth(items[0])))


def _browse_root(items: Sequence[Body]) -> Request:
    return Request("browse", tags=(ROOT,), details=Details(levels=_depth(items[0])))


def _discover(items: Sequence[Body]) -> Request:
    """The whole address space, as deep as the rule for the root allows."""
    return Request("browse", tags=(ROOT,), details=Details(levels=0))


def _subscribe(items: Sequence[Body], *, kind: str) -> Request:
    listed = objects_in(items[0], ITEMS[kind])
    wanted = [key for each in listed for key in ("alarmTypeNodeIds", "alarmfields") if each.get(key)]
    if wanted:
        raise Refused("unsupported", f"{wanted[0]}: alarms come with their usual fields, and all of their types")
    spans = [_seconds(listed[0], key) for key in _INTERVALS]
    given = [span for span in spans if span is not None]
    if given != sorted(given):
        raise Refused("invalid", "samplingInterval is at most publishingInterval, and that heartbeatInterval")
    sampling_s, publishing_s, heartbeat_s = spans
    details = Details(
        publishing_s=publishing_s or None, sampling_s=sampling_s,
        heartbeat_s=heartbeat_s or None if kind == "createSubscriptions" else None,
    )  # fmt: skip
    return Request("subscribe", tags=_each_once(listed), details=details)


def _unsubscribe(items: Sequence[Body], *, kind: str) -> Request:
    return Request("unsubscribe", tags=_each_once(objects_in(items[0], ITEMS[kind])))


def _every(items: Sequence[Body], *, operation: str, every: str) -> Request:
    return Request("subscribe" if operation == "subscribe" else "unsubscribe", details=Details(every=every))


def _respond(items: Sequence[Body]) -> Request:
    [action] = objects_in(items[0], ITEMS["respondToAlarmEvents"])
    wanted = text_in(action, "action").casefold()
    if wanted not in _ACTIONS:
        raise Refused("invalid", "action: Acknowledge or Confirm")
    details = Details(event=text_in(action, "eventId"), comment=text_in(action, "comment", ""))
    condition = node_of(text_in(action, "sourceNodeId"))
    return Request("confirm" if wanted == "confirm" else "acknowledge", tags=(condition,), details=details)


def _each_once(listed: Sequence[Body]) -> tuple[str, ...]:
    nodes = tuple(map(_node, listed))
    if len(set(nodes)) < len(nodes):
        raise Refused("invalid", "a node stands twice")
    return nodes


def _depth(item: Body) -> int:
    """A number, or a text as that connector's users sent it."""
    return int(_number(item, "browseDepth", 1, MOST_LEVELS, 1))


def _seconds(item: Body, key: str) -> float | None:
    """From milliseconds, which that connector's users sent as text."""
    return _number(item, key, 0, MOST_INTERVAL_S * 1000, 0) / 1000 if item.get(key) is not None else None


def _number(item: Body, key: str, low: float, high: float, default: float) -> float:
    found = item.get(key, default)
    if isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) < 16:
        found = int(found)
    return number_in({key: found}, key, low, high)


def _value(value: object) -> object:
    """Lists of `{key, dataType, value}` are structures."""
    pairs = _pairs(value) if isinstance(value, list) and value else None
    if pairs is not None:
        return pairs
    return [_value(each) for each in value] if isinstance(value, list) else value


def _pairs(value: object) -> Mapping[str, object] | None:
    """What a list of keys and values says; None where it is none."""
    if not isinstance(value, list) or not all(
        isinstance(each, dict) and {"key", "value"} <= each.keys() for each in value
    ):
        return None
    found = {text_in(each, "key"): _value(each["value"]) for each in value}
    if len(found) < len(value):
        raise Refused("invalid", "a key stands twice")
    return found


COMMANDS: Mapping[str, Callable[[Sequence[Body]], Request]] = {
    "read": _read,
    "write": _write,
    "call": _call,
    "browse": _browse,
    "browseChildNodes": _browse_children,
    "browseChildNodesFromRoot": _browse_root,
    "serverDiscovery": _discover,
    "createSubscriptions": partial(_subscribe, kind="createSubscriptions"),
    "removeSubscriptions": partial(_unsubscribe, kind="removeSubscriptions"),
    "removeAllSubscriptions": partial(_every, operation="unsubscribe", every="variables"),
    "restoreSubscriptions": partial(_every, operation="subscribe", every="variables"),
    "createAlarmSubscriptions": partial(_subscribe, kind="createAlarmSubscriptions"),
    "removeAlarmSubscriptions": partial(_unsubscribe, kind="removeAlarmSubscriptions"),
    "removeAllAlarmSubscriptions": partial(_every, operation="unsubscribe", every="events"),
    "restoreAlarmSubscriptions": partial(_every, operation="subscribe", every="events"),
    "respondToAlarmEvents": _respond,
}
"""The command types, and what makes a request of each."""
