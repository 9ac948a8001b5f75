"""Before and after on the same seeds (common random numbers), and random guesses beside it."""

import math
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from statistics import fmean, stdev

from simulators.errors import OutOfRange
from simulators.flow import Factory, SetPoint
from simulators.flow.change import Value
from simulators.plant import Plant
from simulators.states import State

WARM_UP = 0.25
"""Of the length of a run, before its parts count."""
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12,
        2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045)  # fmt: skip
"""Student's t for a two-sided interval of 95 %, by degrees of freedom from 1."""
Settings = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Run:
    """What a plant did in one run, after the warm-up."""

    good_per_h: float
    in_work: float
    """Parts on the lines, on average."""
    states: Mapping[str, Mapping[str, float]]
    """Share of time of each machine in each state."""

    @property
    def lead_h(self) -> float:
        """From entry to exit, by Little's law."""
        return self.in_work / self.good_per_h if self.good_per_h else 0.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and half of its confidence interval of 95 %."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half

    def __str__(self) -> str:
        return f"{self.mean:+.1%} ({self.low:+.1%} to {self.high:+.1%})"


@dataclass(frozen=True, slots=True)
class Gain:
    """Before and after, seed by seed."""

    before: Sequence[Run]
    after: Sequence[Run]

    @property
    def gain(self) -> Interval:
        """How much more good parts per hour."""
        pairs = zip(self.before, self.after, strict=True)
        return interval([after.good_per_h / before.good_per_h - 1 for before, after in pairs])


@dataclass(frozen=True, slots=True)
class Guesses:
    """The gain of each random guess, as the mean over seeds."""

    gains: Sequence[float]

    @property
    def gain(self) -> Interval:
        return interval(self.gains)


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent values, with Student's interval."""
    if len(values) < 2:
        return Interval(fmean(values), math.inf)
    t = T_95[len(values) - 2] if len(values) - 2 < len(T_95) else 1.96 + 2.4 / (len(values) - 1)
    return Interval(fmean(values), t * stdev(values) / math.sqrt(len(values)))


def run_once(plant: Plant, length_s: float, job: tuple[Settings, int]) -> Run:
    """One run with settings that hold from the start."""
    settings, seed = job
    factory = Factory(plant, seed, keeping=False)
    for tag, value in settings.items():
        path, _, name = tag.rpartition("/")
        factory.set_points.set(path, name, value)
    warm_s = WARM_UP * length_s
    factory.run(warm_s)
    good = sum(line.delivered for line in factory.lines)
    parts_s = sum(line.part_seconds(warm_s) for line in factory.lines)
    spent = {machine.path: machine.account.seconds(warm_s) for machine in factory.machines}
    end_s = warm_s + length_s
    factory.run(end_s)
    states = {
        machine.path: {
            state.value: (seconds - spent[machine.path][state]) / length_s
            for state, seconds in machine.account.seconds(end_s).items()
        }
        for machine in factory.machines
    }
    good = sum(line.delivered for line in factory.lines) - good
    in_work = (sum(line.part_seconds(end_s) for line in factory.lines) - parts_s) / length_s
    return Run(3600 * good / length_s, in_work, states)


def runs(plant: Plant, length_s: float, jobs: Sequence[tuple[Settings, int]]) -> list[Run]:
    """All runs, on all cores."""
    one = partial(run_once, plant, length_s)
    if len(jobs) < 5:
        return [one(job) for job in jobs]
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1), get_context("spawn")) as pool:
        return list(pool.map(one, jobs))


def compare(plant: Plant, settings: Settings, seeds: Sequence[int], length_s: float) -> Gain:
    """The plant as it is and with these settings, on the same seeds."""
    done = runs(plant, length_s, [(each, seed) for seed in seeds for each in ({}, settings)])
    return Gain(done[::2], done[1::2])


def guess(
    plant: Plant, before: Sequence[Run], seeds: Sequence[int], length_s: float, *, guesses: int, changes: int
) -> Guesses:
    """Random guesses: each changes that many set-points, to any values within their ranges."""
    luck = random.Random(1)
    drawn = [draw(plant, changes, luck) for _ in range(guesses)]
    done = runs(plant, length_s, [(settings, seed) for settings in drawn for seed in seeds])
    size = len(seeds)
    return Guesses([
        fmean(after.good_per_h / old.good_per_h - 1 for after, old in zip(done[n : n + size], before, strict=False))
        for n in range(0, len(done), size)
    ])  # fmt: skip


def draw(plant: Plant, changes: int, luck: random.Random) -> dict[str, Value]:
    """Random settings.  Lots stay between a third and three times, and the release is left open."""
    factory = Factory(plant, seed=1, keeping=False)
    points = [point for point in factory.set_points.all.values() if point.name != "ReleaseRate"]
    chosen: dict[str, Value] = {}
    for point in luck.sample(points, min(changes, len(points))):
        value = _any_value(point, factory, luck)
        try:
            factory.set_points.set(point.path, point.name, value)
        except OutOfRange:
            continue
        chosen[f"{point.path}/{point.name}"] = value
    return chosen


def _any_value(point: SetPoint, factory: Factory, luck: random.Random) -> Value:
    if point.name == "LotFactor":
        return math.exp(luck.uniform(-math.log(3), math.log(3)))
    if point.name == "Sequence":
        orders = next(line.orders for line in factory.lines if point.path.startswith(f"{line.name}/"))
        products = sorted({order.product for order in orders.orders}) if orders else []
        return ",".join(luck.sample(products, len(products)))
    if point.kind == "text":
        return luck.choice(list(factory.crews))
    if point.kind == "whole":
        return luck.randint(int(point.low), int(min(point.high, 1000)))
    return luck.uniform(point.low, point.high)


def mean_states(done: Iterable[Run]) -> dict[str, dict[str, float]]:
    """The share of each state of each machine, over all runs."""
    every = list(done)
    return {
        path: {state.value: fmean(run.states[path][state.value] for run in every) for state in State}
        for path in every[0].states
    }
