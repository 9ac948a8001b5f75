"""One machine: a simpy process that takes a part, works, and hands it on; and everything that can stop it.

What the machine wants to do (its activity) and what keeps it from doing so (its stops) are kept apart.  The state is
the gravest stop if there is one, and the activity otherwise: so one exclusive state runs at every instant.  Only timed
activities are interrupted by a stop; a starved or blocked machine that goes down keeps its place in line.

What a machine does with a part is told by its kind (`simulators/flow/kinds`), in terms of the verbs here.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Protocol

import simpy

from simulators.account import Account
from simulators.flow.buffer import Buffer
from simulators.flow.change import Command, Ledger
from simulators.flow.crew import Crew
from simulators.flow.failure_process import FailureProcess, FailureProcesses
from simulators.flow.part import Part, Visit
from simulators.flow.quality import Quality, Routes, is_reworked
from simulators.flow.setups import Setups
from simulators.kpis import Elements, elements_of
from simulators.plant import OUT, Defect, Station
from simulators.plant import Line as LineSpec
from simulators.signals import Signal
from simulators.states import State

Steps = Generator[simpy.Event, Part | None, None]
GRAVEST = (State.OFF, State.DOWN, State.MAINTENANCE, State.HELD)
"""The stops, gravest first: that is what the account shows when there are several."""


class MachineLine(Protocol):
    """What a machine needs of the line it stands on."""

    @property
    def env(self) -> simpy.Environment: ...
    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> LineSpec: ...
    @property
    def ledger(self) -> Ledger: ...
    def inflow_of(self, goal: str) -> Buffer | None: ...
    def deliver(self, part: Part) -> None: ...
    def lose(self, part: Part) -> None: ...


class Machine:
    """A machine of a station.  Times in seconds of simulated time, energy in joules."""

    def __init__(
        self, line: MachineLine, station: Station, name: str, *, seed: int, inflow: Buffer, crews: Mapping[str, Crew]
    ) -> None:
        self.env: simpy.Environment = line.env
        self.name = name
        self.line = line.name
        self.path = f"{line.name}/{name}"
        self.station = station
        self.account = Account(State.STARVED)
        self.good = self.scrap = self.rework = self.cycles = self.failures = 0
        self.ideal_cycle_s = station.ideal_cycle_s
        self.ideal_s = 0.0
        """Ideal time of all parts made: the PRI x PQ of ISO 22400."""
        self.speed = 1.0
        self.fault = self.severity = ""
        self.product = ""
        self.renewed_s = 0.0
        """Time worked when the tool was last renewed."""
        self.signals: Mapping[str, Signal] = {}
        self.followers: list[Callable[[State, float], None]] = []
        """Called with each new state and the time."""
        self.witnesses: list[Callable[[Part, float], None]] = []
        """Called with each finished part and when work on it began."""
        self.inflow = inflow
        self.setups = Setups(station, seed, self.path)
        self.seed = seed
        self._on_line = line
        self._note = line.ledger.note
        self._samplers = {"": station.cycle.sampler(seed, self.path, "cycle")} | {
            product: law.sampler(seed, self.path, f"cycle/{product}") for product, law in station.cycles.items()
        }
        self._quality = Quality(station, seed, self.path)
        self._routes = Routes(line.spec, station, seed, self.path)
        self._failures = FailureProcesses([*station.failures, *station.maintenance], seed, self.path, crews)
        self._reserved: Buffer | None = None
        self._activity = State.STARVED
        self._stops = dict.fromkeys(GRAVEST, 0)
        self._stopped = 0
        self._released = self.env.event()
        self._timing = False

    def live(self, life: Callable[["Machine"], Steps]) -> None:
        """Begin to work, as machines of this kind do."""
        self._process = self.env.process(life(self))
        for process in self._failures.by_calendar:
            self.env.process(self._count_by_calendar(process))

    @property
    def state(self) -> State:
        """What the machine is doing now."""
        return self.account.state

    @property
    def ready(self) -> bool:
        """Whether nothing stops it."""
        return not self._stopped

    @property
    def can_renew(self) -> bool:
        """Whether a tool change or planned care ever makes it as new."""
        return self.station.tool is not None or bool(self.station.maintenance)

    def watts(self, state: State) -> float:
        """The electrical power in a state."""
        power = self.station.power
        match state:
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

    def energy_j(self, now_s: float) -> float:
        """The energy used up to now."""
        return sum(seconds * self.watts(state) for state, seconds in self.account.seconds(now_s).items())

    def elements(self, now_s: float) -> Elements:
        """The ISO 22400 elements up to now."""
        return elements_of(
            self.account.seconds(now_s),
            good=self.good,
            scrap=self.scrap,
            rework=self.rework,
            ideal_s=self.ideal_s,
            failures=self.failures,
            energy_j=self.energy_j(now_s),
        )

    def worked_s(self, now_s: float) -> float:
        """The time worked up to now."""
        return self.account.seconds_in(State.WORKING, now_s)

    # What a kind of station is told in.

    def next_part(self) -> Generator[simpy.Event, Part | None, Part]:
        """Care that is due; then a part, however long it takes."""
        for process in self._failures.due_between_parts():
            yield from self.tend(process)
        part = self.inflow.take() if not self._stopped else None
        if part is None:
            self.turn(State.STARVED)
            part = yield self.inflow.wait_part(self)
            assert part is not None, "the inflow hands over parts only"
        return part

    def prepare(self, part: Part) -> Steps:
        """Reserve room if the file says so, set up, change the tool, suffer what strikes at the start of a cycle."""
        if self.station.blocking == "before":
            yield from self._reserve()
        setup_s = self.setups.before(part.product)
        if setup_s:
            yield from self.spend(State.SETUP, setup_s)
        self.product = part.product
        if self.setups.tool_is_worn:
            yield from self.spend(State.SETUP, self.setups.change_tool())
            self.renewed_s = self.worked_s(self.env.now)
        for process in self._failures.due_by_cycles():
            yield from self.tend(process)

    def work(self, part: Part) -> Generator[simpy.Event, Part | None, Defect | None]:
        """Prepare, work and look what is wrong; a defect that is put right here is worked on again at once."""
        while True:
            yield from self.prepare(part)
            began_s = self.env.now
            yield from self.spend(State.WORKING, self.work_s(part))
            defect = self.finish(part, began_s)
            if defect is None or defect.to != self.station.name or not is_reworked(defect, part):
                return defect
            self._note(self.env.now, self.path, "defect", defect.code)
            self._count("rework", part)

    def work_s(self, part: Part) -> float:
        """How long the work on this part takes: drawn anew at every call."""
        return self._samplers.get(part.product, self._samplers[""])()

    def spend(self, activity: State, seconds: float) -> Steps:
        """Do something for so many seconds, not counting the time stopped; breakdowns strike while working."""
        left, working = seconds, activity is State.WORKING
        while True:
            while self._stopped:
                yield self._released
            self.turn(activity)
            if left <= 0:
                return
            speed = self.speed if working else 1.0
            span, first = left / speed, self._failures.next_to_strike() if working else None
            strikes = first is not None and first.left <= span
            if first is not None and strikes:
                span = max(0.0, first.left)
            began, self._timing = self.env.now, True
            try:
                yield self.env.timeout(span)
                self._timing = False
            except simpy.Interrupt:
                span, strikes = self.env.now - began, False
                left = max(left - span * speed, 1e-9)
            else:
                left = left - span * speed if strikes else 0.0
            if working:
                self._failures.worked(span)
            if first is not None and strikes:
                yield from self.tend(first)

    def finish(self, part: Part, began_s: float) -> Defect | None:
        """Work on a part is over: count, and say what is wrong with it."""
        now = self.env.now
        self.cycles += 1
        self.ideal_s += self.station.ideal_of(part.product)
        self._failures.cycled()
        self.setups.made_one(part)
        defect = self._quality.verdict()
        part.visits.append(Visit(self.name, began_s, now, defect.code if defect else ""))
        self._note(now, self.path, "cycle_s", now - began_s)
        for witness in self.witnesses:
            witness(part, began_s)
        return defect

    def pass_on(self, part: Part, defect: Defect | None) -> Steps:
        """Hand a finished part to whoever comes next, however long that takes."""
        if defect is not None:
            self._note(self.env.now, self.path, "defect", defect.code)
        carrier = part.carrier
        if defect is not None and not is_reworked(defect, part):
            self._use_reservation()
            self._count("scrap", part)
            self._on_line.lose(part)
            goal = OUT
        else:
            self._count("good" if defect is None else "rework", part)
            goal = self._routes.next_after(part) if defect is None else str(defect.to)
            yield from self._hand_over(part, self._on_line.inflow_of(goal))
        if carrier is not None and goal not in carrier.stations:
            carrier.leave(part)

    def _hand_over(self, part: Part, outflow: Buffer | None) -> Steps:
        self._use_reservation()
        if outflow is None:
            self._on_line.deliver(part)
        elif not outflow.offer(part):
            self.turn(State.BLOCKED)
            yield outflow.wait_room(part)

    def _reserve(self) -> Steps:
        outflow = self._on_line.inflow_of(self._routes.usual)
        if outflow is not None and not outflow.reserve():
            self.turn(State.BLOCKED)
            yield outflow.wait_reservation()
        self._reserved = outflow

    def _use_reservation(self) -> None:
        if self._reserved is not None:
            self._reserved.unreserve()
            self._reserved = None

    def _count(self, what: str, part: Part) -> None:
        now, count = self.env.now, getattr(self, what) + 1
        setattr(self, what, count)
        self._note(now, self.path, what, count)
        self._note(now, self.path, "serial", part.serial)

    # What stops a machine.

    def stop(self, reason: State) -> None:
        """Something of the gravity of `reason` keeps the machine from working, until `release` with the same reason."""
        self._stops[reason] += 1
        self._stopped += 1
        self._disturb()
        self._show()

    def release(self, reason: State) -> None:
        """One cause of a stop is over; without one, nothing happens."""
        if not self._stops[reason]:
            return
        self._stops[reason] -= 1
        self._stopped -= 1
        self._show()
        if not self._stopped:
            released, self._released = self._released, self.env.event()
            released.succeed()
            self.inflow.rouse()

    def wait_ready(self) -> simpy.Event:
        """The event comes when nothing stops the machine any more."""
        return self._released

    def set_speed(self, speed: float) -> None:
        """Work faster or slower than the cycle times of the file say: also on the part that is in work."""
        if not speed > 0:
            raise ValueError(f"speed must be over 0, not {speed}: hold the machine to stop it")
        self._disturb()
        self.speed = speed
        self.journal("speed", speed)

    def journal(self, name: str, value: float | str) -> None:
        """Remember a command from outside, so that the run can be told again."""
        self._on_line.ledger.commands.append(Command(float(self.env.now), self.path, name, value))

    def tend(self, process: FailureProcess) -> Steps:
        """Repair a failure, or do planned care: stopped meanwhile, and waiting for the crew if there is one."""
        if not process.is_care:
            self.failures += 1
            self.severity = process.severity
            self._tell_fault(process.name)
        self.stop(process.reason)
        takes_s = process.takes_s()
        if process.crew is None:
            yield self.env.timeout(takes_s)
        else:
            yield from process.crew.work(takes_s, process.priority)
        self._failures.tended(process)
        if process.tended is not None:
            process.tended.succeed()
            process.tended = None
        if process.renews:
            self.renewed_s = self.worked_s(self.env.now)
        if not process.is_care:
            self._tell_fault("")
        self.release(process.reason)

    def _tell_fault(self, name: str) -> None:
        self.fault = name
        self._note(self.env.now, self.path, "fault", name)

    def _count_by_calendar(self, process: FailureProcess) -> Steps:
        while True:
            yield self.env.timeout(process.left)
            if process.strikes or self._activity is State.STARVED:
                yield from self.tend(process)
            else:  # the machine comes to it by itself, between two parts
                process.left, process.tended = 0.0, self.env.event()
                yield process.tended

    def _disturb(self) -> None:
        """Let a timed activity look again at what it is doing."""
        if self._timing:
            self._timing = False
            self._process.interrupt()

    def turn(self, activity: State) -> None:
        """This is what the machine wants to do now."""
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
        self._note(now, self.path, "state", state.value)
