"""The exclusive time account of a machine: exactly one state runs at every instant.

The seconds of all states add up to the elapsed time, within rounding.  Every indicator and the energy are computed from
this account, so they cannot disagree.
"""

from simulators.states import State


class Account:
    """The seconds spent in each state since `opened_s`.  All times in seconds of simulated time."""

    __slots__ = ("_entered_s", "_seconds", "opened_s", "state")

    def __init__(self, state: State, opened_s: float = 0.0) -> None:
        self.state = state
        self.opened_s = opened_s
        self._seconds = dict.fromkeys(State, 0.0)
        self._entered_s = opened_s

    def enter(self, state: State, now_s: float) -> None:
        """Enter `state` at `now_s`."""
        self._seconds[self.state] += now_s - self._entered_s
        self._entered_s = now_s
        self.state = state

    @property
    def since_s(self) -> float:
        """When the present state began."""
        return self._entered_s

    def seconds(self, now_s: float) -> dict[State, float]:
        """The time spent in each state up to `now_s`, in seconds."""
        spent = dict(self._seconds)
        spent[self.state] += now_s - self._entered_s
        return spent

    def seconds_in(self, state: State, now_s: float) -> float:
        """The time spent in one state up to `now_s`, in seconds."""
        return self._seconds[state] + (now_s - self._entered_s if state is self.state else 0.0)
