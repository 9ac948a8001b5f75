"""One machine: a simpy process that takes a part, works, and hands it on; and everything that can stop it.

What the machine wants to do (its activity) and what keeps it from doing so (its stops) are kept apart.  The state is
the gravest stop if there is one, and the activity otherwise: so one exclusive state runs at every instant.  Only timed
activities are interrupted by a stop; a starved or blocked machine that goes down keeps its place in line.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING

import simpy

from simulators.account import Account
from simulators.flow.buffer import Buffer
from simulators.flow.change import Ledger
from simulators.flow.part import Part
from simulators.plant import Failure, Station
from simulators.signals import Signal
from simulators.states import State
from simulators.streams import uniform

if TYPE_CHECKING:
    from simulators.flow.line import Line

Steps = Generator[simpy.Event, Part | None, None]
GRAVEST = (State.OFF, State.DOWN, State.MAINTENANCE, State.HELD)


class Wear:
    """An operating-time failure: strikes when its time of work has run out."""

    __slots__ = ("failure", "left_s", "repair_s", "span_s")

    def __init__(self, failure: Failure, seed: int, path: str) -> None:
        self.failure = failure
        self.span_s = failure.every.sampler(seed, path, f"{failure.name}/every")
        self.repair_s = failure.repair.sampler(seed, path, f"{failure.name}/repair")
        self.left_s = self.span_s()


class Machine:
    """A machine of a station.  Times in seconds of simulated time, energy in joules."""

    def __init__(self, line: "Line", station: Station, name: str, seed: int, inflow: Buffer) -> None:
        self.env: simpy.Environment = line.env
        self.name = name
        self.line = line.name
        self.path = f"{line.name}/{name}"
        self.station = station
        self.account = Account(State.STARVED)
        self.good = 0
        self.scrap = 0
        self.cycles = 0
        self.failures = 0
        self.ideal_cycle_s = station.ideal_cycle_s
        self.signals: Mapping[str, Signal] = {}
        self.followers: list[Callable[[State, float], None]] = []
        self._line = line
        self._ledger: Ledger = line.ledger
        self._inflow = inflow
        self._work_s = station.cycle.sampler(seed, self.path, "cycle")
        self._luck = uniform(seed, self.path, "quality")
        self._wears = [Wear(f, seed, self.path) for f in station.failures if f.counts == "operating"]
        self._activity = State.STARVED
        self._stops = dict.fromkeys(GRAVEST, 0)
        self._stopped = 0
        self._released = self.env.event()
        self._timing = False
        self._process = self.env.process(self._life())
        for failure in station.failures:
            if failure.counts == "calendar":
                self.env.process(self._strike_by_calendar(Wear(failure, seed, self.path)))

    @property
    def state(self) -> State:
        """What the machine is doing now."""
        return self.account.state

    @property
    def ready(self) -> bool:
        """Whether nothing stops it."""
        return not self._stopped

    def energy_j(self, now_s: float) -> float:
        """The energy used up to now."""
        power = self.station.power
        idle = power.idle
        watts = {State.WORKING: power.working, State.DOWN: power.down, State.OFF: power.off}
        if power.setup is not None:
            watts[State.SETUP] = power.setup
        return sum(seconds * watts.get(state, idle) for state, seconds in self.account.seconds(now_s).items())

    def worked_s(self, now_s: float) -> float:
        """The time worked up to now."""
        return self.account.seconds_in(State.WORKING, now_s)

    def stop(self, reason: State) -> None:
        """Something of the gravity of `reason` keeps the machine from working, until `release` with the same reason."""
        self._stops[reason] += 1
        self._stopped += 1
        if self._timing:
            self._timing = False
            self._process.interrupt()
        self._show()

    def release(self, reason: State) -> None:
        """One cause of a stop is over."""
        if not self._stops[reason]:
            return
        self._stops[reason] -= 1
        self._stopped -= 1
        self._show()
        if not self._stopped:
            released, self._released = self._released, self.env.event()
            released.succeed()
            self._inflow.rouse()

    def _life(self) -> Steps:
        while True:
            part = self._inflow.take() if self.ready else None
            if part is None:
                self._turn(State.STARVED)
                part = yield self._inflow.wait_part(self)
                assert part is not None
            began_s = self.env.now
            yield from self._spend(State.WORKING, self._work_s())
            self._finish(part, began_s)
            if self._luck() < self.station.scrap:
                self._scrap(part)
                continue
            self._count("good")
            yield from self._hand_on(part)

    def _finish(self, part: Part, began_s: float) -> None:
        now = self.env.now
        self.cycles += 1
        part.visits.append((self.name, began_s, now))
        self._ledger.note(now, self.path, "cycle_s", now - began_s)

    def _scrap(self, part: Part) -> None:
        self._count("scrap")
        self._line.lose(part)

    def _count(self, what: str) -> None:
        count = getattr(self, what) + 1
        setattr(self, what, count)
        self._ledger.note(self.env.now, self.path, what, count)

    def _hand_on(self, part: Part) -> Steps:
        outflow = self._line.after(self.station)
        if outflow is None:
            self._line.deliver(part)
        elif not outflow.offer(part):
            self._turn(State.BLOCKED)
            yield outflow.wait_room(part)

    def _spend(self, activity: State, seconds: float) -> Steps:
        """Do something for so many seconds, not counting the time stopped; breakdowns strike meanwhile."""
        left = seconds
        while True:
            while self._stopped:
                yield self._released
            self._turn(activity)
            if left <= 0:
                return
            wear = self._next_wear() if activity is State.WORKING else None
            fails = wear is not None and wear.left_s <= left
            span = wear.left_s if fails and wear else left
            spent = yield from self._time(span)
            left -= spent
            self._age(activity, spent)
            if fails and wear and spent == span:
                yield from self._repair(wear)

    def _time(self, span: float) -> Generator[simpy.Event, Part | None, float]:
        """Let time pass until `span` is over or something stops the machine; gives the time that has passed."""
        began = self.env.now
        self._timing = True
        try:
            yield self.env.timeout(span)
        except simpy.Interrupt:
            return float(self.env.now - began)
        self._timing = False
        return span

    def _next_wear(self) -> Wear | None:
        return min(self._wears, key=lambda wear: wear.left_s, default=None)

    def _age(self, activity: State, spent: float) -> None:
        if activity is State.WORKING:
            for wear in self._wears:
                wear.left_s -= spent

    def _repair(self, wear: Wear) -> Steps:
        self.failures += 1
        self._ledger.note(self.env.now, self.path, "fault", wear.failure.name)
        self.stop(State.DOWN)
        yield self.env.timeout(wear.repair_s())
        wear.left_s = wear.span_s()
        self._ledger.note(self.env.now, self.path, "fault", "")
        self.release(State.DOWN)

    def _strike_by_calendar(self, wear: Wear) -> Steps:
        while True:
            yield self.env.timeout(wear.left_s)
            yield from self._repair(wear)

    def _turn(self, activity: State) -> None:
        self._activity = activity
        self._show()

    def _show(self) -> None:
        state = self._activity
        if self._stopped:
            state = next(stop for stop in GRAVEST if self._stops[stop])
        if state is self.account.state:
            return
        now = self.env.now
        self.account.enter(state, now)
        for follow in self.followers:
            follow(state, now)
        self._ledger.note(now, self.path, "state", state.value)


def parts_made(machines: Sequence[Machine]) -> tuple[int, int]:
    """Good parts and scrap of some machines."""
    return sum(m.good for m in machines), sum(m.scrap for m in machines)
