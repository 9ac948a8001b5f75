"""How a machine hands its parts on: it reserves room, waits for room, and breaks a circle of waiting machines."""

from collections.abc import Mapping
from typing import Protocol

import simpy

from simulators.flow.assembly import Store
from simulators.flow.buffer import Buffer
from simulators.flow.change import Ledger
from simulators.flow.failure_process import FailureProcesses
from simulators.flow.part import Carrier, Part
from simulators.flow.quality import Routes
from simulators.flow.standstill import closes_circle
from simulators.flow.stoppable import Steps, Stoppable
from simulators.plant import Line as LineSpec
from simulators.plant import Station
from simulators.states import State

LOST = "lost"
"""The destination of scrap.  It is not the name of a station."""


class MachineLine(Protocol):
    """What a machine needs of its line."""

    stalled: bool

    @property
    def env(self) -> simpy.Environment: ...
    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> LineSpec: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def outlets(self) -> Mapping[str, Buffer]: ...
    @property
    def stores(self) -> Mapping[str, Store]: ...
    def deliver(self, part: Part) -> None: ...
    def lose(self, part: Part) -> None: ...


class Handover(Stoppable):
    """The part of a machine that hands parts on."""

    __slots__ = ("_on_line", "_reserved", "can_take", "line", "outflows", "routes", "waits_for")

    def __init__(
        self, line: MachineLine, station: Station, path: str, *, seed: int, inflow: Buffer, processes: FailureProcesses
    ) -> None:
        super().__init__(line.env, path, inflow, processes, line.ledger)
        self.line = line.name
        self.waits_for: Buffer | None = None
        """The buffer in which it waits for room; None when it does not wait."""
        self.can_take = False
        """Whether it takes a further part while it waits for room: a belt that is not full does."""
        self._on_line = line
        self.outflows = line.outlets
        self.routes = Routes(line.spec, station, seed, path)
        self._reserved: Buffer | None = None
        inflow.users.append(self)

    def hand_on(self, part: Part, goal: str) -> Steps | None:
        """Hand a part to a station, out of the line, or to scrap, however long that takes."""
        carrier = part.carrier
        if self._reserved is not None:
            self._reserved.unreserve()
            self._reserved = None
        if goal == LOST:
            self._on_line.lose(part)
        elif (outflow := self.outflows.get(goal)) is None:
            self._on_line.deliver(part)
        elif not outflow.offer(part):
            return self.wait_room(part, outflow, goal, carrier)
        if carrier is not None and goal not in carrier.stations:
            carrier.leave(part)
        return None

    def wait_room(self, part: Part, outflow: Buffer, goal: str, carrier: Carrier | None) -> Steps:
        """Wait with a part that the outflow does not accept, until it has been handed over."""
        self.obstacle = goal
        self.turn(State.BLOCKED)
        if not self._breaks_circle(part, outflow):
            self.waits_for = outflow
            yield outflow.wait_room(part)
            self.waits_for = None
        if carrier is not None and goal not in carrier.stations:
            carrier.leave(part)

    def filled_up(self, part: Part) -> None:
        """Look again for a circle: `part` waits for room, and from now on no further part can be taken."""
        if self.waits_for is not None and self.waits_for.keeps_out(part):
            self._breaks_circle(part, self.waits_for)

    def _breaks_circle(self, part: Part, outflow: Buffer) -> bool:
        """Hand the part over without room if the machines wait in a circle.  True: done, the line goes on."""
        if not closes_circle(self, outflow):
            return False
        if self._on_line.spec.standstill == "swap" and outflow.force(part):
            return True
        self._on_line.stalled = True
        self._note(self.env.now, self.path, "stalled", True)
        self._note(self.env.now, self.line, "stalled", True)
        return False

    def _reserve(self) -> Steps:
        outflow = self.outflows.get(self.routes.usual)
        if outflow is not None and not outflow.reserve():
            self.obstacle = self.routes.usual
            self.turn(State.BLOCKED)
            self.waits_for = outflow
            yield outflow.wait_reservation()
            self.waits_for = None
        self._reserved = outflow
