"""The fields of a condition's events, which are also the values of its nodes: by browse path, from its state alone."""

from collections.abc import Callable
from datetime import datetime

from asyncua import ua

from simulators.alarms import AnyAlarm, Dialog, Discrepancy, Limits
from simulators.server.conditions.state import LONGEST_SHELVED_S, ConditionState, Shelved
from simulators.server.events import BOOLEAN, LOCALIZED, NODE, Fields
from simulators.server.nodes import ObjectIds, localized, numeric, status

CLASSES = {
    "maintenance": (numeric(ObjectIds.MaintenanceConditionClassType), "Maintenance"),
    "process": (numeric(ObjectIds.ProcessConditionClassType), "Process"),
}
LIMIT_STATES = {"HighHigh": 9329, "High": 9331, "Low": 9333, "LowLow": 9335}
"""The states of the ExclusiveLimitStateMachineType."""
NUMBER, TIME, TEXT = ua.VariantType.Double, ua.VariantType.DateTime, ua.VariantType.String
UINT16, INT32, CODE = ua.VariantType.UInt16, ua.VariantType.Int32, ua.VariantType.StatusCode
Instant = Callable[[float], datetime]


def two_states(path: str, content: bool, names: tuple[str, str], changed: datetime | None) -> Fields:
    """A TwoStateVariable: its text, its Id, and when it changed.  `names` for false and true."""
    found = {path: (localized(names[content]), LOCALIZED), f"{path}/Id": (content, BOOLEAN)}
    return {**found, f"{path}/TransitionTime": (changed, TIME)} if changed is not None else found


def of_condition(state: ConditionState, name: str, kind: str, node_id: ua.NodeId, instant: Instant) -> Fields:
    """The fields of the ConditionType."""
    class_id, class_name = CLASSES[kind]
    changed, commented = state.changed_s, instant(state.commented_s)
    return {
        "NodeId": (node_id, NODE),
        "ConditionClassId": (class_id, NODE), "ConditionClassName": (localized(class_name), LOCALIZED),
        "ConditionName": (name, TEXT), "BranchId": (ua.NodeId(), NODE), "Retain": (state.retain, BOOLEAN),
        **two_states(
            "EnabledState", state.enabled, ("Disabled", "Enabled"), instant(changed.get("enabled", 0.0))
        ),
        "Quality": (status(0), CODE), "Quality/SourceTimestamp": (instant(0.0), TIME),
        "LastSeverity": (state.last_severity, UINT16), "LastSeverity/SourceTimestamp": (commented, TIME),
        "Comment": (localized(state.comment), LOCALIZED), "Comment/SourceTimestamp": (commented, TIME),
        "ClientUserId": (state.user, TEXT),
    }  # fmt: skip


def of_alarm(state: ConditionState, input_id: ua.NodeId, instant: Instant, now_s: float) -> Fields:
    """The fields of AcknowledgeableConditionType and AlarmConditionType."""

    def changed(key: str) -> datetime:
        return instant(state.changed_s.get(key, 0.0))

    name, number = state.shelved.value
    found: Fields = {
        **two_states("AckedState", state.acked, ("Unacknowledged", "Acknowledged"), changed("acked")),
        **two_states("ActiveState", state.active, ("Inactive", "Active"), changed("active")),
        "ActiveState/EffectiveDisplayName": (localized(_effective(state)), LOCALIZED),
        "InputNode": (input_id, NODE),
        "SuppressedOrShelved": (state.shelved is not Shelved.NO, BOOLEAN),
    }
    if not state.confirmable:
        return found
    return {
        **found,
        **two_states("ConfirmedState", state.confirmed, ("Unconfirmed", "Confirmed"), changed("confirmed")),
        "ShelvingState/CurrentState": (localized(name), LOCALIZED),
        "ShelvingState/CurrentState/Id": (numeric(number), NODE),
        "ShelvingState/UnshelveTime": (1000.0 * state.shelved_for_s(now_s), NUMBER),
        "MaxTimeShelved": (1000.0 * LONGEST_SHELVED_S, NUMBER),
    }


def _effective(state: ConditionState) -> str:
    levels = [level for level in LIMIT_STATES if level in state.levels]
    return "/".join(["Active", *levels]) if state.active else "Inactive"


def of_kind(state: ConditionState, alarm: AnyAlarm, targets: dict[str, ua.NodeId], instant: Instant) -> Fields:
    """The fields of the alarm's own type.  `targets`: the nodes that hold its normal or target value."""
    if isinstance(alarm, Dialog):
        return of_dialog(state, alarm, instant)
    if isinstance(alarm, Discrepancy):
        return {
            "TargetValueNode": (targets["target"], NODE), "ExpectedTime": (1000.0 * alarm.expected_time, NUMBER),
            "Tolerance": (alarm.tolerance, NUMBER),
        }  # fmt: skip
    return of_limits(state, alarm) if isinstance(alarm, Limits) else {"NormalState": (targets["normal"], NODE)}


def of_limits(state: ConditionState, alarm: Limits) -> Fields:
    found: dict[str, tuple[object, ua.VariantType]] = {
        f"{name}Limit": (limit, NUMBER) for name, limit in limits_of(alarm).items()
    }
    if alarm.kind == "non_exclusive_limit":
        for name in limits_of(alarm):
            names = (f"{name} inactive", f"{name} active")
            found.update(two_states(f"{name}State", name in state.levels, names, None))
        return found
    level = next(iter(state.levels), None)
    return {
        **found,
        "LimitState/CurrentState": (localized(level) if level else None, LOCALIZED),
        "LimitState/CurrentState/Id": (numeric(LIMIT_STATES[level]) if level else ua.NodeId(), NODE),
    }


def limits_of(alarm: Limits) -> dict[str, float]:
    """The limits that the alarm has, by the names of their states."""
    all_of_them = (
        ("HighHigh", alarm.high_high), ("High", alarm.high), ("Low", alarm.low), ("LowLow", alarm.low_low)
    )  # fmt: skip
    return {name: limit for name, limit in all_of_them if limit is not None}


def of_dialog(state: ConditionState, dialog: Dialog, instant: Instant) -> Fields:
    options = [localized(option) for option in dialog.options]
    last = len(dialog.options) - 1
    return {
        **two_states(
            "DialogState", state.asked, ("Inactive", "Active"), instant(state.changed_s.get("dialog", 0.0))
        ),
        "Prompt": (localized(dialog.prompt), LOCALIZED), "ResponseOptionSet": (options, LOCALIZED),
        "DefaultResponse": (dialog.default, INT32), "OkResponse": (0, INT32), "CancelResponse": (last, INT32),
        "LastResponse": (state.response, INT32),
    }  # fmt: skip


def optional_of(alarm: AnyAlarm | None) -> set[str]:
    """The optional children that a condition has.  None: the alarm that every machine has."""
    if isinstance(alarm, Dialog):
        return {"DialogState/TransitionTime"}
    found = {"EnabledState/TransitionTime", "AckedState/TransitionTime", "ActiveState/TransitionTime"}
    if alarm is None:
        return found
    found |= {"ActiveState/EffectiveDisplayName", "ConfirmedState", "ConfirmedState/TransitionTime", "Confirm"}
    found |= {"ShelvingState", "MaxTimeShelved", "Tolerance"}
    if isinstance(alarm, Limits):
        found |= {f"{name}Limit" for name in limits_of(alarm)} | {f"{name}State" for name in limits_of(alarm)}
    return found
