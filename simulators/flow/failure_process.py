"""Failures and planned maintenance of a machine: each counts down its own time or cycles, and is due at zero."""

from collections.abc import Mapping

import simpy

from simulators.flow.crew import Crew
from simulators.plant import Failure, Maintenance
from simulators.states import State


class FailureProcess:
    """One failure or one kind of maintenance, and the time (seconds) or cycles left until it is due."""

    __slots__ = (
        "asleep", "counts", "crew", "due_s", "every", "left", "name", "priority", "reason", "renews",
        "severity", "span", "strikes", "takes_s", "tended",
    )  # fmt: skip

    def __init__(self, spec: Failure | Maintenance, seed: int, path: str, crews: Mapping[str, Crew]) -> None:
        self.name = spec.name
        self.tended: simpy.Event | None = None
        self.asleep: simpy.Process | None = None
        """The process that waits for the due moment, for a failure that counts calendar time."""
        self.due_s = 0.0
        """That moment, in simulated seconds."""
        self.every = 0.0
        """From one planned maintenance to the next: seconds, or parts.  0 for a failure."""
        self.crew = crews[spec.crew] if spec.crew else None
        self.priority = spec.priority
        if isinstance(spec, Failure):
            self.reason, self.counts, self.severity = State.DOWN, str(spec.counts), str(spec.severity)
            self.strikes, self.renews = True, False
            self.span = spec.every.sampler(seed, path, f"{spec.name}/every")
            self.takes_s = spec.repair.sampler(seed, path, f"{spec.name}/repair")
        else:
            self.reason, self.severity = State.MAINTENANCE, ""
            self.counts = {"age": "operating", "parts": "cycles", "calendar": "calendar"}[spec.by]
            self.strikes, self.renews = spec.when == "at_once", spec.renews
            self.every = spec.every
            self.span = lambda: self.every
            self.takes_s = spec.takes.sampler(seed, path, f"{spec.name}/takes")
        self.left = self.span()

    @property
    def is_care(self) -> bool:
        return self.reason is State.MAINTENANCE

    @property
    def can_begin(self) -> bool:
        """Whether somebody is there for it."""
        return self.crew is None or self.crew.is_there

    def set_every(self, every: float, now_s: float) -> None:
        """Another time between two planned maintenances; it holds for the one that is being waited for, too."""
        more, self.every = every - self.every, every
        if self.asleep is not None:
            self.left = max(self.due_s + more - now_s, 0.0)
            self.asleep.interrupt()
            self.asleep = None
        elif self.tended is None:
            self.left = max(self.left + more, 0.0)

    def renew(self) -> None:
        """Start to count again from new."""
        self.left = self.span()
        if self.asleep is not None:
            self.asleep.interrupt()
            self.asleep = None


class FailureProcesses:
    """All failures and maintenance of one machine."""

    def __init__(self, specs: list[Failure | Maintenance], seed: int, path: str, crews: Mapping[str, Crew]) -> None:
        self.all = [FailureProcess(spec, seed, path, crews) for spec in specs]
        self.operating = [a for a in self.all if a.counts == "operating"]
        """Those that count working time."""
        self.striking = [a for a in self.operating if a.strikes]
        """Those that count working time and interrupt the work."""
        self.by_cycles = [a for a in self.all if a.counts == "cycles"]
        self.by_calendar = [a for a in self.all if a.counts == "calendar"]
        self.between_parts = [a for a in self.all if a.is_care and not a.strikes]

    def cycled(self) -> None:
        for process in self.by_cycles:
            process.left -= 1

    def due_between_parts(self) -> list[FailureProcess]:
        """The care that is due.  It waits for the shift of its crew, and the machine goes on until then."""
        return [a for a in self.between_parts if a.left <= 0 and a.can_begin]

    def due_by_cycles(self) -> list[FailureProcess]:
        return [a for a in self.by_cycles if a.strikes and a.left <= 0]

    def tended(self, done: FailureProcess) -> None:
        """The repair or maintenance is done: it counts from new, and so does everything that it renews."""
        done.renew()
        for other in self.all:
            if other is done:
                continue
            by_age = other.is_care and other.counts == "operating"  # working time since the last repair
            if by_age or (done.renews and not other.is_care):
                other.renew()
