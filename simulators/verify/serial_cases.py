"""Anchors of serial lines: saturated, unreliable, longer, with scrap, blocking before service."""

from collections.abc import Iterator
from typing import Literal

import simulators.verify.build as build
import simulators.verify.theory as theory
from simulators.distributions import Geometric
from simulators.plant import Failure, Plant, Station
from simulators.states import State
from simulators.verify.build import constant, exponential
from simulators.verify.case import Case, Measure
from simulators.verify.serial import Serial, parts_on_line, share


def cases() -> Iterator[Case]:
    """Sections 3.4 to 3.6."""
    yield from _saturated()
    yield from _before_service()
    yield from _unreliable_pairs()
    yield from _geometric_pairs()
    yield from _longer()


def _plant(line: Serial) -> Plant:
    """The line that the chain describes."""
    counts: Literal["calendar", "operating"] = "calendar" if line.calendar else "operating"
    failures: list[tuple[Failure, ...]] = [
        (Failure(name="f", every=exponential(1 / p), repair=exponential(1 / r), counts=counts),)
        for p, r in zip(line.p, line.r, strict=True)
    ] or [()] * len(line.mu)
    scrap = line.scrap or [0.0] * len(line.mu)
    return build.one_line(
        [
            build.station(f"m{i}", exponential(1 / mu), buffer=places, failures=failures[i], scrap=scrap[i])
            for i, (mu, places) in enumerate(zip(line.mu, (0, *line.places), strict=True))
        ]
    )


