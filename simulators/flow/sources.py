"""The sources of raw parts: endless supply, random arrivals, or orders."""

from bisect import bisect_right
from collections.abc import Callable, Generator
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

    def __init__(self, env: simpy.Environment, spec: plant.Orders, entrance: Buffer, make: Make) -> None:
        self.env = env
        self.number = 0
        self.made = 0
        self._spec = spec
        self._make = make
        self._entrance = entrance
        self._expected_s = -1.0

    @property
    def order(self) -> plant.Order | None:
        """The present or next order.  None: all are done."""
        orders = self._spec.orders
        if self.number >= len(orders) and not self._spec.repeat:
            return None
        return orders[self.number % len(orders)]

    def supply(self) -> Part | None:
        """The next raw part of the present order.  None: its time has not come."""
        order = self.order
        if order is None:
            return None
        if self.number < len(self._spec.orders) and order.at > self.env.now:
            self._expect(order.at)
            return None
        part = self._make(order.product)
        part.order = self.number + 1
        self.made += 1
        if self.made == order.quantity:
            self.number, self.made = self.number + 1, 0
        return part

    def _expect(self, at_s: float) -> None:
        if self._expected_s != at_s:
            self._expected_s = at_s
            self.env.process(self._rouse_at(at_s))

    def _rouse_at(self, at_s: float) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(at_s - self.env.now)
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
