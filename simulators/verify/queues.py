"""Anchors of single stations: queues, losses, breakdowns, crews."""

from collections.abc import Iterator

import simulators.verify.build as build
import simulators.verify.theory as theory
from simulators.distributions import Distribution, Erlang, Uniform
from simulators.plant import Arrivals, Crew, Failure, Plant
from simulators.states import State
from simulators.verify.build import constant, exponential
from simulators.verify.case import Case, Measure
from simulators.verify.markov import Expected


def cases() -> Iterator[Case]:
    """Sections 3.1 to 3.3: everything about one station."""
    yield from _unlimited()
    yield from _limited()
    yield from _general_service()
    yield from _regular_arrivals()
    yield from _several_servers()
    yield from _tandem()
    yield from _unreliable()
    yield from _crews()


def _queue(
    arrivals: Distribution, service: Distribution, places: float = build.INFINITE, servers: int = 1, **more: object
) -> Plant:
    source = Arrivals(kind="arrivals", every=arrivals, when_full="lose")
    return build.one_line([build.station("s", service, buffer=places, machines=servers, **more)], source)


def _unlimited() -> Iterator[Case]:
    for rate in (0.5, 0.8):
        chain = theory.birth_death(rate, 1.0, 1, theory.DEEP)
        works = chain.average(lambda n: float(n > 0))
        measures = (
            Measure("share of time working", works, build.spent("s", State.WORKING), rate),
            Measure("parts in the system", chain.average(float), build.on_line, rate / (1 - rate)),
        )
        yield Case("3.1", f"M/M/1 λ={rate:g}", _queue(exponential(1 / rate), exponential(1)), measures, 100_000.0)


def _limited() -> Iterator[Case]:
    known = {(0.8, 5): 0.72894440, (1.0, 4): 0.8, (1.2, 3): 0.81371088, (0.9, 10): 0.85426764}
    inside = {(0.8, 5): 1.86833203, (1.0, 4): 2.0, (1.2, 3): 1.72578241, (0.9, 10): 3.96944060}
    for (rate, most), through in known.items():
        chain = theory.birth_death(rate, 1.0, 1, most)
        measures = (
            Measure("throughput", chain.rate(), build.delivered, through),
            Measure("parts in the system", chain.average(float), build.on_line, inside[rate, most]),
        )
        plant = _queue(exponential(1 / rate), exponential(1), most - 1)
        yield Case("3.1", f"M/M/1/{most} λ={rate:g}", plant, measures, 100_000.0)


def _general_service() -> Iterator[Case]:
    services: tuple[tuple[str, float, Distribution, tuple[float, float, float, float], float], ...] = (
        ("M/D/1", 0.8, constant(1), (1, 1, 1, 1), 2.0),
        ("M/D/1", 0.5, constant(1), (1, 1, 1, 1), 0.5),
        ("M/E2/1", 0.8, Erlang(law="erlang", mean=1, phases=2), (1, 1.5, 3, 7.5), 3.0),
        ("M/U/1", 0.8, Uniform(law="uniform", low=0.5, high=1.5), (1, 13 / 12, 1.25, 121 / 80), 13 / 6),
    )
    for name, rate, service, moments, known in services:
        law = theory.workload(rate, moments)
        measure = Measure("mean wait", law, build.work_ahead("s"), known)
        yield Case("3.1", f"{name} λ={rate:g}", _queue(exponential(1 / rate), service), (measure,), 150_000.0)


def _regular_arrivals() -> Iterator[Case]:
    for rate, known in ((0.8, 1.69273084), (0.5, 0.25500097)):
        each = theory.found_by_arrivals(rate, 1.0)
        law = Expected(each.exact * rate, each.avar * rate)
        found = Measure("found per arrival × λ", law, build.found_on_arrival, known * rate)
        yield Case("3.1", f"D/M/1 λ={rate:g}", _queue(constant(1 / rate), exponential(1)), (found,), 100_000.0)


