"""What clients may do to a machine: call its methods and write its set-points.  Both act on the flow.

Every machine has the methods Start, Stop, Hold, Unhold, Suspend, Unsuspend, Complete, Reset, Abort, Clear and SetSpeed,
and the writable set-point SpeedFactor (1: as in the plant file).  Those of the plant (lots, buffers, priorities …) are
in `simulators/server/lines.py`.  A PackML machine also has these commands where OPC
30050 puts them, and SetMachSpeed in parts per minute.

| refusal | when |
| --- | --- |
| Bad_InvalidState | the state diagram does not allow this command now; nothing has changed |
| Bad_OutOfRange | a speed outside the EURange, or not a number |
| Bad_TypeMismatch, Bad_ArgumentsMissing | the arguments or the value have another type |
| Bad_UserAccessDenied | the user may read, but not operate |
| Bad_InvalidState | a unit mode other than Production while the unit works; Start in such a mode |
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from asyncua import ua
from asyncua.crypto.permission_rules import User

from simulators.errors import Illegal
from simulators.flow import Machine
from simulators.server.information import COMMANDS, Information, MachineInstances, design_speed
from simulators.server.machines import MachineNodes, NodeNamespace, add_limits
from simulators.server.nodes import AttributeIds, ObjectIds, StatusCodes, localized, numeric, status
from simulators.server.space import READ, WRITE, Method, Space, Variable
from simulators.signals import UNITS
from simulators.states import Cause

SLOWEST, FASTEST = 0.1, 3.0
"""EURange of SpeedFactor."""
CAUSES: Mapping[str, Cause] = {
    "Start": Cause.START, "Stop": Cause.STOP, "Hold": Cause.HOLD, "Unhold": Cause.UNHOLD, "Suspend": Cause.SUSPEND,
    "Unsuspend": Cause.UNSUSPEND, "Complete": Cause.COMPLETE, "ToComplete": Cause.COMPLETE, "Reset": Cause.RESET,
    "Abort": Cause.ABORT, "Clear": Cause.CLEAR,
}  # fmt: skip
OWN = ("Start", "Stop", "Hold", "Unhold", "Suspend", "Unsuspend", "Complete", "Reset", "Abort", "Clear")
Judge = Callable[[ua.WriteValue, User], ua.StatusCode | None]
"""Decides whether a client may write a value.  None: it does not decide."""
SetValue = Callable[[float | int | str], ua.StatusCode]
"""Makes a written value effective, or says why not."""
NUMBERS = (ua.VariantType.Double, ua.VariantType.Float)


@dataclass(frozen=True, slots=True)
class SetPoint:
    """A variable that clients may write."""

    low: float
    high: float
    apply: Callable[[float], None]


class Operations:
    """The methods and set-points of one server."""

    def __init__(
        self,
        ns: NodeNamespace,
        may_operate: Callable[[User], bool],
        caller: Callable[[], User | None],
        speed_changed: Callable[[MachineNodes], None],
        information: Information,
    ) -> None:
        """`caller` returns the user who calls the running method."""
        self._ns = ns
        self._may_operate = may_operate
        self._caller = caller
        self._speed_changed = speed_changed
        self._information = information
        self._set_points: dict[ua.NodeId, SetPoint] = {}
        self._variables: dict[ua.NodeId, tuple[ua.VariantType, SetValue]] = {}

    def add(self, shown: MachineInstances) -> None:
        """Give a machine its methods and its set-point."""
        nodes, ns, space = shown.nodes, self._ns, self._ns.space
        path = nodes.machine.path
        for name in OWN:
            space.add_method(ns.id(f"{path}/{name}"), ns.name(name), nodes.node_id, self._commanding(shown, name))
        set_speed = space.add_method(
            ns.id(f"{path}/SetSpeed"), ns.name("SetSpeed"), nodes.node_id, self._setting(nodes, lambda m: 1.0)
        )
        factor = ua.Argument(
            ua.String("Factor"), numeric(ObjectIds.Double), ua.Int32(-1), [], localized("1: as designed")
        )
        space.add_arguments(ns.id(f"{path}/SetSpeed/InputArguments"), "InputArguments", set_speed, [factor])
        variable = space.add_variable(
            ns.id(f"{path}/SpeedFactor"), ns.name("SpeedFactor"), nodes.node_id, ua.VariantType.Double, 1.0,
            type_id=numeric(ObjectIds.AnalogUnitRangeType), access=READ | WRITE,
            description="writable; 1: as designed",
        )  # fmt: skip
        add_limits(ns, variable.node_id, f"{path}/SpeedFactor", UNITS["1"], (SLOWEST, FASTEST))
        nodes.variables["SpeedFactor"] = variable
        self.add_set_point(variable, SLOWEST, FASTEST, partial(self._speed_up, nodes))
        if shown.packml is not None:
            self._bind_packml(shown, shown.packml.nodes)

    def add_set_point(self, variable: Variable, low: float, high: float, apply: Callable[[float], None]) -> None:
        """Let clients write a number from `low` to `high` to a variable.  `apply` makes it effective."""
        self._set_points[variable.node_id] = SetPoint(low, high, apply)

    def add_variable(self, variable: Variable, apply: SetValue) -> None:
        """Let clients write values of the variable's own type to it.  `apply` makes them effective, or refuses them."""
        self._variables[variable.node_id] = (variable.kind, apply)

    def _bind_packml(self, shown: MachineInstances, nodes: Mapping[str, ua.NodeId]) -> None:
        store = self._ns.space.store
        for level, names in COMMANDS.items():
            for name in names:
                store[nodes[f"{level}/{name}"]].call = self._commanding(shown, name)
        store[nodes["SetMachSpeed"]].call = self._setting(shown.nodes, design_speed)
        store[nodes["SetUnitMode"]].call = partial(self._set_mode, shown)
        for name in ("SetProduct", "SetParameter"):
            store[nodes[name]].call = partial(self._take, shown, name)

    async def _set_mode(self, shown: MachineInstances, parent: ua.NodeId, *arguments: ua.Variant) -> ua.StatusCode:
        if not self.allowed():
            return status(StatusCodes.BadUserAccessDenied)
        if len(arguments) != 1:
            return status(StatusCodes.BadArgumentsMissing if not arguments else StatusCodes.BadTooManyArguments)
        if arguments[0].VariantType is not ua.VariantType.Int32:
            return status(StatusCodes.BadTypeMismatch)
        machine = shown.nodes.machine
        done = self._information.admins[machine.path].set_mode(arguments[0].Value)
        self._information.show(machine, machine.state, float(machine.env.now))
        return done

    async def _take(
        self, shown: MachineInstances, name: str, parent: ua.NodeId, *arguments: ua.Variant
    ) -> ua.StatusCode:
        if not self.allowed():
            return status(StatusCodes.BadUserAccessDenied)
        if len(arguments) != 1:
            return status(StatusCodes.BadArgumentsMissing if not arguments else StatusCodes.BadTooManyArguments)
        machine, information = shown.nodes.machine, self._information
        admin = information.admins[machine.path]
        return admin.take(name, arguments[0].Value, information.write, float(machine.env.now))

    def _commanding(self, shown: MachineInstances, name: str) -> Method:
        return partial(self._command, shown, CAUSES[name])

    async def _command(
        self, shown: MachineInstances, cause: Cause, parent: ua.NodeId, *arguments: ua.Variant
    ) -> ua.StatusCode:
        if not self.allowed():
            return status(StatusCodes.BadUserAccessDenied)
        admin = self._information.admins.get(shown.nodes.machine.path)
        if cause is Cause.START and admin is not None and not admin.may_start:
            return status(StatusCodes.BadInvalidState)
        try:
            shown.unit.command(cause)
        except Illegal:
            return status(StatusCodes.BadInvalidState)
        return status(0)

    def _setting(self, nodes: MachineNodes, design: Callable[[Machine], float]) -> Method:
        return partial(self._set_speed, nodes, design)

    async def _set_speed(
        self, nodes: MachineNodes, design: Callable[[Machine], float], parent: ua.NodeId, *arguments: ua.Variant
    ) -> ua.StatusCode:
        if not self.allowed():
            return status(StatusCodes.BadUserAccessDenied)
        if len(arguments) != 1:
            return status(StatusCodes.BadArgumentsMissing if not arguments else StatusCodes.BadTooManyArguments)
        if arguments[0].VariantType not in NUMBERS or not isinstance(arguments[0].Value, float):
            return status(StatusCodes.BadTypeMismatch)
        set_point = SetPoint(SLOWEST, FASTEST, partial(self._speed_up, nodes))
        return _apply(set_point, arguments[0].Value / design(nodes.machine))

    def _speed_up(self, nodes: MachineNodes, factor: float) -> None:
        nodes.machine.set_speed(factor)
        self._speed_changed(nodes)

    def judge(self, written: ua.WriteValue, user: User) -> ua.StatusCode | None:
        """Apply or refuse a client's write.  None: the variable is no set-point, and asyncua refuses the write."""
        set_point, other = self._set_points.get(written.NodeId), self._variables.get(written.NodeId)
        if (set_point is None and other is None) or written.AttributeId != AttributeIds.Value:
            return None
        if not self._may_operate(user):
            return status(StatusCodes.BadUserAccessDenied)
        if written.IndexRange:
            return status(StatusCodes.BadIndexRangeInvalid)
        value = written.Value.Value
        if other is not None:
            kind, apply = other
            if value is None or value.VariantType is not kind or not isinstance(value.Value, float | int | str):
                return status(StatusCodes.BadTypeMismatch)
            return apply(value.Value)
        if value is None or value.VariantType is not ua.VariantType.Double or not isinstance(value.Value, float):
            return status(StatusCodes.BadTypeMismatch)
        assert set_point is not None
        return _apply(set_point, value.Value)

    def allowed(self) -> bool:
        """Whether the user who calls the running method may operate."""
        user = self._caller()
        return user is not None and self._may_operate(user)


def _apply(set_point: SetPoint, number: float) -> ua.StatusCode:
    if not math.isfinite(number) or not set_point.low * (1 - 1e-9) <= number <= set_point.high * (1 + 1e-9):
        return status(StatusCodes.BadOutOfRange)
    set_point.apply(number)
    return status(0)


def writable(
    space: Space, may_operate: Callable[[User], bool]
) -> Callable[[ua.WriteValue, User], ua.StatusCode | None]:
    """Refuses writes of users who may not operate, and of part of a value; asyncua judges the rest."""

    def judge(written: ua.WriteValue, user: User) -> ua.StatusCode | None:
        if not may_operate(user):
            return status(StatusCodes.BadUserAccessDenied)
        if written.IndexRange:
            return status(StatusCodes.BadWriteNotSupported)
        return None if written.NodeId in space.store else status(StatusCodes.BadNodeIdUnknown)

    return judge