def _numbers(values: tuple[float, ...] | tuple[int, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _saturated() -> Iterator[Case]:
    rows: tuple[tuple[tuple[float, ...], tuple[int, ...], float], ...] = (
        ((1, 1), (0,), 2 / 3), ((1, 1), (1,), 0.75), ((1, 1), (2,), 0.8), ((1, 1), (5,), 0.875),
        ((1, 1), (10,), 12 / 13), ((1, 1.25), (3,), 0.91118050), ((1, 0.8), (3,), 0.72894440),
        ((1, 1, 1), (0, 0), 22 / 39), ((1, 1, 1), (1, 1), 0.67046616), ((1, 1, 1), (2, 2), 0.73401667),
        ((1, 1, 1, 1), (0, 0, 0), 0.51477549), ((1, 1, 1, 1), (1, 1, 1), 0.63115269),
        ((1, 1, 1, 1, 1), (0, 0, 0, 0), 0.48579812), ((1, 1.2, 0.9), (2, 3), 0.76889502),
    )  # fmt: skip
    for mu, places, known in rows:
        line = Serial(mu, places)
        chain = line.chain()
        measures = (
            Measure("throughput", chain.rate(), build.delivered, known),
            Measure("parts on the line", chain.average(parts_on_line), build.on_line),
            Measure("first blocked", chain.average(share(0, "b")), build.spent("m0", State.BLOCKED)),
        )
        yield Case("3.4", f"μ={_numbers(mu)} B={_numbers(places)}", _plant(line), measures, 50_000.0)


def _before_service() -> Iterator[Case]:
    for places in (0, 1, 3):
        chain = theory.birth_death(1.0, 1.0, 1, places + 1)
        plant = build.one_line(
            [build.station("a", exponential(1), blocking="before"), build.station("b", exponential(1), buffer=places)]
        )
        through = Measure("throughput", chain.rate(), build.delivered, (places + 1) / (places + 2))
        yield Case("3.4", f"block before service B={places}", plant, (through,), 50_000.0)


def _unreliable_pairs() -> Iterator[Case]:
    rows: tuple[tuple[tuple[float, float], tuple[float, float], tuple[float, float], int, float, float], ...] = (
        ((1, 1), (0.01, 0.01), (0.1, 0.1), 2, 0.5899548233, 0.5581286718),
        ((1, 1), (0.01, 0.01), (0.1, 0.1), 6, 0.7413588404, 0.7252830586),
        ((1, 1), (0.01, 0.01), (0.1, 0.1), 12, 0.7990261770, 0.7907771221),
        ((1, 1.2), (0.05, 0.03), (0.2, 0.15), 8, 0.7153867398, 0.6952381046),
        ((1, 1), (0.02, 0.02), (0.1, 0.1), 12, 0.7068189536, 0.6914615844),
        ((2, 2.5), (0.1, 0.2), (0.5, 0.5), 7, 1.3790592843, 1.3329209455),
    )
    for mu, p, r, most, operating, calendar in rows:
        for by_calendar, known in ((False, operating), (True, calendar)):
            line = Serial(mu, (most - 2,), p, r, calendar=by_calendar)
            chain = line.chain()
            measures = (
                Measure("throughput", chain.rate(), build.delivered, known),
                Measure("first blocked", chain.average(share(0, "b")), build.spent("m0", State.BLOCKED)),
                Measure("second starved", chain.average(share(1, "s")), build.spent("m1", State.STARVED)),
            )
            name = f"{'calendar' if by_calendar else 'operating'} failures μ={_numbers(mu)} p={_numbers(p)} N={most}"
            yield Case("3.5a", name, _plant(line), measures, 60_000.0)


def _geometric_pairs() -> Iterator[Case]:
    rows = (
        ((0.01, 0.1), (0.01, 0.1), 4, 0.8409361365), ((0.01, 0.1), (0.01, 0.1), 10, 0.8561749307),
        ((0.01, 0.1), (0.01, 0.1), 20, 0.8705407225), ((0.01, 0.1), (0.01, 0.1), 50, 0.8878446890),
        ((0.1, 0.1), (0.1, 0.1), 4, 0.359375), ((0.1, 0.1), (0.1, 0.1), 10, 0.3977272727),
        ((0.05, 0.2), (0.03, 0.15), 8, 0.7366792313), ((0.01, 0.09), (0.01, 0.1), 10, 0.8485215685),
        ((0.006, 0.06), (0.009, 0.08), 20, 0.8557029812),
    )  # fmt: skip
    for first, second, most, known in rows:
        law = theory.geometric_pair(first, second, most)
        plant = build.one_line([_geometric("a", 0, *first), _geometric("b", most - 2, *second)])
        name = f"geometric p,r={_numbers(first)} / {_numbers(second)} N={most}"
        yield Case("3.5b", name, plant, (Measure("efficiency", law, build.delivered, known),), 60_000.0)


def _geometric(name: str, places: int, p: float, r: float) -> Station:
    """A machine of unit cycle that fails every so many cycles and is repaired in whole cycles."""
    every, repair = Geometric(law="geometric", p=p), Geometric(law="geometric", p=r)
    failure = Failure(name="f", every=every, repair=repair, counts="cycles")
    return build.station(name, constant(1), buffer=places, failures=(failure,))


def _longer() -> Iterator[Case]:
    rows: tuple[tuple[Serial, float], ...] = (
        (Serial((1, 1, 1), (4, 4), (0.01,) * 3, (0.1,) * 3), 0.6713147979),
        (Serial((1, 1, 1), (0, 0), (0.01,) * 3, (0.1,) * 3), 0.4862003285),
        (Serial((1, 1.1, 0.95), (3, 5), (0.02, 0.01, 0.03), (0.1, 0.05, 0.2)), 0.5997013257),
        (Serial((1,) * 4, (2, 2, 2), (0.01,) * 4, (0.1,) * 4), 0.5678020710),
        (Serial((1, 1, 1), (4, 4), (0.01,) * 3, (0.1,) * 3, (0.02, 0.03, 0.01)), 0.6459746297),
    )
    for line, known in rows:
        chain = line.chain()
        measures = (
            Measure("throughput", chain.rate(), build.delivered, known),
            Measure("first blocked", chain.average(share(0, "b")), build.spent("m0", State.BLOCKED)),
            Measure("second working", chain.average(share(1, "w")), build.spent("m1", State.WORKING)),
        )
        scrap = f" scrap={_numbers(tuple(line.scrap))}" if line.scrap else ""
        name = f"μ={_numbers(tuple(line.mu))} B={_numbers(tuple(line.places))} p={_numbers(tuple(line.p))}{scrap}"
        yield Case("3.6", name, _plant(line), measures, 60_000.0)
