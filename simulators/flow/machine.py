"""One machine: a simpy process that takes a part, works, and hands it on.

What can stop it, and which state it is in, is in `stoppable.py`; how it hands parts on, in `handover.py`.

The kind of a machine (`simulators/flow/kinds`) says what it does with a part, in terms of the verbs defined here.  A
verb that returns `Steps | None` returns None when it took no time: a generator in that case would cost half of a
cycle's CPU time.
"""

from collections.abc import Callable, Generator, Mapping

import simpy
from simpy.events import Timeout

from simulators.flow.assembly import Store
from simulators.flow.buffer import Buffer
from simulators.flow.causes import Causes
from simulators.flow.change import Change, Command
from simulators.flow.crew import Crew
from simulators.flow.curves import Curves, Cycle
from simulators.flow.failure_process import FailureProcesses
from simulators.flow.flashing import Flashing
from simulators.flow.handover import LOST, Handover, MachineLine
from simulators.flow.part import Part, Visit
from simulators.flow.people import person_of
from simulators.flow.power import Power
from simulators.flow.quality import Quality, is_reworked
from simulators.flow.results import Results
from simulators.flow.setups import Setups
from simulators.flow.stoppable import STARVED, WORKING, Steps
from simulators.kpis import Elements, elements_of
from simulators.plant import Defect, Station
from simulators.signals import Signal
from simulators.states import State


