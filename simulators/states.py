"""The states of a machine, and their names in the standards.  State machines are tables.

A machine has eight exclusive states that together cover all time.  The states of PackML (ISA-TR88.00.02) and the item
state and operation mode of OPC 40001-1 are derived from them.
"""

from collections import deque
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from functools import cache

from simulators.errors import Illegal


class State(StrEnum):
    """The exclusive states of a machine."""

    WORKING = "working"
    SETUP = "setup"
    STARVED = "starved"
    BLOCKED = "blocked"
    HELD = "held"
    DOWN = "down"
    MAINTENANCE = "maintenance"
    OFF = "off"


class ItemState(IntEnum):
    """OPC 40001-1, MachineryItemState."""

    NOT_AVAILABLE = 0
    OUT_OF_SERVICE = 1
    NOT_EXECUTING = 2
    EXECUTING = 3


class OperationMode(IntEnum):
    """OPC 40001-1, MachineryOperationMode."""

    NONE = 0
    MAINTENANCE = 1
    SETUP = 2
    PROCESSING = 3


MACHINERY: Mapping[State, tuple[ItemState, OperationMode]] = {
    State.WORKING: (ItemState.EXECUTING, OperationMode.PROCESSING),
    State.SETUP: (ItemState.EXECUTING, OperationMode.SETUP),
    State.STARVED: (ItemState.NOT_EXECUTING, OperationMode.PROCESSING),
    State.BLOCKED: (ItemState.NOT_EXECUTING, OperationMode.PROCESSING),
    State.HELD: (ItemState.NOT_EXECUTING, OperationMode.PROCESSING),
    State.DOWN: (ItemState.OUT_OF_SERVICE, OperationMode.PROCESSING),
    State.MAINTENANCE: (ItemState.OUT_OF_SERVICE, OperationMode.MAINTENANCE),
    State.OFF: (ItemState.NOT_AVAILABLE, OperationMode.NONE),
}
"""Item state and operation mode by state.  OPC 40501-1 annex C derives the ISO 22400 times from this pair."""


class Pack(IntEnum):
    """The states of PackML, by their PackTags number (the StateNumber of OPC 30050)."""

    UNDEFINED = 0
    CLEARING = 1
    STOPPED = 2
    STARTING = 3
    IDLE = 4
    SUSPENDED = 5
    EXECUTE = 6
    STOPPING = 7
    ABORTING = 8
    ABORTED = 9
    HOLDING = 10
    HELD = 11
    UNHOLDING = 12
    SUSPENDING = 13
    UNSUSPENDING = 14
    RESETTING = 15
    COMPLETING = 16
    COMPLETE = 17


class Cause(IntEnum):
    """The causes of a transition in PackML: a command, by its CntrlCmd number, or a completed acting state."""

    STATE_COMPLETE = 0
    RESET = 1
    START = 2
    STOP = 3
    HOLD = 4
    UNHOLD = 5
    SUSPEND = 6
    UNSUSPEND = 7
    ABORT = 8
    CLEAR = 9
    COMPLETE = 10


class PackMode(IntEnum):
    """Unit modes (ProductionMaintenanceModeEnum of OPC 30050)."""

    INVALID = 0
    PRODUCTION = 1
    MAINTENANCE = 2
    MANUAL = 3


class Edition(StrEnum):
    """The edition of the state diagram.  That of 2022 is not verified: see `_ADDED_2022`."""

    Y2015 = "2015"
    Y2022 = "2022"


Table = Mapping[tuple[Pack, Cause], Pack]

