"""Results of queueing and renewal theory, computed from the parameters.

Each function gives a `Law`: the exact long-run average and its asymptotic variance.  Sources: Takacs' recursion for the
M/G/1 workload; Pollaczek and Khinchine; Erlang; Buzacott and Shanthikumar; Gershwin, Manufacturing Systems Engineering;
Barlow and Proschan for age replacement.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from simulators.verify.markov import Chain, Expected, Vector, discrete_average

DEEP = 240
"""Where an unlimited queue is cut off.  At these loads the rest is less than a rounding error."""


def birth_death(arrivals: float, service: float, servers: int, most: int) -> Chain[int]:
    """M/M/c/K: the number of parts in the system.  The moves count departures."""

    def moves(n: int) -> Iterable[tuple[float, int, int]]:
        if n < most:
            yield arrivals, n + 1, 0
        if n:
            yield service * min(n, servers), n - 1, 1

    return Chain(0, moves)


def beyond(servers: int) -> Callable[[int], float]:
    """How many of n parts wait, with that many servers."""
    return lambda n: float(max(n - servers, 0))


def losses(arrivals: float, service: float, servers: int) -> Expected:
    """M/M/c/c: the rate of arrivals that find all servers busy."""

    def moves(n: tuple[int, int]) -> Iterable[tuple[float, tuple[int, int], int]]:
        count, flip = n
        if count < servers:
            yield arrivals, (count + 1, flip), 0
        else:  # a move must change the state, so each state has a twin
            yield arrivals, (count, 1 - flip), 1
        if count:
            yield service * count, (count - 1, flip), 0

    return Chain((0, 0), moves).rate()


def losses_in_two_phases(arrivals: float, service: float, servers: int) -> Expected:
    """M/E2/c/c: the same loss rate, since only the mean service time matters; but another variance."""

    def moves(at: tuple[int, int, int]) -> Iterable[tuple[float, tuple[int, int, int], int]]:
        first, second, flip = at
        if first + second < servers:
            yield arrivals, (first + 1, second, flip), 0
        else:
            yield arrivals, (first, second, 1 - flip), 1
        if first:
            yield 2 * service * first, (first - 1, second + 1, flip), 0
        if second:
            yield 2 * service * second, (first, second - 1, flip), 0

    return Chain((0, 0, 0), moves).rate()


def workload(arrivals: float, moments: Sequence[float]) -> Expected:
    """M/G/1: the time average of the work in the system, which equals the mean wait.  `moments`: E[S] … E[S^4]."""
    m1, m2, m3, m4 = moments
    idle = 1 - arrivals * m1
    v1 = arrivals * m2 / (2 * idle)
    v2 = arrivals / idle * (m2 / 2 * 2 * v1 + m3 / 3)
    v3 = arrivals / idle * (3 * m2 / 2 * v2 + 3 * m3 / 3 * v1 + m4 / 4)
    return Expected(v1, (v3 - v1 * v2) / idle)


def unreliable_moments(work: float, mttf: float, mttr: float) -> tuple[float, float, float, float]:
    """The moments of a fixed work time, with exponential breakdowns while working and exponential repairs."""
    k1, k2, k3, k4 = (work / mttf * math.factorial(k) * mttr**k + (work if k == 1 else 0.0) for k in (1, 2, 3, 4))
    return k1, k2 + k1**2, k3 + 3 * k2 * k1 + k1**3, k4 + 4 * k3 * k1 + 3 * k2**2 + 6 * k2 * k1**2 + k1**4


def found_by_arrivals(arrivals: float, service: float) -> Expected:
    """D/M/1: how many parts an arrival finds in the system, averaged over arrivals."""
    most = 150
    mean = service / arrivals
    chances = [math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(most)]

    def moves(n: int) -> Iterable[tuple[float, int]]:
        here = min(n + 1, most - 1)
        for served in range(here):
            yield chances[served], here - served
        yield 1 - sum(chances[:here]), 0

    return discrete_average(0, moves, float)


def on_off(mttf: float, mttr: float) -> Expected:
    """The share of up time of a machine that is never starved or blocked, with exponential times."""
    chain = Chain(True, lambda up: [(1 / mttf, False, 0)] if up else [(1 / mttr, True, 0)])
    return chain.average(float)


def crew_chain(machines: int, people: int, mttf: float, mttr: float) -> Chain[int]:
    """The number of machines that are down, with a few people to repair them."""

    def moves(down: int) -> Iterable[tuple[float, int, int]]:
        if down < machines:
            yield (machines - down) / mttf, down + 1, 0
        if down:
            yield min(down, people) / mttr, down - 1, 0

    return Chain(0, moves)


def closed_line(stations: int, parts: int, rate: float) -> Expected:
    """The throughput of a balanced exponential line with a fixed number of parts: W/(W+N-1) of the rate."""

    def moves(at: tuple[int, ...]) -> Iterable[tuple[float, tuple[int, ...], int]]:
        for here, count in enumerate(at):
            if count:
                after = list(at)
                after[here] -= 1
                after[(here + 1) % stations] += 1
                yield rate, tuple(after), int(here == stations - 1)

    return Chain((parts, *[0] * (stations - 1)), moves).rate()


Pair = tuple[int, bool, bool, bool]
"""Parts between the machines, which machines are up, and whether the second has just made a part."""


def geometric_pair(first: tuple[float, float], second: tuple[float, float], most: int) -> Expected:
    """Gershwin-Schick / Buzacott: two machines of unit cycle, geometric failures while working, geometric repairs.

    `first` and `second` are (p, r); `most` is N, the places of the buffer plus two.
    """

    def moves(state: Pair) -> Iterable[tuple[float, Pair]]:
        n, up1, up2, _ = state
        for chance1, now1 in _turns(up1, n < most, *first):
            for chance2, now2 in _turns(up2, n > 0, *second):
                made1, made2 = now1 and n < most, now2 and n > 0
                yield chance1 * chance2, (n + made1 - made2, now1, now2, made2)

    return discrete_average((0, True, True, False), moves, lambda state: float(state[3]))


def _turns(up: bool, works: bool, p: float, r: float) -> Iterable[tuple[float, bool]]:
    if not up:
        return ((r, True), (1 - r, False))
    return ((1 - p, True), (p, False)) if works else ((1.0, True),)


def geometric_pair_product_form(first: tuple[float, float], second: tuple[float, float], most: int) -> float:
    """The efficiency of the same two machines by the closed product form, for N >= 4: a check of the chain."""
    (p1, r1), (p2, r2) = first, second
    down1, down2 = p1 + p2 - p1 * p2 - p1 * r2, p1 + p2 - p1 * p2 - p2 * r1
    up1, up2 = r1 + r2 - r1 * r2 - r1 * p2, r1 + r2 - r1 * r2 - p1 * r2
    y1, y2 = up1 / down1, up2 / down2
    x = y2 / y1
    starved = x * up1 / (r1 * p2)
    blocked = x ** (most - 1) * up2 / (p1 * r2)
    low = starved + x + x * y2 + x / p2 * up1 / down2
    high = x ** (most - 1) * (1 + y1 + up2 / (p1 * down1)) + blocked
    inside = sum(x**n for n in range(2, most - 1)) * (1 + y1) * (1 + y2)
    return r1 / (r1 + p1) * (1 - blocked / (low + high + inside))


def continuous_pair(first: tuple[float, float], second: tuple[float, float], room: float) -> Expected:
    """Two machines of equal speed, a fluid in place of parts, exponential failures while working and exponential
    repairs.

    `first` and `second` are (p, r); `room` is the size of the buffer, in seconds of work.  The efficiency is exact.
    The variance is that of `geometric_pair` with short cycles, extrapolated to cycle time 0.
    """
    step = max(0.25, room / 100)
    fine, coarse = (_in_cycles_of(length, first, second, room) for length in (step, 2 * step))
    return Expected(continuous_efficiency(first, second, room), 2 * fine.avar - coarse.avar)


def _in_cycles_of(length: float, first: tuple[float, float], second: tuple[float, float], room: float) -> Expected:
    """The efficiency of the two machines with cycles of `length`, and its variance per second."""
    (p1, r1), (p2, r2) = first, second
    law = geometric_pair((p1 * length, r1 * length), (p2 * length, r2 * length), round(room / length) + 1)
    return Expected(law.exact, law.avar * length)


def continuous_efficiency(first: tuple[float, float], second: tuple[float, float], room: float) -> float:
    """The closed form of `continuous_pair`."""
    (p1, r1), (p2, r2) = first, second
    tilt = (p2 * r1 - p1 * r2) * (p1 + p2 + r1 + r2) / ((p1 + p2) * (r1 + r2))
    full, inside = math.exp(tilt * room), math.expm1(tilt * room) / tilt if tilt else room
    ratio = (r1 + r2) / (p1 + p2)
    empty_end, full_end = (1 + (p1 + p2) / r1) / p2, full * (1 + (p1 + p2) / r2) / p1
    return ((1 + ratio) * inside + 1 / p2 + full / p1) / (empty_end + full_end + (2 + ratio + 1 / ratio) * inside)


Mode = tuple[float, float]
"""p and r of one machine of a rigid line: failures per unit of work, repairs per unit of time."""


def rigid_line(modes: Sequence[Mode]) -> Chain[int]:
    """Buzacott: machines without buffers move together, so a failure of one stops all.  The moves count failures.

    State 0 is at work.  State i waits for the repair of machine i, and no other machine can fail meanwhile.
    """

    def moves(down: int) -> Iterable[tuple[float, int, int]]:
        if down:
            return [(modes[down - 1][1], 0, 0)]
        return [(p, i, 1) for i, (p, _) in enumerate(modes, 1)]

    return Chain(0, moves)


def rigid_line_by_cycles(modes: Sequence[Mode]) -> Expected:
    """The same in whole cycles: parts per cycle time.

    Every part is a renewal: one cycle and, with probability p for each machine, a geometric repair of mean 1/r.
    """
    mean = 1 + sum(p / r for p, r in modes)
    spread = sum(p * (2 - r) / r**2 - (p / r) ** 2 for p, r in modes)
    return Expected(1 / mean, spread / mean**3)


Slot = tuple[int, bool]
"""Parts between two machines at the end of a slot, and whether the second has made one in it."""


def bernoulli_pair(first: float, second: float, most: int, *, at_once: bool = False) -> Expected:
    """Two machines that finish a part with a fixed probability in every slot in which they can work: parts per slot.

    At most `most` parts are between them, and work on a part begins in the slot after it came.  `at_once` is the
    convention of Li and Meerkov: the first machine can fill the place that the second frees in the same slot.
    Otherwise a place is free from the next slot on.
    """
    return discrete_average((0, False), _slots(first, second, most, at_once), lambda slot: float(slot[1]))


def bernoulli_pair_holds(first: float, second: float, most: int, parts: int) -> Expected:
    """The share of slots that begin with `parts` between the two machines, with places free from the next slot on."""
    return discrete_average((0, False), _slots(first, second, most, False), lambda slot: float(slot[0] == parts))


def _slots(first: float, second: float, most: int, at_once: bool) -> Callable[[Slot], Iterable[tuple[float, Slot]]]:
    def moves(state: Slot) -> Iterable[tuple[float, Slot]]:
        n, _ = state
        for chance2, made2 in _made(second, n > 0):
            for chance1, made1 in _made(first, n < most or (at_once and made2)):
                yield chance1 * chance2, (n + made1 - made2, made2)

    return moves


def _made(chance: float, can_work: bool) -> Iterable[tuple[float, bool]]:
    return ((chance, True), (1 - chance, False)) if can_work else ((1.0, False),)


def li_meerkov(first: float, second: float, most: int) -> float:
    """The closed form for the parts per slot of two Bernoulli machines, in their convention: a check of the chain."""
    if first == second:
        return second * (1 - (1 - first) / (most + 1 - first))
    ratio = first * (1 - second) / (second * (1 - first))
    return second * (1 - (1 - first) * (1 - ratio) / (1 - first / second * ratio**most))


@dataclass(frozen=True, slots=True)
class Renewal:
    """A machine with Weibull failures (repaired in `repair`) and maintenance at an `age` (infinity: never; takes
    `care`).

    Each life is a renewal: the long-run average of a reward is E[reward] / E[cycle].
    """

    shape: float
    scale: float
    age: float
    care: float
    repair: float

    def up(self) -> Expected:
        """The share of time up."""
        return self._law(lambda lived, failed: lived)

    def failures(self) -> Expected:
        """Failures per time."""
        return self._law(lambda lived, failed: failed)

    def _law(self, reward: Callable[[Vector, Vector], Vector]) -> Expected:
        end = min(self.age, 8 * self.scale)
        edges = np.linspace(0.0, end, 400_001)
        survival = np.exp(-((edges / self.scale) ** self.shape))
        chances = np.append(survival[:-1] - survival[1:], survival[-1])
        lived = np.append((edges[1:] + edges[:-1]) / 2, end)
        failed = np.append(np.ones(len(edges) - 1), 0.0)
        cycles = lived + np.where(failed > 0, self.repair, self.care)
        rewards = reward(lived, failed)
        average = float(chances @ rewards) / float(chances @ cycles)
        return Expected(average, float(chances @ (rewards - average * cycles) ** 2) / float(chances @ cycles))


def scrap_after_one_rework(probability: float) -> Expected:
    """The scrap per visit when parts are reworked once at most, by renewal-reward theory over parts."""
    p = probability
    share = p * p / (1 + p)
    spread = (1 - p) * share**2 + p * (1 - p) * (2 * share) ** 2 + p * p * (1 - 2 * share) ** 2
    return Expected(share, spread / (1 + p))


def bernoulli(probability: float) -> Expected:
    """The share of independent parts that are good."""
    return Expected(probability, probability * (1 - probability))
