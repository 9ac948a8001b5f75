"""The PackML view of a machine: it follows the account, and commands act on the flow.

When the account changes, the unit moves through the state diagram to the state that belongs to it.  The acting states
on the way take no time.  An operator's command holds until the next one: a machine that was stopped, held, suspended,
aborted or completed is HELD in the account, and starts again only on Start, Unhold or Unsuspend.  A breakdown ends when
it is repaired, as if the crew had sent Clear, Reset and Start.
"""

from collections.abc import Callable

from simulators.errors import Illegal
from simulators.flow.machine import Machine
from simulators.states import ACTING, PACK_MODE_OF, PACK_OF, Cause, Edition, Pack, PackMode, State, move, way


class PackMLUnit:
    """PackML state and mode of one machine.  Raises `Illegal` for commands that the diagram does not allow."""

    def __init__(self, machine: Machine, edition: Edition = Edition.Y2015) -> None:
        self.machine = machine
        self.edition = edition
        self.state = Pack.STOPPED
        self.on_state: list[Callable[[Pack, float], None]] = []
        """Called with each state on the way, and the simulated time."""
        self._ordered: Pack | None = None
        self._spent: dict[tuple[PackMode, Pack], float] = {}
        self._entered_s = float(machine.env.now)
        self._entered_mode = self.mode
        self._follow(machine.state, float(machine.env.now))
        machine.followers.append(self._follow)

    @property
    def mode(self) -> PackMode:
        return PACK_MODE_OF.get(self.machine.state, PackMode.PRODUCTION)

    @property
    def starved(self) -> bool:
        """EquipmentStarved of PackML."""
        return self.machine.state is State.STARVED

    @property
    def blocked(self) -> bool:
        """EquipmentBlocked of PackML."""
        return self.machine.state is State.BLOCKED

    def state_s(self, now_s: float) -> float:
        """StateCurrentTime of PackML: seconds since the unit entered the state, or changed its mode in it."""
        return now_s - self._entered_s

    def cumulative_s(self, now_s: float) -> dict[tuple[PackMode, Pack], float]:
        """StateCumulativeTime of PackML: the seconds spent in each mode and state up to now.

        They add up to the time since the unit was made.  Acting states take none.
        """
        key = self._entered_mode, self.state
        return {**self._spent, key: self._spent.get(key, 0.0) + now_s - self._entered_s}

    def command(self, cause: Cause) -> None:
        """Obey, and act on the machine.  Raises `Illegal`, with nothing changed, when that is not possible now."""
        if cause is Cause.STATE_COMPLETE:
            raise Illegal("state complete is not a command")
        state = move(self.state, cause, self.edition)
        held = self._ordered is not None
        if not held and self.machine.state in (State.DOWN, State.MAINTENANCE, State.OFF) and cause is Cause.CLEAR:
            raise Illegal("clear is not possible until the repair is done")
        self._pass(state)
        while state in ACTING and state is not Pack.EXECUTE:
            state = ACTING[state]
            self._pass(state)
        self._ordered = None if state is Pack.EXECUTE else state
        self.machine.journal("command", cause.name.lower())
        self._act(held)

    def _act(self, held: bool) -> None:
        if self._ordered is not None and not held:
            self.machine.stop(State.HELD)
        elif self._ordered is None and held:
            self.machine.release(State.HELD)
        if self._ordered is None:
            self._follow(self.machine.state, float(self.machine.env.now))

    def _follow(self, state: State, now_s: float) -> None:
        goal = self._ordered or PACK_OF[state]
        if state is State.DOWN and self._ordered is None and self.machine.severity == "hold":
            goal = Pack.HELD
        for step in way(self.state, goal, self.edition):
            self._pass(step, now_s)
        if self.mode is not self._entered_mode:
            self._book(now_s)

    def _pass(self, state: Pack, now_s: float | None = None) -> None:
        at_s = float(self.machine.env.now) if now_s is None else now_s
        self._book(at_s)
        self.state = state
        for listener in self.on_state:
            listener(state, at_s)

    def _book(self, now_s: float) -> None:
        """Add the time in the present state and mode to the account."""
        key = self._entered_mode, self.state
        self._spent[key] = self._spent.get(key, 0.0) + now_s - self._entered_s
        self._entered_s, self._entered_mode = now_s, self.mode