ACTING: Mapping[Pack, Pack] = {
    Pack.STARTING: Pack.EXECUTE,
    Pack.EXECUTE: Pack.COMPLETING,
    Pack.COMPLETING: Pack.COMPLETE,
    Pack.RESETTING: Pack.IDLE,
    Pack.HOLDING: Pack.HELD,
    Pack.UNHOLDING: Pack.EXECUTE,
    Pack.SUSPENDING: Pack.SUSPENDED,
    Pack.UNSUSPENDING: Pack.EXECUTE,
    Pack.STOPPING: Pack.STOPPED,
    Pack.CLEARING: Pack.STOPPED,
    Pack.ABORTING: Pack.ABORTED,
}
"""The state that follows each acting state (and Execute, which is both) when it completes."""
RUNNING = frozenset(
    (
        Pack.IDLE, Pack.STARTING, Pack.EXECUTE, Pack.COMPLETING, Pack.COMPLETE, Pack.RESETTING, Pack.HOLDING, Pack.HELD,
        Pack.UNHOLDING, Pack.SUSPENDING, Pack.SUSPENDED, Pack.UNSUSPENDING,
    )
)  # fmt: skip
"""The super-state in which Stop is allowed (18 Running of OPC 30050)."""
_COMMANDS: Table = {
    (Pack.IDLE, Cause.START): Pack.STARTING,
    (Pack.EXECUTE, Cause.HOLD): Pack.HOLDING,
    (Pack.EXECUTE, Cause.SUSPEND): Pack.SUSPENDING,
    (Pack.EXECUTE, Cause.COMPLETE): Pack.COMPLETING,
    (Pack.COMPLETE, Cause.RESET): Pack.RESETTING,
    (Pack.HELD, Cause.UNHOLD): Pack.UNHOLDING,
    (Pack.SUSPENDED, Cause.UNSUSPEND): Pack.UNSUSPENDING,
    (Pack.STOPPED, Cause.RESET): Pack.RESETTING,
    (Pack.ABORTED, Cause.CLEAR): Pack.CLEARING,
}
_HOLD_TOO = (Pack.STARTING, Pack.UNHOLDING, Pack.SUSPENDING, Pack.SUSPENDED, Pack.UNSUSPENDING)
"""The optional transitions to Holding (dashed lines).  The NodeSet of OPC 30050 has all of them."""
_ADDED_2022: Table = {
    (Pack.HELD, Cause.COMPLETE): Pack.COMPLETING,
    (Pack.SUSPENDED, Cause.COMPLETE): Pack.COMPLETING,
}
"""The edition of 2022 may allow these.  Its text was not available, so this is not verified."""


@cache
def packml(edition: Edition = Edition.Y2015) -> Table:
    """The diagram of an edition: (state, cause) to state.  Everything else is not allowed."""
    table = dict(_COMMANDS) | {(state, Cause.STATE_COMPLETE): after for state, after in ACTING.items()}
    table |= {(state, Cause.HOLD): Pack.HOLDING for state in _HOLD_TOO}
    table |= {(state, Cause.STOP): Pack.STOPPING for state in RUNNING}
    unaborted = RUNNING | {Pack.STOPPING, Pack.STOPPED, Pack.CLEARING}
    table |= {(state, Cause.ABORT): Pack.ABORTING for state in unaborted}
    return table | dict(_ADDED_2022) if edition is Edition.Y2022 else table


def move(state: Pack, cause: Cause, edition: Edition = Edition.Y2015) -> Pack:
    """The state after a cause.  Raises `Illegal`, with nothing changed, when the diagram has no such transition."""
    after = packml(edition).get((state, cause))
    if after is None:
        raise Illegal(f"{cause.name.lower()} is not possible in {state.name.lower()}")
    return after


@cache
def way(start: Pack, goal: Pack, edition: Edition = Edition.Y2015) -> tuple[Pack, ...]:
    """The states on the shortest way from `start` to `goal`, the goal included.  Empty when already there.

    Raises `Illegal` when there is no way.
    """
    came_from: dict[Pack, Pack] = {start: start}
    waiting = deque([start])
    while waiting and goal not in came_from:
        here = waiting.popleft()
        for (state, _), after in packml(edition).items():
            if state is here and after not in came_from:
                came_from[after] = here
                waiting.append(after)
    if goal not in came_from:
        raise Illegal(f"no way leads from {start.name.lower()} to {goal.name.lower()}")
    steps = [goal]
    while steps[-1] is not start:
        steps.append(came_from[steps[-1]])
    return tuple(reversed(steps[:-1]))


PACK_OF: Mapping[State, Pack] = {
    State.WORKING: Pack.EXECUTE,
    State.SETUP: Pack.IDLE,
    State.STARVED: Pack.SUSPENDED,
    State.BLOCKED: Pack.SUSPENDED,
    State.HELD: Pack.HELD,
    State.DOWN: Pack.ABORTED,
    State.MAINTENANCE: Pack.STOPPED,
    State.OFF: Pack.STOPPED,
}
"""The state of PackML for each of ours: Suspended for external causes (no part, no room), Held for internal ones."""
PACK_MODE_OF: Mapping[State, PackMode] = {State.MAINTENANCE: PackMode.MAINTENANCE, State.SETUP: PackMode.MANUAL}
"""The unit mode, where it is not Production."""
