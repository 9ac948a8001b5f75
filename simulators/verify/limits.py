"""Anchors at the limits of the two-machine models: very small parts, no buffers, and time slots."""

from collections.abc import Iterator
from typing import Literal

import simulators.verify.build as build
import simulators.verify.theory as theory
from simulators.distributions import Geometric
from simulators.plant import Failure
from simulators.states import State
from simulators.verify.build import constant, exponential
from simulators.verify.case import Case, Measure

SMALL_S = 0.125
"""The cycle of the small parts: a fortieth of the shortest mean repair, and exact in binary."""


def cases() -> Iterator[Case]:
    """Sections 3.5 (c), (d) and (e)."""
    yield from _small_parts()
    yield from _rigid()
    yield from _slots()


def _small_parts() -> Iterator[Case]:
    """Parts of 1/8 s of work in place of a fluid.

    With B places the line is never worse than the fluid with room for B parts and never better than with room for B+2,
    since the first machine can be ahead of the second by that many whole parts at most.  So B+1 is the room of the
    fluid, and the formula with one part more and one part less bounds the bias: `small_parts_bias`.
    """
    rows = (
        ((0.01, 0.1), (0.01, 0.1), 5.0, 0.8485856905), ((0.01, 0.1), (0.01, 0.1), 10.0, 0.8587257618),
        ((0.01, 0.1), (0.01, 0.1), 50.0, 0.8875739645), ((0.05, 0.2), (0.03, 0.15), 6.0, 0.7326708374),
        ((0.01, 0.09), (0.01, 0.1), 10.0, 0.8511514650),
    )  # fmt: skip
    for first, second, room, known in rows:
        modes = [
            Failure(name="f", every=exponential(1 / p), repair=exponential(1 / r), counts="operating")
            for p, r in (first, second)
        ]
        places = (0, round(room / SMALL_S) - 1)
        stations = [
            build.station(name, constant(SMALL_S), buffer=held, failures=(mode,))
            for name, held, mode in zip("ab", places, modes, strict=True)
        ]
        law = theory.continuous_pair(first, second, room)
        efficiency = Measure("efficiency", law, build.spent("b", State.WORKING), known)
        name = f"small parts p,r={_pair(first)} / {_pair(second)} room {room:g} s"
        yield Case("3.5c", name, build.one_line(stations), (efficiency,), 60_000.0)


def small_parts_bias(first: tuple[float, float], second: tuple[float, float], room: float) -> float:
    """The largest possible difference between the efficiency with small parts and that of the fluid."""
    middle, *ends = (theory.continuous_efficiency(first, second, room + off) for off in (0, -SMALL_S, SMALL_S))
    return max(abs(end - middle) for end in ends)


def _rigid() -> Iterator[Case]:
    """A line that moves all its parts together: one unit of production that each of its machines can stop."""
    rows = (
        ("2 x 0.01,0.1", ((0.01, 0.1),) * 2, 0.83333333),
        ("5 x 0.01,0.1", ((0.01, 0.1),) * 5, 0.66666667),
        ("0.01,0.1 / 0.02,0.2 / 0.005,0.05", ((0.01, 0.1), (0.02, 0.2), (0.005, 0.05)), 0.76923077),
    )
    for name, modes, known in rows:
        chain = theory.rigid_line(modes)
        failures = tuple(
            Failure(name=f"f{i}", every=exponential(1 / p), repair=exponential(1 / r)) for i, (p, r) in enumerate(modes)
        )
        measures = (
            Measure("efficiency", chain.average(lambda down: float(not down)), build.spent("s", State.WORKING), known),
            Measure("failures per s", chain.rate(), build.failures("s")),
        )
        plant = build.one_line([build.station("s", constant(1), failures=failures)])
        yield Case("3.5d", f"rigid line, p,r={name}", plant, measures, 60_000.0)
        failures = tuple(
            Failure(name=f"f{i}", every=_geometric(p), repair=_geometric(r), counts="cycles")
            for i, (p, r) in enumerate(modes)
        )
        made = Measure("efficiency", theory.rigid_line_by_cycles(modes), build.delivered, known)
        plant = build.one_line([build.station("s", constant(1), failures=failures)])
        yield Case("3.5d", f"rigid line in cycles, p,r={name}", plant, (made,), 60_000.0)


def _slots() -> Iterator[Case]:
    """Geometric cycles in whole slots, so that many events share one instant.

    There are N-1 places when the first machine blocks before service, and N-2 when it blocks after: N parts in between,
    as it finishes none while the second has that many in front of it.
    """
    rows = ((0.9, 0.9, 1), (0.9, 0.9, 2), (0.9, 0.9, 5), (0.9, 0.8, 3), (0.8, 0.9, 3), (0.7, 0.7, 2), (0.95, 0.9, 4))
    for p1, p2, most in rows:
        measures = (
            Measure("throughput", theory.bernoulli_pair(p1, p2, most), build.delivered),
            Measure("second starved", theory.bernoulli_pair_holds(p1, p2, most, 0), build.spent("b", State.STARVED)),
            Measure("first blocked", theory.bernoulli_pair_holds(p1, p2, most, most), build.spent("a", State.BLOCKED)),
        )
        settings: tuple[tuple[Literal["before", "after"], int], ...] = (("before", most - 1), ("after", most - 2))
        for blocking, places in settings:
            if places >= 0:
                stations = [
                    build.station("a", _geometric(p1), blocking=blocking),
                    build.station("b", _geometric(p2), buffer=places),
                ]
                name = f"slots, p={p1:g},{p2:g} N={most}, block {blocking} service"
                yield Case("3.5e", name, build.one_line(stations), measures, 60_000.0)


def _geometric(p: float) -> Geometric:
    return Geometric(law="geometric", p=p)


def _pair(values: tuple[float, float]) -> str:
    return ",".join(f"{value:g}" for value in values)
