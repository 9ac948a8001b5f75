"""The electrical power of a machine by state and speed.  Power and time account give the energy."""

from collections.abc import Mapping

from simulators.account import Account
from simulators.plant import Station
from simulators.states import State


class Power:
    """Power and energy of one machine.  Power depends on the state and, while working, on the speed."""

    def __init__(self, station: Station, account: Account) -> None:
        self._power = station.power
        self._exponent = station.speed.power
        self._account = account
        self._speed = 1.0
        self._used_j = 0.0
        self._counted: Mapping[State, float] = {}

    def watts(self, state: State) -> float:
        """The power in a state, in watts.  While working, the part above idle grows with a power of the speed."""
        power = self._power
        match state:
            case State.WORKING if self._speed != 1.0:
                return power.idle + (power.working - power.idle) * float(self._speed**self._exponent)
            case State.WORKING:
                return power.working
            case State.SETUP if power.setup is not None:
                return power.setup
            case State.DOWN:
                return power.down
            case State.OFF:
                return power.off
            case _:
                return power.idle

    def joules(self, now_s: float) -> float:
        """The energy used up to `now_s`, in joules."""
        spent = self._account.seconds(now_s).items()
        if not self._counted:
            return sum(seconds * self.watts(state) for state, seconds in spent)
        return self._used_j + sum((seconds - self._counted[state]) * self.watts(state) for state, seconds in spent)

    def set_speed(self, speed: float, now_s: float) -> None:
        """Work at another speed from `now_s` on."""
        self._used_j, self._counted = self.joules(now_s), self._account.seconds(now_s)
        self._speed = speed
