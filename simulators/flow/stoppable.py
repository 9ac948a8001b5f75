"""What can stop a machine, and the one state in which it is.

It keeps what it wants to do (its activity) apart from what prevents it (its stops).  Its state is the gravest stop if
there is one, and the activity otherwise, so exactly one state runs at every instant.  A stop interrupts timed
activities only; a starved or blocked machine that goes down keeps its place in the queue.
"""

from collections.abc import Callable, Generator, Iterable

import simpy

from simulators.account import Account
from simulators.flow.buffer import Buffer
from simulators.flow.change import Change, Ledger
from simulators.flow.failure_process import FailureProcess, FailureProcesses
from simulators.flow.part import Part
from simulators.states import State

Steps = Generator[simpy.Event, Part | None, None]
WORKING, STARVED, BLOCKED = State.WORKING, State.STARVED, State.BLOCKED
"""Looked up once: access to a member of an enumeration is slow."""
GRAVEST = (State.OFF, State.DOWN, State.MAINTENANCE, State.HELD)
"""The stops, gravest first.  The account shows the gravest of several."""
USUAL_REASONS = {State.OFF: "shift", State.HELD: "operator"}
REASONS = {State.DOWN: "fault", State.MAINTENANCE: "care", State.BLOCKED: "obstacle", State.SETUP: "preparing"}
"""The attribute that says why a machine is in this state."""
NAMES = {state: state.value for state in State}
"""Looked up once: the value of an enumeration is a computed property, and slow."""


class Stoppable:
    """The part of a machine that stops and goes on.  Times in seconds of simulated time."""

    __slots__ = (
        "_activity", "_note", "_process", "_released", "_stops", "account", "care", "env", "failures", "fault",
        "followers", "further_inflows", "inflow", "keep", "obstacle", "path", "preparing", "processes",
        "reason", "renewed_s", "severity", "stopped", "timing",
    )  # fmt: skip

    def __init__(
        self, env: simpy.Environment, path: str, inflow: Buffer, processes: FailureProcesses, ledger: Ledger
    ) -> None:
        self.env = env
        self.path = path
        self.inflow = inflow
        self.processes = processes
        self.account = Account(State.STARVED)
        self.failures = 0
        self.fault = self.severity = ""
        self.reason = ""
        """Why it is in its present state."""
        self.care = ""
        """Name of the planned maintenance that is under way; empty when there is none."""
        self.preparing = ""
        """What it is set up for: `tool`, or the new product."""
        self.obstacle = ""
        """The station in front of which there was no room last."""
        self.renewed_s = 0.0
        """The time worked when the tool was last renewed, in seconds."""
        self.further_inflows: list[Buffer] = []
        """Stores of parts that it builds in."""
        self.followers: list[Callable[[State, float], None]] = []
        """Called with each new state and the time."""
        self.stopped = 0
        """How many causes stop it."""
        self.timing = False
        """Whether a timed activity runs, which a stop interrupts."""
        self._note = ledger.note
        self.keep: Callable[[Iterable[Change]], None] | None = ledger.changes.extend if ledger.keeping else None
        """Records changes; None: nobody wants them."""
        self._process: simpy.Process
        self._activity = State.STARVED
        self._stops = dict.fromkeys(GRAVEST, 0)
        self._released = env.event()

    @property
    def state(self) -> State:
        """The present state, as the account has it."""
        return self.account.state

    @property
    def ready(self) -> bool:
        """Whether nothing stops it."""
        return not self.stopped

    def worked_s(self, now_s: float) -> float:
        """The time worked up to `now_s`, in seconds."""
        return self.account.seconds_in(State.WORKING, now_s)

    def stop(self, reason: State) -> None:
        """Stop the machine with the gravity of `reason`, until `release` with the same reason."""
        self._stops[reason] += 1
        self.stopped += 1
        self.disturb()
        self._show()

    def release(self, reason: State) -> None:
        """End one stop with this reason.  Does nothing when there is none."""
        if not self._stops[reason]:
            return
        self._stops[reason] -= 1
        self.stopped -= 1
        self._show()
        if not self.stopped:
            released, self._released = self._released, self.env.event()
            released.succeed()
            self.inflow.rouse()
            for inflow in self.further_inflows:
                inflow.rouse()

    def wait_ready(self) -> simpy.Event:
        """An event that fires when nothing stops the machine any more."""
        return self._released

    def tend(self, process: FailureProcess) -> Steps:
        """Do a repair or planned maintenance.  The machine is stopped, and waits for the crew if there is one."""
        if not process.is_care:
            self.failures += 1
            self.severity = process.severity
            self._tell_fault(process.name)
        else:
            self.care = process.name
        self.stop(process.reason)
        takes_s = process.takes_s()
        if process.crew is None:
            yield self.env.timeout(takes_s)
        else:
            yield from process.crew.work(takes_s, process.priority)
        self.processes.tended(process)
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
            process.asleep, process.due_s = self.env.active_process, self.env.now + process.left
            try:
                yield self.env.timeout(process.left)
            except simpy.Interrupt:  # planned maintenance has renewed it in the meantime
                continue
            process.asleep = None
            if process.strikes or (self._activity is State.STARVED and process.can_begin):
                yield from self.tend(process)
            else:  # the machine does it by itself between two parts
                process.left, process.tended = 0.0, self.env.event()
                yield process.tended

    def disturb(self) -> None:
        """Interrupt a timed activity so that it checks stops and speed again."""
        if self.timing:
            self.timing = False
            self._process.interrupt()

    def turn(self, activity: State) -> None:
        """Set the activity: what the machine does when nothing stops it."""
        self._activity = activity
        if not self.stopped:
            if activity is not self.account.state:
                self._enter(activity)
        else:
            self._show()

    def _show(self) -> None:
        state = self._activity
        if self.stopped:
            state = next(stop for stop in GRAVEST if self._stops[stop])
        if state is not self.account.state:
            self._enter(state)

    def _enter(self, state: State) -> None:
        now: float = self.env.now
        self.account.enter(state, now)
        for follow in self.followers:
            follow(state, now)
        if (keep := self.keep) is not None:
            reason = "" if state is WORKING or state is STARVED else self._reason_for(state)
            change = Change(now, self.path, "state", NAMES[state])
            if reason != self.reason:
                self.reason = reason
                keep((Change(now, self.path, "reason", reason), change))
            else:
                keep((change,))

    def _reason_for(self, state: State) -> str:
        """Why it is in this state: see the table of `simulators/server/machines.py`."""
        if state is BLOCKED:
            return self.obstacle
        own = REASONS.get(state)
        return str(getattr(self, own)) if own is not None else USUAL_REASONS.get(state, "")
