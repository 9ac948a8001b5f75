"""The people who repair: a few, shared by many machines, who go where it is most urgent."""

from collections.abc import Generator

import simpy

from simulators import plant


class Crew:
    """People who do one job each at a time; the lowest priority number first, then who has waited longest."""

    def __init__(self, env: simpy.Environment, spec: plant.Crew) -> None:
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

    def work(self, seconds: float, priority: int) -> Generator[simpy.Event, None, None]:
        """Wait for somebody, and let him work so long."""
        asked_s = self.env.now
        with self._pool.request(priority) as somebody:
            yield somebody
            self.waited_s += self.env.now - asked_s
            yield self.env.timeout(seconds)
        self.jobs += 1
        self.worked_s += seconds
