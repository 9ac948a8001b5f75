"""The methods of conditions (Part 9, 5.5.4 to 5.8.15), at their types and at every instance.

| refusal | when |
| --- | --- |
| Bad_EventIdUnknown | no event of the present occurrence has this EventId |
| Bad_ConditionBranchAlreadyAcked, …AlreadyConfirmed | it is acknowledged, confirmed already |
| Bad_ConditionDisabled, …AlreadyEnabled, …AlreadyDisabled | it is disabled; it is so already |
| Bad_ConditionAlreadyShelved, …NotShelved, Bad_ShelvingTimeOutOfRange | of shelving |
| Bad_DialogNotActive, Bad_DialogResponseInvalid | nobody asked; no such option |
| Bad_NodeIdUnknown, Bad_MethodInvalid | the object is no condition; it is none of this kind |
| Bad_SubscriptionIdInvalid, Bad_MonitoredItemIdInvalid | a refresh of a subscription that is not one's own |
| Bad_UserAccessDenied | the user may read, but not operate |
"""

from collections.abc import Callable
from functools import partial

from asyncua import ua

from simulators.server.conditions.shown import Condition, Conditions
from simulators.server.conditions.state import ConditionState, Refused
from simulators.server.nodes import ObjectIds, StatusCodes, numeric, status
from simulators.server.sessions import Session
from simulators.server.space import Method, Space, bind_method
from simulators.server.subscriptions import Subscription

BYTES, TEXT = ua.VariantType.ByteString, ua.VariantType.LocalizedText
WHOLE, UNSIGNED, NUMBER = ua.VariantType.Int32, ua.VariantType.UInt32, ua.VariantType.Double
TYPE_METHODS = {
    "Acknowledge": ObjectIds.AcknowledgeableConditionType_Acknowledge,
    "Confirm": ObjectIds.AcknowledgeableConditionType_Confirm,
    "AddComment": ObjectIds.ConditionType_AddComment,
    "Enable": ObjectIds.ConditionType_Enable,
    "Disable": ObjectIds.ConditionType_Disable,
    "Respond": ObjectIds.DialogConditionType_Respond,
    "ShelvingState/TimedShelve": ObjectIds.AlarmConditionType_ShelvingState_TimedShelve,
    "ShelvingState/OneShotShelve": ObjectIds.AlarmConditionType_ShelvingState_OneShotShelve,
    "ShelvingState/Unshelve": ObjectIds.AlarmConditionType_ShelvingState_Unshelve,
}
SHELVING_TYPE = {
    "ShelvingState/TimedShelve": ObjectIds.ShelvedStateMachineType_TimedShelve,
    "ShelvingState/OneShotShelve": ObjectIds.ShelvedStateMachineType_OneShotShelve,
    "ShelvingState/Unshelve": ObjectIds.ShelvedStateMachineType_Unshelve,
}
ARGUMENTS = {
    "Acknowledge": (BYTES, TEXT), "Confirm": (BYTES, TEXT), "AddComment": (BYTES, TEXT), "Respond": (WHOLE,),
    "ShelvingState/TimedShelve": (NUMBER,),
}  # fmt: skip
PAST = {
    "Acknowledge": "is acknowledged", "Confirm": "is confirmed", "AddComment": "has a comment", "Enable": "is enabled",
    "Disable": "is disabled", "ShelvingState/TimedShelve": "is shelved", "ShelvingState/OneShotShelve": "is shelved",
    "ShelvingState/Unshelve": "is not shelved any more", "Respond": "is answered",
}  # fmt: skip
Act = Callable[[ConditionState, str, tuple[object, ...], float], None]


def acts() -> dict[str, Act]:
    """What each method does to the state: with the user, the arguments and the instant."""
    return {
        "Acknowledge": lambda s, user, given, at_s: s.acknowledge(_id(given), _comment(given), user, at_s),
        "Confirm": lambda s, user, given, at_s: s.confirm(_id(given), _comment(given), user, at_s),
        "AddComment": lambda s, user, given, at_s: s.add_comment(_id(given), _comment(given), user, at_s),
        "Enable": lambda s, user, given, at_s: s.enable(at_s),
        "Disable": lambda s, user, given, at_s: s.disable(at_s),
        "ShelvingState/TimedShelve": lambda s, user, given, at_s: s.shelve(float(str(given[0])) / 1000.0, at_s),
        "ShelvingState/OneShotShelve": lambda s, user, given, at_s: s.shelve(None, at_s),
        "ShelvingState/Unshelve": lambda s, user, given, at_s: s.unshelve(at_s),
    }