def _several_servers() -> Iterator[Case]:
    for servers, rate, known in ((3, 2.4, 2.58876404), (2, 1.6, 2.84444444), (5, 4.0, 2.21645022)):
        chain = theory.birth_death(rate, 1.0, servers, theory.DEEP)
        queue = Measure("waiting", chain.average(theory.beyond(servers)), build.waiting("s"), known)
        plant = _queue(exponential(1 / rate), exponential(1), servers=servers)
        yield Case("3.1", f"M/M/{servers} λ={rate:g}", plant, (queue,), 60_000.0)
    for servers, rate, known in ((3, 2.0, 0.21052632), (5, 3.0, 0.11005435), (2, 1.0, 0.2)):
        law = theory.losses(rate, 1.0, servers)
        plant = _queue(exponential(1 / rate), exponential(1), 0, servers)
        lost = Measure("lost per time", law, build.turned_away, known * rate)
        yield Case("3.1", f"Erlang B c={servers} a={rate:g}", plant, (lost,), 60_000.0)
    erlang = Erlang(law="erlang", mean=1, phases=2)
    lost = Measure("lost per time", theory.losses_in_two_phases(2.0, 1.0, 3), build.turned_away, 2 * 0.21052632)
    yield Case("3.1", "Erlang B c=3 a=2, Erlang service", _queue(exponential(0.5), erlang, 0, 3), (lost,), 60_000.0)


def _tandem() -> Iterator[Case]:
    plant = build.one_line(
        [
            build.station("a", exponential(1.0), buffer=build.INFINITE),
            build.station("b", exponential(1 / 0.9), buffer=build.INFINITE),
        ],
        Arrivals(kind="arrivals", every=exponential(2.0)),
    )
    measures = tuple(
        Measure(
            f"parts at {name}",
            theory.birth_death(0.5, mu, 1, theory.DEEP).average(float),
            build.at_station(name),
            known,
        )
        for name, mu, known in (("a", 1.0, 1.0), ("b", 0.9, 1.25))
    )
    yield Case("3.1", "Jackson tandem λ=0.5 μ=1, 0.9", plant, measures, 100_000.0)


def _unreliable() -> Iterator[Case]:
    breaks = Failure(name="f", every=exponential(100), repair=exponential(10))
    alone = Measure("availability", theory.on_off(100, 10), build.spent("s", State.WORKING), 1 / 1.1)
    yield Case(
        "3.2",
        "machine alone 100/10",
        build.one_line([build.station("s", constant(1), failures=(breaks,))]),
        (alone,),
        200_000.0,
    )
    for rate, mttf, mttr, known in ((0.6, 50, 5, 1.95), (0.5, 20, 4, 1.90), (0.7, 100, 10, 4.884783)):
        breaks = Failure(name="f", every=exponential(mttf), repair=exponential(mttr))
        law = theory.workload(rate, theory.unreliable_moments(1.0, mttf, mttr))
        plant = _queue(exponential(1 / rate), constant(1), failures=(breaks,))
        wait = Measure("mean wait", law, build.work_ahead("s"), known)
        yield Case("3.2", f"M/D/1 λ={rate:g} breakdowns {mttf}/{mttr}", plant, (wait,), 150_000.0)


def _crews() -> Iterator[Case]:
    rows = (
        (5, 1, 100, 10, 0.87209565, 0.20347395),
        (5, 2, 100, 10, 0.90704112, 0.01127384),
        (10, 1, 100, 10, 0.78541766, 1.36040577),
        (10, 2, 50, 10, 0.75962785, 0.88446584),
        (4, 1, 60, 20, 0.59541985, 0.82442748),
    )
    for machines, people, mttf, mttr, up, queue in rows:
        chain = theory.crew_chain(machines, people, mttf, mttr)
        breaks = Failure(name="f", every=exponential(mttf), repair=exponential(mttr), crew="crew")
        plant = build.one_line(
            [build.station("s", constant(10), machines=machines, failures=(breaks,))],
            crews=(Crew(name="crew", people=people),),
        )
        down = chain.average(float).scaled(1 / machines)
        measures = (
            Measure("availability", Expected(1 - down.exact, down.avar), build.up_share, up),
            Measure("machines waiting", chain.average(theory.beyond(people)), build.waiting_for_crew, queue),
        )
        yield Case("3.3", f"{machines} machines, {people} to repair, {mttf}/{mttr}", plant, measures, 200_000.0)
