"""One exclusive time account per machine: at every instant exactly one state runs.

The seconds of all states add up to the time that has passed, to rounding; every indicator and every joule is read off
from here, so nothing can disagree.
"""

from simulators.states import State


class Account:
    """Seconds per state, from `opened_s` on."""

    __slots__ = ("_entered_s", "_seconds", "opened_s", "state")

    def __init__(self, state: State, opened_s: float = 0.0) -> None:
        self.state = state
        self.opened_s = opened_s
        self._seconds = dict.fromkeys(State, 0.0)
        self._entered_s = opened_s

    def enter(self, state: State, now_s: float) -> None:
        """From now on the machine is in `state`."""
        self._seconds[self.state] += now_s - self._entered_s
        self._entered_s = now_s
        self.state = state

    def seconds(self, now_s: float) -> dict[State, float]:
        """The time spent in each state up to now, in seconds."""
        spent = dict(self._seconds)
        spent[self.state] += now_s - self._entered_s
        return spent

    def seconds_in(self, state: State, now_s: float) -> float:
        """The time spent in one state up to now, in seconds."""
        return self._seconds[state] + (now_s - self._entered_s if state is self.state else 0.0)