class ConditionMethods:
    """Binds the methods of the conditions of one server."""

    def __init__(
        self, space: Space, conditions: Conditions, caller: Callable[[], Session | None],
        may_operate: Callable[[], bool],
    ) -> None:  # fmt: skip
        """`caller` returns the session that calls the running method."""
        self._space = space
        self._conditions = conditions
        self._caller = caller
        self._may_operate = may_operate
        self._acts = acts()

    def bind(self) -> None:
        """Bind the methods of the types and of all instances."""
        for name, number in (*TYPE_METHODS.items(), *SHELVING_TYPE.items()):
            bind_method(self._space, numeric(number), partial(self._act, name))
        for number, count in (
            (ObjectIds.ConditionType_ConditionRefresh, 1), (ObjectIds.ConditionType_ConditionRefresh2, 2),
        ):  # fmt: skip
            bind_method(self._space, numeric(number), partial(self._refresh, count))
        for condition in self._conditions.all:
            for name in TYPE_METHODS:
                if name in condition.instance.nodes:
                    method: Method = partial(self._act, name)
                    bind_method(self._space, condition.instance.nodes[name], method)

    async def _act(self, name: str, object_id: ua.NodeId, *arguments: ua.Variant) -> ua.CallMethodResult:
        condition = self._conditions.known.get(object_id)
        if condition is None:
            return _refused(StatusCodes.BadNodeIdUnknown)
        if name not in condition.instance.nodes:
            return _refused(StatusCodes.BadMethodInvalid)
        if not self._may_operate():
            return _refused(StatusCodes.BadUserAccessDenied)
        wrong = mistyped(arguments, ARGUMENTS.get(name, ()))
        if wrong is not None:
            return wrong
        caller = self._caller()
        user = (caller.user.name or "anonymous") if caller is not None else ""
        given = tuple(argument.Value for argument in arguments)
        at_s = self._conditions.now_s
        try:
            if name == "Respond":
                self._respond(condition, int(given[0]), user, at_s)
            else:
                self._acts[name](condition.state, user, given, at_s)
        except Refused as refused:
            return _refused(refused.code)
        self._conditions.tell(condition, f"{condition.state.path} {PAST[name]}", at_s)
        return ua.CallMethodResult(status(0))

    def _respond(self, condition: Condition, answer: int, user: str, at_s: float) -> None:
        options = getattr(condition.alarm, "options", ())
        condition.state.respond(answer, len(options), user, at_s)

    async def _refresh(self, count: int, object_id: ua.NodeId, *arguments: ua.Variant) -> ua.CallMethodResult:
        wrong = mistyped(arguments, (UNSIGNED,) * count)
        if wrong is not None:
            return wrong
        caller = self._caller()
        own = {s.data.SubscriptionId: s for s in caller.subscriptions.of(caller)} if caller is not None else {}
        subscription = own.get(arguments[0].Value)
        if not isinstance(subscription, Subscription):
            return _refused(StatusCodes.BadSubscriptionIdInvalid)
        item = arguments[1].Value if count == 2 else None
        if item is not None and not subscription.items.watches_events(item):
            return _refused(StatusCodes.BadMonitoredItemIdInvalid)
        self._conditions.refresh(subscription, item)
        return ua.CallMethodResult(status(0))


def mistyped(arguments: tuple[ua.Variant, ...], kinds: tuple[ua.VariantType, ...]) -> ua.CallMethodResult | None:
    """The refusal of arguments of another number or type (Part 4, 5.12.2).  None: they are right."""
    if len(arguments) != len(kinds):
        missing = len(arguments) < len(kinds)
        return _refused(StatusCodes.BadArgumentsMissing if missing else StatusCodes.BadTooManyArguments)
    fits = [_fits(argument, kind) for argument, kind in zip(arguments, kinds, strict=True)]
    if all(fits):
        return None
    results = [status(0 if fit else StatusCodes.BadTypeMismatch) for fit in fits]
    return ua.CallMethodResult(status(StatusCodes.BadInvalidArgument), InputArgumentResults=results)


def _fits(argument: ua.Variant, kind: ua.VariantType) -> bool:
    if argument.VariantType is kind:
        return argument.Value is not None or kind in (BYTES, TEXT)
    return kind in (BYTES, TEXT) and argument.VariantType is ua.VariantType.Null


def _refused(code: int) -> ua.CallMethodResult:
    return ua.CallMethodResult(status(code))


def _id(given: tuple[object, ...]) -> bytes:
    return given[0] if isinstance(given[0], bytes) else b""


def _comment(given: tuple[object, ...]) -> str | None:
    """None: a null comment, text and locale missing."""
    text = given[1]
    if not isinstance(text, ua.LocalizedText) or (text.Text is None and text.Locale is None):
        return None
    return text.Text or ""
