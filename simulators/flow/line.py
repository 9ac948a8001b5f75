"""A line: its stations, the buffers in front of them, and the parts on it.

Entered = delivered + lost + on the line, at every event.  The time integral of the parts on the line equals the sum of
the times that parts have spent on it (Little's law, exactly, at every moment).
"""

from collections import deque
from collections.abc import Callable, Mapping
from itertools import count

import simpy

from simulators import plant
from simulators.flow.assembly import Store
from simulators.flow.buffer import Buffer
from simulators.flow.change import Ledger
from simulators.flow.crew import Crew
from simulators.flow.kinds import STATION_PROCESSES
from simulators.flow.loop import Loop
from simulators.flow.machine import Machine
from simulators.flow.part import Part
from simulators.flow.sources import Arrivals, Mix, OrderBook, Release

REMEMBERED = 1000
"""How many finished parts keep their pedigree."""


class Line:
    """A running line: its parts, its machines, and its source of parts."""

    def __init__(
        self,
        env: simpy.Environment,
        spec: plant.Line,
        seed: int,
        ledger: Ledger,
        crews: Mapping[str, Crew],
        stores: Mapping[str, Store],
    ) -> None:
        self.env = env
        self.name = spec.name
        self.spec = spec
        self.seed = seed
        self.ledger = ledger
        self.entered = self.delivered = self.lost = 0
        self.product, self.order = "", 0
        """What entered last: product, and number of the order."""
        self.stalled = False
        """Whether machines wait in a circle, so that nothing can move: see `simulators/flow/standstill.py`."""
        self.sojourn_s = 0.0
        """The time on the line of all parts that have left, added up (seconds)."""
        self.finished: deque[Part] = deque(maxlen=REMEMBERED)
        self.vin = ""
        """Vehicle identification number of the last car that left."""
        self.leaving: list[Callable[[Part, float], None]] = []
        """Called with each good part that leaves the line, and the time."""
        self.departures: list[float] | None = None
        """The instants of delivery, for whoever sets a list here; None: they are not kept."""
        self.gatekeepers: list[Callable[[int], None]] = []
        """Called for each entering part with the number of parts it finds on the line."""
        self.orders: OrderBook | None = None
        self.arrivals: Arrivals | None = None
        self.release: Release | None = None
        """What keeps raw parts back; None where they arrive by themselves."""
        self._serials = count(1)
        self._part_seconds = 0.0
        self._counted_s = 0.0
        self.buffers: Mapping[str, Buffer] = {station.name: Buffer(env, station.buffer) for station in spec.stations}
        self.stores = stores
        self.outlets = dict(self.buffers)
        """Where the parts of each station may go: the buffers, and the store that this line feeds."""
        if (store := stores.get(self.name)) is not None:
            self.outlets[plant.OUT], store.on_use = store, self.deliver
        self.loops = [Loop(env, loop, spec, seed) for loop in spec.loops]
        for loop in self.loops:
            entrance = self.buffers[loop.stations[0]]
            entrance.loop, loop.on_return = loop, entrance.rouse
        self.machines = [
            Machine(self, station, name, seed=seed, inflow=self.buffers[station.name], crews=crews)
            for station in spec.stations
            for name in station.machine_names
        ]
        self._open(seed)
        for machine in self.machines:
            machine.live(STATION_PROCESSES[machine.station.kind])

    @property
    def parts(self) -> int:
        """How many parts are on the line now."""
        return self.entered - self.delivered - self.lost

    def part_seconds(self, now_s: float) -> float:
        """The time integral of the number of parts on the line, in part seconds."""
        return self._part_seconds + self.parts * (now_s - self._counted_s)

    def deliver(self, part: Part) -> None:
        """Count a finished part and take it off the line."""
        self._leave(part)
        self.delivered += 1
        self.ledger.note(self.env.now, self.name, "good", self.delivered)
        if part.vin:
            self.vin = part.vin
            self.ledger.note(self.env.now, self.name, "vin", part.vin)
        for leaving in self.leaving:
            leaving(part, float(self.env.now))
        if self.departures is not None:
            self.departures.append(self.env.now)

    def lose(self, part: Part) -> None:
        """Count a part as scrap and take it off the line."""
        self._leave(part)
        self.lost += 1
        self.ledger.note(self.env.now, self.name, "scrap", self.lost)

    def pedigree(self, serial: str) -> Part | None:
        """A part that has left lately, by serial number: its visits and its components.  None: not known."""
        return next((part for part in self.finished if part.serial == serial), None)

    def _open(self, seed: int) -> None:
        entrance, source, mix = self.buffers[self.spec.stations[0].name], self.spec.source, Mix(self.spec, seed)
        match source:
            case plant.Endless():
                entrance.supply = lambda: self._enter(mix.next_product())
            case plant.Orders():
                self.orders = OrderBook(self.env, source, entrance, self._enter, self._ordered)
                entrance.supply = self.orders.supply
            case plant.Arrivals():
                self.arrivals = Arrivals(self.env, self.spec, source, seed)
                self.env.process(self.arrivals.come(entrance, mix, self._enter))
        if entrance.supply is not None:
            self.release = Release(entrance, entrance.supply)

    def _enter(self, product: str) -> Part:
        for gatekeeper in self.gatekeepers:
            gatekeeper(self.parts)
        now = self._integrate()
        self.entered += 1
        if self.ledger.keeping:
            self.ledger.note(now, self.name, "entered", self.entered)
            if product != self.product:
                self.ledger.note(now, self.name, "product", product)
        self.product = product
        number = next(self._serials)
        part = Part(f"{self.name}-{number:08d}", product, now)
        if self.spec.vin is not None:
            part.vin = self.spec.vin.of(product, number)
        return part

    def _ordered(self, order: int) -> None:
        if order != self.order:
            self.order = order
            self.ledger.note(self.env.now, self.name, "order", order)

    def _leave(self, part: Part) -> None:
        self.sojourn_s += self._integrate() - part.entered_s
        self.finished.append(part)

    def _integrate(self) -> float:
        """Bring the integral of the parts up to date.  Returns the present time."""
        now = float(self.env.now)
        self._part_seconds += (self.entered - self.delivered - self.lost) * (now - self._counted_s)
        self._counted_s = now
        return now