class Machine(Handover):
    """A machine of a station.  Times in seconds of simulated time, energy in joules."""

    __slots__ = (  # over 30 attributes: without slots, Python keeps them in a slower dict
        "_is_caused", "_is_plain", "_power", "_special_s", "_speed_hazard", "_stores", "_team", "_usual_s",
        "begins_at_once", "causes", "curves", "cycles", "defects", "flashing", "good", "hazard",
        "ideal_cycle_s", "ideal_s", "ideals", "is_counted", "name", "one_time_s", "order", "product", "quality",
        "results", "rework", "scrap", "seed", "setups", "signals", "speed", "station", "witnesses",
    )  # fmt: skip

    def __init__(
        self, line: MachineLine, station: Station, name: str, *, seed: int, inflow: Buffer, crews: Mapping[str, Crew]
    ) -> None:
        path = f"{line.name}/{name}"
        processes = FailureProcesses([*station.failures, *station.maintenance], seed, path, crews)
        super().__init__(line, station, path, seed=seed, inflow=inflow, processes=processes)
        self.name = name
        self.station = station
        self._power = Power(station, self.account)
        self.good = self.scrap = self.rework = self.cycles = 0
        self.ideal_cycle_s = station.ideal_cycle_s
        self.ideal_s = 0.0
        """Ideal time of all parts made, in seconds: PRI x PQ of ISO 22400."""
        self.speed = 1.0
        self.hazard = 1.0
        """Failures per second worked, relative to the usual."""
        self._speed_hazard = 1.0
        self.product, self.order = "", 0
        """What it works on, or did last: product, and number of the order."""
        self.signals: Mapping[str, Signal] = {}
        self.witnesses: list[Callable[[Part, float], None]] = []
        """Called with each finished part and the time at which work on it began."""
        self.results: Results | None = None
        """Where the results of parts go; None: nobody wants them."""
        self.defects: dict[str, int] = {}
        """How many defects of each code it found."""
        self.setups = Setups(station, seed, self.path)
        self.causes = Causes(station, seed, name, self.setups, lambda: self.worked_s(self.env.now) - self.renewed_s)
        self.flashing = Flashing(station, seed, self.path) if station.ecus else None
        self.curves: Curves | None = None
        """Where what its curves depend on goes; None: nobody wants them."""
        self._team = (station.team, crews[station.team].people) if station.team else None
        self.seed = seed
        self._usual_s = station.cycle.sampler(seed, self.path, "cycle")
        self._special_s = {
            product: law.sampler(seed, self.path, f"cycle/{product}") for product, law in station.cycles.items()
        }
        self.one_time_s = self._usual_s if not self._special_s and self.flashing is None else None
        """Draws how long work takes, where it does not depend on the part."""
        self.quality = Quality(station, seed, self.path)
        self.ideals: dict[str, float] = {}
        """Ideal times by product, in seconds, of the products that were made."""
        self._stores = [(c.name, line.stores[c.line]) for c in station.components if c.line is not None]
        for _, store in self._stores:
            store.users.append(self)
            self.further_inflows.append(store)
        self._is_plain = station.blocking == "after" and not self.processes.by_cycles and not self._stores
        self._is_caused = bool(self.causes)
        self.is_counted = bool(self.processes.by_cycles) or self.setups.counted
        self.begins_at_once = self._is_plain and not self.setups.needed and not self._is_caused
        """Whether work always begins right after a part is taken, without any preparation."""

    def live(self, life: Callable[["Machine"], Steps]) -> None:
        """Start the processes of the machine; `life` is that of its kind."""
        self._process = self.env.process(life(self))
        for process in self.processes.by_calendar:
            self.env.process(self._count_by_calendar(process))

    @property
    def can_renew(self) -> bool:
        """Whether a tool change or planned maintenance ever renews it."""
        return self.station.tool is not None or bool(self.station.maintenance)

    def watts(self, state: State) -> float:
        """The electrical power in a state at the present speed, in watts."""
        return self._power.watts(state)

    def energy_j(self, now_s: float) -> float:
        """The energy used up to `now_s`, in joules."""
        return self._power.joules(now_s)

    def elements(self, now_s: float) -> Elements:
        """The ISO 22400 elements up to `now_s`."""
        return elements_of(
            self.account.seconds(now_s),
            good=self.good,
            scrap=self.scrap,
            rework=self.rework,
            ideal_s=self.ideal_s,
            failures=self.failures,
            energy_j=self.energy_j(now_s),
        )

    # The verbs: what the kinds of stations are written with.

    def next_part(self) -> Generator[simpy.Event, Part | None, Part]:
        """Do the maintenance that is due, then wait for a part as long as it takes."""
        for process in self.processes.due_between_parts():
            yield from self.tend(process)
        part = self.inflow.take() if not self.stopped else None
        if part is None:
            self.turn(STARVED)
            part = yield self.inflow.wait_part(self)
            assert part is not None, "the inflow hands over parts only"
        return part

    def prepare(self, part: Part) -> Steps | None:
        """Reserve room if the file says so, set up, change the tool, and do the repairs due by number of cycles."""
        if self._is_plain and self.setups.fits(part.product):
            if part.order != self.order or part.product != self.product:
                self.show_work(part)
            if self._is_caused:
                self.causes.begin(part.product)
                self.hazard = self._speed_hazard * self.causes.failures(self.env.now)
            return None
        return self._prepare(part)

    def show_work(self, part: Part) -> None:
        """Tell which product and order it works on from now on."""
        now, path = self.env.now, self.path
        if part.product != self.product:
            self._note(now, path, "product", part.product)
        if part.order != self.order:
            self._note(now, path, "order", part.order)
        self.product, self.order = part.product, part.order

    def _prepare(self, part: Part) -> Steps:
        if self.station.blocking == "before":
            yield from self._reserve()
        for name, store in self._stores:
            if not self._has(part, name):
                yield from self._build_in(part, name, store)
        setup_s = self.setups.before(part.product)
        if setup_s:
            self.preparing = part.product
            yield from self.spend(State.SETUP, setup_s)
        if part.order != self.order or part.product != self.product:
            self.show_work(part)
        if self.setups.tool_is_worn:
            self.preparing = "tool"
            yield from self.spend(State.SETUP, self.setups.change_tool())
            self.renewed_s = self.worked_s(self.env.now)
        for process in self.processes.due_by_cycles():
            yield from self.tend(process)
        if self._is_caused:
            self.causes.begin(part.product)
            self.hazard = self._speed_hazard * self.causes.failures(self.env.now)

    def _has(self, part: Part, name: str) -> bool:
        """Whether this station has built this component into the part already, before a rework."""
        starts = tuple(f"{self.line}/{machine}/{name}/" for machine in self.station.machine_names)
        return any(each.startswith(starts) for each in part.components)

    def _build_in(self, part: Part, name: str, store: Store) -> Steps:
        """Take a finished part of another line, however long that takes, and build it in."""
        built_in = store.take() if not self.stopped else None
        if built_in is None:
            self.obstacle = name
            self.turn(State.STARVED)
            built_in = yield store.wait_part(self)
            assert built_in is not None
        store.on_use(built_in)
        part.components.append(f"{self.path}/{name}/{built_in.serial}")

    def work(self, part: Part) -> Generator[simpy.Event, Part | None, Defect | None]:
        """Prepare, work and inspect.  A defect that this station puts right itself is worked on again at once."""
        while True:
            if (steps := self.prepare(part)) is not None:
                yield from steps
            began_s = self.env.now
            yield from self.spend(State.WORKING, self.work_s(part))
            defect = self.finish(part, began_s)
            if defect is None or not self.put_right_here(part, defect):
                return defect

    def put_right_here(self, part: Part, defect: Defect) -> bool:
        """Whether this station works on the part again at once.  If so, counts the rework."""
        if defect.to != self.station.name or not is_reworked(defect, part):
            return False
        self.rework += 1
        self.found(defect, "rework", self.rework, part)
        return True

    def work_s(self, part: Part) -> float:
        """How long the work on this part takes, in seconds.  Each call draws a new time."""
        seconds = self._special_s.get(part.product, self._usual_s)()
        return seconds if self.flashing is None else self.flashing.plan(part, seconds)

    def spend(self, activity: State, seconds: float) -> Steps:
        """Do an activity for `seconds`, not counting stopped time.  Failures can strike while working."""
        left, working, env, account = seconds, activity is WORKING, self.env, self.account
        operating, striking = (self.processes.operating, self.processes.striking) if working else ((), ())
        while True:
            while self.stopped:
                yield self._released
            if account.state is not activity:
                self.turn(activity)
            if left <= 0:
                return
            speed, hazard = (self.speed, self.hazard) if working else (1.0, 1.0)
            span, first, strikes = left / speed, None, False
            for process in striking:
                if first is None or process.left < first.left:
                    first = process
            if first is not None and first.left <= span * hazard:
                span, strikes = max(0.0, first.left / hazard), True
            began, self.timing = env.now, True
            try:
                yield Timeout(env, span)
                self.timing = False
            except simpy.Interrupt:
                span, strikes = env.now - began, False
                left = max(left - span * speed, 1e-9)
            else:
                left = left - span * speed if strikes else 0.0
            for process in operating:
                process.left -= span * hazard
            if first is not None and strikes:
                yield from self.tend(first)
            elif left <= 0 and not self.stopped:
                return

    def finish(self, part: Part, began_s: float) -> Defect | None:
        """Count a part whose work is over, and return its defect, if any."""
        now, product = self.env.now, part.product
        self.cycles += 1
        self.ideal_s = ideal_s = self.ideal_s + (self.ideals.get(product) or self.ideal_of(product))
        if self.is_counted:
            self.count(part)
        defect = self.quality.verdict(self.causes.defects(part, now) if self._is_caused else 1.0)
        if self.flashing is not None:
            defect = self.flashing.verdict(part) or defect
        part.visits.append(Visit(self.name, began_s, now, defect.code if defect else ""))
        if (keep := self.keep) is not None:
            path = self.path
            keep((Change(now, path, "cycle_s", now - began_s), Change(now, path, "ideal_s", ideal_s)))
        if self.curves is not None:
            self.remember_cycle(now, defect)
        for witness in self.witnesses:
            witness(part, began_s)
        return defect

    def ideal_of(self, product: str) -> float:
        """The ideal time of a product that it makes for the first time, in seconds."""
        self.ideals[product] = ideal_s = self.station.ideal_of(product)
        return ideal_s

    def count(self, part: Part) -> None:
        """Count a cycle for the maintenance, the tool and the components that go by cycles."""
        if self.processes.by_cycles:
            self.processes.cycled()
        if self.setups.counted:
            self.setups.made_one(part)

    def remember_cycle(self, now_s: float, defect: Defect | None) -> None:
        """Keep what the curves of the cycle depend on that ended now."""
        assert self.curves is not None
        flashes = self.flashing.flashes if self.flashing is not None else ()
        code = defect.code if defect is not None else ""
        self.curves.add(Cycle(now_s, self.cycles, self.setups.worn or 0.0, code, flashes))

    def tell_result(self, part: Part, verdict: str, code: str) -> None:
        """Keep the result of the part, which somebody wants."""
        assert self.results is not None
        person = person_of(*self._team, self.station.machine_names.index(self.name), self.env.now) if self._team else ""
        self.results.add(part, self.station, verdict, code, tool=self.setups.tool, person=person)

    def pass_on(self, part: Part, defect: Defect | None) -> Steps | None:
        """Hand a finished part to the next station, however long that takes."""
        if defect is None:
            self.good = count = self.good + 1
            if (keep := self.keep) is not None:
                now, path = self.env.now, self.path
                keep((Change(now, path, "good", count), Change(now, path, "serial", part.serial)))
            if self.results is not None:
                self.tell_result(part, "good", "")
            goal = self.routes.only or self.routes.next_after(part)
        else:
            goal = self._condemn(part, defect)
        return self.hand_on(part, goal)

    def _condemn(self, part: Part, defect: Defect) -> str:
        """Where a defective part goes: to the station that puts it right, or to scrap."""
        if is_reworked(defect, part):
            self.rework += 1
            self.found(defect, "rework", self.rework, part)
            return str(defect.to)
        self.scrap += 1
        self.found(defect, "scrap", self.scrap, part)
        return LOST

    def found(self, defect: Defect, verdict: str, count: int, part: Part) -> None:
        """Tell of a defect, and what becomes of the part; `count`: how many had this verdict by now."""
        now, code = self.env.now, defect.code
        self.defects[code] = self.defects.get(code, 0) + 1
        if self.results is not None:
            self.tell_result(part, verdict, code)
        if (keep := self.keep) is not None:
            path = self.path
            keep((Change(now, path, "defect", code), Change(now, path, verdict, count)))
            keep((Change(now, path, "serial", part.serial),))

    def set_speed(self, speed: float) -> None:
        """Work faster or slower than the file says, also on the part in work.  Raises ValueError unless over 0."""
        if not speed > 0:
            raise ValueError(f"speed must be over 0, not {speed}: hold the machine to stop it")
        self.disturb()
        now, law = float(self.env.now), self.station.speed
        self.speed, self._speed_hazard = speed, speed**law.failures
        self.hazard = self._speed_hazard * self.causes.failures(now)
        self.quality.factor, self.setups.wear = speed**law.defects, speed**law.tool
        self._power.set_speed(speed, now)
        for follow in self.followers:
            follow(self.state, now)
        self.journal("speed", speed)

    def journal(self, name: str, value: float | str) -> None:
        """Record a command from outside, so that the run can be replayed."""
        self._on_line.ledger.commands.append(Command(float(self.env.now), self.path, name, value))
