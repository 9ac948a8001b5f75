"""The sources of raw parts: endless supply, random arrivals, or orders."""

from bisect import bisect_right
from collections.abc import Callable, Generator, Sequence
from itertools import accumulate

import simpy

from simulators import plant
from simulators.flow.buffer import Buffer
from simulators.flow.part import Part
from simulators.streams import uniform

Make = Callable[[str], Part]
"""Makes a raw part of a product, which enters the line."""


class Mix:
    """Which product comes next."""

    def __init__(self, line: plant.Line, seed: int) -> None:
        shares = line.mix or {line.product: 1.0}
        self._names = list(shares)
        self._limits = list(accumulate(share / sum(shares.values()) for share in shares.values()))
        self._luck = uniform(seed, line.name, "mix")

    def next_product(self) -> str:
        if len(self._names) == 1:
            return self._names[0]
        return self._names[min(bisect_right(self._limits, self._luck()), len(self._names) - 1)]


class OrderBook:
    """The orders of a line, and the progress of the present one."""

    def __init__(
        self, env: simpy.Environment, spec: plant.Orders, entrance: Buffer, make: Make, ordered: Callable[[int], None]
    ) -> None:
        """`ordered` is told the number of each part's order."""
        self.env = env
        self.number = 0
        self.made = 0
        self.lot_factor = 1.0
        """Quantities, relative to those of the plant file."""
        self.sequence: Sequence[str] = ()
        """The order of the products within a round; empty: as in the plant file."""
        self._spec = spec
        self._make = make
        self._ordered = ordered
        self._entrance = entrance
        self._expected_s = -1.0
        self._round = list(spec.orders)

    @property
    def order(self) -> plant.Order | None:
        """The present or next order.  None: all are done."""
        if self.number >= len(self._spec.orders) and not self._spec.repeat:
            return None
        return self._round[0]

    @property
    def orders(self) -> Sequence[plant.Order]:
        """The orders of one round, as in the plant file."""
        return self._spec.orders

    @property
    def repeats(self) -> bool:
        """Whether the first order follows the last."""
        return self._spec.repeat

    def set_lot_factor(self, factor: float) -> None:
        """Make lots larger or smaller, all by the same factor; the present one, too."""
        self.lot_factor = factor

    def set_sequence(self, sequence: Sequence[str]) -> None:
        """Make the products of a round in this order: first what is left of the present round."""
        self.sequence = tuple(sequence)
        if self._begun:
            present, *others = self._round
            self._round = [present, *self._sorted(others, present.product)]
        else:
            self._round = self._sorted(self._round, "")

    def _sorted(self, orders: Sequence[plant.Order], after: str) -> list[plant.Order]:
        """Orders in the present sequence, which is a circle: it begins behind the product `after`."""
        if not self.sequence:
            places = {id(order): place for place, order in enumerate(self._spec.orders)}  # two may be equal
            return sorted(orders, key=lambda order: places[id(order)])
        size = len(self.sequence)
        start = self.sequence.index(after) + 1 if after else 0
        return sorted(orders, key=lambda order: (self.sequence.index(order.product) - start) % size)

    def supply(self) -> Part | None:
        """The next raw part of the present order.  None: its time has not come."""
        order = self.order
        if order is None:
            return None
        if self.number < len(self._spec.orders) and order.at > self.env.now:
            self._expect(order.at)
            return None
        part = self._make(order.product)
        part.order, part.ordered = self.number + 1, order.software
        self._ordered(part.order)
        self.made += 1
        if self.made >= max(1, round(order.quantity * self.lot_factor)):
            self._next_order()
        return part

    @property
    def _begun(self) -> bool:
        return self.made > 0

    def _next_order(self) -> None:
        self.number, self.made = self.number + 1, 0
        self._round.pop(0)
        if not self._round:
            self._round = self._sorted(self._spec.orders, "")

    def _expect(self, at_s: float) -> None:
        if self._expected_s != at_s:
            self._expected_s = at_s
            self.env.process(self._rouse_at(at_s))

    def _rouse_at(self, at_s: float) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(at_s - self.env.now)
        self._entrance.rouse()


class Release:
    """Keeps raw parts back, so that at most `per_hour` enter in an hour; 0: as many as find room."""

    def __init__(self, entrance: Buffer, supply: Callable[[], Part | None]) -> None:
        self.per_hour = 0.0
        self._entrance = entrance
        self._supply = supply
        self._next_s = self._expected_s = 0.0

    def set_rate(self, per_hour: float) -> None:
        """Let that many parts per hour enter from now on."""
        self.per_hour = per_hour
        self._next_s = float(self._entrance.env.now)
        self._entrance.supply = self.supply if per_hour else self._supply
        self._entrance.rouse()

    def supply(self) -> Part | None:
        """The next raw part.  None: its time has not come."""
        env = self._entrance.env
        if env.now < self._next_s:
            if self._expected_s != self._next_s:
                self._expected_s = self._next_s
                env.process(self._rouse_at(self._next_s))
            return None
        part = self._supply()
        if part is not None and self.per_hour:
            self._next_s = float(env.now) + 3600.0 / self.per_hour
        return part

    def _rouse_at(self, at_s: float) -> Generator[simpy.Event, None, None]:
        yield self._entrance.env.timeout(at_s - self._entrance.env.now)
        self._entrance.rouse()


class Arrivals:
    """Parts that arrive by themselves."""

    def __init__(self, env: simpy.Environment, line: plant.Line, spec: plant.Arrivals, seed: int) -> None:
        self.env = env
        self.turned_away = 0
        self._spec = spec
        self._every_s = spec.every.sampler(seed, line.name, "arrivals")

    def come(self, entrance: Buffer, mix: Mix, make: Make) -> Generator[simpy.Event, None, None]:
        """Let part after part ask for entry.  A part that is turned away has never entered."""
        blank = Part("", "", 0.0)
        while True:
            yield self.env.timeout(self._every_s())
            product = mix.next_product()
            if entrance.has_room(blank):
                entrance.offer(make(product))
            elif self._spec.when_full == "lose":
                self.turned_away += 1
            else:
                yield entrance.wait_room(make(product))
