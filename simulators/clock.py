"""Drives a SimPy environment from asyncio at any speed, without blocking the event loop.

Simulated time is computed from an anchor (a wall instant and the simulated instant that belongs to it), never by adding
up sleeps.  Every change of speed and every pause sets a new anchor, so simulated time neither jumps nor stalls.  After
each slice the environment stands at a definite simulated time, and `after_slice` is called with it.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import simpy

from simulators.flow.replay import stand_at
from simulators.pace import LatePolicy

TICK_S = 0.020
"""The longest sleep between two slices."""
NAP_S = 0.0001
"""The shortest sleep: shorter ones only cost CPU time."""
BUDGET_S = 0.005
"""The longest time that one slice may hold the event loop."""
CHECK_EVERY = 64
"""Events processed between two readings of the clock."""
SUSPENDED_S = 10.0
"""A sleep that takes this much longer than asked for means that the computer or a debugger suspended the process."""
LAG_LIMIT_S = 1.0
"""Seconds of wall time behind schedule from which the policies `slip` and `fail` act."""


class TooSlow(Exception):  # noqa: N818 - named after the condition
    """The simulation fell behind the clock by more than the limit, and the policy is `fail`."""


class Clock:
    """Simulated time as a function of wall time.  `speed`: simulated seconds per second; infinity runs unpaced."""

    def __init__(
        self,
        env: simpy.Environment,
        speed: float = 1.0,
        late_policy: LatePolicy = LatePolicy.CATCH_UP,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        lag_limit_s: float = LAG_LIMIT_S,
    ) -> None:
        self._env = env
        self._speed = _checked(speed)
        self._paused = False
        self._late_policy = late_policy
        self._monotonic = monotonic
        self._sleep = sleep or self._nap
        self._lag_limit_s = lag_limit_s
        self._roused = asyncio.Event()
        self._anchor()
        self.slipped_s = 0.0

    @property
    def now_s(self) -> float:
        """The simulated time reached, in seconds."""
        return float(self._env.now)

    @property
    def speed(self) -> float:
        """The requested speed."""
        return self._speed

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def lag_s(self) -> float:
        """How late the simulation is, in seconds of wall time."""
        if self._paused or math.isinf(self._speed):
            return 0.0
        return max(0.0, (self._target() - self.now_s) / self._speed)

    @property
    def achieved_speed(self) -> float:
        """Simulated seconds per second since the last change of speed."""
        wall_s = self._monotonic() - self._wall_s
        return (self.now_s - self._sim_s) / wall_s if wall_s > 0 else 0.0

    def set_speed(self, speed: float) -> None:
        """Change the speed from now on.  Raises ValueError unless it is over 0."""
        checked = _checked(speed)
        self._anchor()
        self._speed = checked
        self._roused.set()

    def pause(self) -> None:
        """Stop simulated time."""
        self._paused = True
        self._roused.set()

    def resume(self) -> None:
        """Let simulated time go on from where it stopped."""
        if self._paused:
            self._anchor()
            self._paused = False
            self._roused.set()

    async def run(self, after_slice: Callable[[float], None], until_s: float = math.inf) -> None:
        """Drive until cancelled, or up to `until_s`.  `after_slice` gets the simulated time after each slice.

        Raises what the simulated processes raise, and `TooSlow` under the policy `fail`.
        """
        self._anchor()
        while self.now_s < until_s:
            wait_s = self._slice(until_s)
            after_slice(self.now_s)
            if self.now_s < until_s:
                await self._rest(wait_s)

    async def _rest(self, wait_s: float) -> None:
        """Sleep, or only yield to other tasks.  A sleep that took far too long was a suspension: skip that time."""
        before_s = self._monotonic()
        await (self._sleep(wait_s) if wait_s > 0 else asyncio.sleep(0))
        overslept_s = self._monotonic() - before_s - wait_s
        if overslept_s > SUSPENDED_S and not self._paused:
            self.slipped_s += overslept_s
            self._anchor()

    def _slice(self, until_s: float) -> float:
        """Process events up to the target or the end of the budget.  Returns how long to sleep, in wall seconds."""
        if self._paused:
            return TICK_S
        target = min(self._target(), until_s)
        if not self._step(target):
            self._judge_lag()
            return 0.0
        if math.isfinite(target):
            stand_at(self._env, target)
        if math.isinf(self._speed):
            return 0.0 if math.isfinite(self._env.peek()) else TICK_S
        return min(TICK_S, max(NAP_S, (self._env.peek() - target) / self._speed))

    def _step(self, target: float) -> bool:
        """Process the events up to and at `target`.  False: the budget was used up first.

        In both cases every event at the present simulated time has been processed, so a command that arrives now has a
        definite place in the order of events.
        """
        env, deadline = self._env, self._monotonic() + BUDGET_S
        while self._is_due(target):
            for _ in range(CHECK_EVERY):
                if not self._is_due(target):
                    return True
                env.step()
            if self._monotonic() >= deadline:
                while self._is_due(float(env.now)):
                    env.step()
                return not self._is_due(target)
        return True

    def _is_due(self, target: float) -> bool:
        at_s = self._env.peek()
        return at_s <= target and at_s != math.inf

    def _judge_lag(self) -> None:
        lag_s = self.lag_s
        if lag_s <= self._lag_limit_s or self._late_policy is LatePolicy.CATCH_UP:
            return
        if self._late_policy is LatePolicy.FAIL:
            raise TooSlow(f"the simulation is {lag_s:.3f} s behind the clock; the limit is {self._lag_limit_s:g} s")
        self.slipped_s += lag_s
        self._anchor()

    def _target(self) -> float:
        if math.isinf(self._speed):
            return math.inf
        return self._sim_s + (self._monotonic() - self._wall_s) * self._speed

    def _anchor(self) -> None:
        self._wall_s = self._monotonic()
        self._sim_s = float(self._env.now)

    async def _nap(self, seconds: float) -> None:
        """Sleep, but wake up at once when the speed changes."""
        self._roused.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._roused.wait()
        except TimeoutError:
            return


def _checked(speed: float) -> float:
    if not speed > 0:
        raise ValueError(f"speed must be over 0, not {speed}: use pause to stop time")
    return speed
