"""Repair crews: a few people, shared by many machines, who go to the most urgent job first."""

import math
from collections.abc import Generator, Iterator

import simpy

from simulators import plant

ALWAYS = (-math.inf, math.inf)


class Crew:
    """People who do one job each at a time: the lowest priority number first, then the longest waiting.

    They work within `spans` (seconds of simulated time, in order).  A job that is not done at the end of a span
    continues in the next.
    """

    def __init__(
        self, env: simpy.Environment, spec: plant.Crew, spans: Iterator[tuple[float, float]] | None = None
    ) -> None:
        self._spans = spans or iter(())
        self._span = ALWAYS if spans is None else next(spans)
        self.env = env
        self.name = spec.name
        self.people = spec.people
        self.jobs = 0
        self.waited_s = 0.0
        self.worked_s = 0.0
        self._pool = simpy.PriorityResource(env, spec.people)

    @property
    def waiting(self) -> int:
        """How many machines wait for somebody."""
        return len(self._pool.queue)

    @property
    def is_there(self) -> bool:
        """Whether it is within its working hours."""
        return self._present_span()[0] <= self.env.now

    def work(self, seconds: float, priority: int) -> Generator[simpy.Event, None, None]:
        """Wait until somebody is free, and keep him for `seconds` of work."""
        asked_s = self.env.now
        with self._pool.request(priority) as somebody:
            yield somebody
            self.waited_s += self.env.now - asked_s
            left_s = seconds
            while True:
                begin_s, end_s = self._present_span()
                if begin_s > self.env.now:
                    self.waited_s += begin_s - self.env.now
                    yield self.env.timeout(begin_s - self.env.now)
                step_s = min(left_s, end_s - self.env.now)
                yield self.env.timeout(step_s)
                left_s -= step_s
                if left_s <= 0:
                    break
        self.jobs += 1
        self.worked_s += seconds

    def _present_span(self) -> tuple[float, float]:
        """The present span, or the next one when nobody is there."""
        while self._span[1] <= self.env.now:
            self._span = next(self._spans)
        return self._span
