"""The laws of the further anchors: crews with priorities, closed loops, phases, batches, feedback, blocks."""

import math
from collections.abc import Iterable, Iterator, Sequence

from simulators.verify.markov import Chain, Expected

Queue = tuple[int, ...]
"""Machines that are down: the first is being repaired, the others wait in the order of their service."""


def repairs(mttf: Sequence[float], mttr: Sequence[float], priority: Sequence[int]) -> Chain[Queue]:
    """Unequal machines and one repairer, who finishes a job, then takes the lowest priority number, then the oldest."""

    def moves(down: Queue) -> Iterator[tuple[float, Queue, int]]:
        for machine in range(len(mttf)):
            if machine not in down:
                waiting = sorted((*down[1:], machine), key=lambda each: priority[each])
                yield 1 / mttf[machine], (*down[:1], *waiting) if down else (machine,), 0
        if down:
            yield 1 / mttr[down[0]], down[1:], 0

    return Chain((), moves)


def closed_loop(mu: Sequence[float], parts: int, travel: float = 0.0) -> Chain[tuple[int, ...]]:
    """Exponential stations in a circle with `parts` carriers, which travel back for an exponential time of this mean.

    The state has the carriers at each station and, last, those under way.  Deliveries are counted.
    """

    def moves(at: tuple[int, ...]) -> Iterator[tuple[float, tuple[int, ...], int]]:
        for here, rate in enumerate(mu):
            if at[here]:
                last = here == len(mu) - 1
                goal = (len(mu) if travel else 0) if last else here + 1
                yield rate, _moved(at, here, goal), int(last)
        if travel and at[-1]:
            yield at[-1] / travel, _moved(at, len(mu), 0), 0

    return Chain((parts, *[0] * len(mu)), moves)


def _moved(at: tuple[int, ...], here: int, goal: int) -> tuple[int, ...]:
    after = list(at)
    after[here] -= 1
    after[goal] += 1
    return tuple(after)


def mean_values(mu: Sequence[float], parts: int, travel: float = 0.0) -> float:
    """The throughput of the same loop by mean value analysis, which knows no states: a check of the chain."""
    queue, through = [0.0] * len(mu), 0.0
    for number in range(1, parts + 1):
        times = [(1 + held) / rate for held, rate in zip(queue, mu, strict=True)]
        through = number / (sum(times) + travel)
        queue = [through * time for time in times]
    return through


Phases = tuple[int, int, int]
"""Phases left at the first station (0: blocked), phases left at the second (0: starved), parts between them."""


def phased_pair(phases: tuple[int, int], places: int) -> Chain[Phases]:
    """Two saturated stations with Erlang times of mean 1 and that many phases, blocking after service."""
    first, second = phases

    def moves(state: Phases) -> Iterator[tuple[float, Phases, int]]:
        a, b, held = state
        if a > 1:
            yield first, (a - 1, b, held), 0
        elif a == 1:
            if not b:
                yield first, (first, second, held), 0
            else:
                yield first, (first, b, held + 1) if held < places else (0, b, held), 0
        if b > 1:
            yield second, (a, b - 1, held), 0
        elif b == 1:
            if held:
                yield second, (a or first, second, held - (a != 0)), 1
            else:
                yield second, (first, second, 0) if not a else (a, 0, 0), 1

    return Chain((first, 0, 0), moves)


Oven = tuple[bool, int]
"""Whether a batch is baked, and how many parts wait for the next one."""


def oven(rate: float, mu: float, batch: int, most: int = 120) -> Chain[Oven]:
    """M/M^K/1: an oven that starts with a full batch only, behind Poisson arrivals."""

    def moves(state: Oven) -> Iterator[tuple[float, Oven, int]]:
        baking, waiting = state
        if waiting < most:
            yield rate, (True, 0) if not baking and waiting == batch - 1 else (baking, waiting + 1), 0
        if baking:
            yield mu, (True, waiting - batch) if waiting >= batch else (False, waiting), 0

    return Chain((False, 0), moves)


def oven_parts(rate: float, mu: float, batch: int) -> float:
    """The parts at the same oven by its characteristic root: a check of the chain."""
    low, high = 1e-12, 1 - 1e-9
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if rate / middle + mu * middle**batch > rate + mu else (low, middle)
    root = (low + high) / 2
    baking = [root**n for n in range(4000)]
    idle = [mu / rate * sum(baking[: n + 1]) for n in range(batch)]
    total = sum(baking) + sum(idle)
    return (sum((n + batch) * p for n, p in enumerate(baking)) + sum(n * p for n, p in enumerate(idle))) / total


def feedback(rate: float, mu: tuple[float, float], back: float, most: int = 26) -> Chain[tuple[int, int]]:
    """Two stations behind Poisson arrivals; a part returns from the second to the first with probability `back`."""

    def moves(at: tuple[int, int]) -> Iterator[tuple[float, tuple[int, int], int]]:
        a, b = at
        if a < most:
            yield rate, (a + 1, b), 0
        if a and b < most:
            yield mu[0], (a - 1, b + 1), 1
        if b:
            yield mu[1] * (1 - back), (a, b - 1), 0
            if a < most:
                yield mu[1] * back, (a + 1, b - 1), 0

    return Chain((0, 0), moves)


def block_replacement(phase_s: float, every_s: float, care_s: float) -> Expected:
    """Failures per second: lives of two exponential phases, renewed every `every_s` whatever happened meanwhile.

    The phases that pass in one block are Poisson, and every second one is a failure, repaired in no time.
    """
    mean = every_s / phase_s
    chances = [math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(200)]
    failures = sum(p * (k // 2) for k, p in enumerate(chances))
    spread = sum(p * (k // 2 - failures) ** 2 for k, p in enumerate(chances))
    return Expected(failures / (every_s + care_s), spread / (every_s + care_s))


def two_phase_renewals(phase_s: float, every_s: float) -> float:
    """The renewal function of lives of two exponential phases, in closed form: a check of the sum."""
    passed = every_s / phase_s
    return passed / 2 - (1 - math.exp(-2 * passed)) / 4


def round_of_lots(lots: Iterable[tuple[int, float, float]]) -> tuple[float, float]:
    """Parts per second and share of set-up of a round of lots: (parts, cycle, set-up after it)."""
    rows = list(lots)
    parts, setup_s = sum(row[0] for row in rows), sum(row[2] for row in rows)
    length_s = sum(count * cycle for count, cycle, _ in rows) + setup_s
    return parts / length_s, setup_s / length_s
