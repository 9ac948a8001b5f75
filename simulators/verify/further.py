"""Further anchors: what real plants have and textbooks of queues treat one by one.

Each published constant (`known`) comes from another method than the law that gives the variance: mean value analysis
beside a chain, a characteristic root, a renewal function, reversibility, or fractions without rounding.
"""

from collections.abc import Callable, Iterator

import simulators.verify.build as build
import simulators.verify.further_theory as further
import simulators.verify.theory as theory
from simulators.distributions import Distribution, Erlang
from simulators.flow import Factory, Part
from simulators.plant import (
    Arrivals,
    Conveyor,
    Crew,
    Defect,
    Endless,
    Failure,
    Line,
    Loop,
    Maintenance,
    Order,
    Orders,
    Oven,
    Plant,
    Route,
    Setup,
    Transport,
)
from simulators.states import State
from simulators.verify.build import constant, exponential
from simulators.verify.case import Case, Measure, Reading
from simulators.verify.markov import Expected


def cases() -> Iterator[Case]:
    """Section 3.8."""
    yield from _priorities()
    yield from _loops()
    yield from _phases()
    yield from _ovens()
    yield from _belts()
    yield from _rework()
    yield from _mixes()
    yield from _blocks()
    yield from _exact()


def _priorities() -> Iterator[Case]:
    """Three unequal machines on lines of their own, one repairer.  The constants are sums of fractions."""
    mttf, mttr = (100.0, 50.0, 200.0), (10.0, 10.0, 40.0)
    rows = (
        ("first come, first served", (0, 0, 0), PRIORITY_KNOWN[0]),
        ("priorities 0, 1, 2", (0, 1, 2), PRIORITY_KNOWN[1]),
        ("priorities 2, 1, 0", (2, 1, 0), PRIORITY_KNOWN[2]),
    )
    for name, priority, known in rows:
        chain = further.repairs(mttf, mttr, priority)
        lines = tuple(
            Line(name=f"l{n}", stations=(build.station("m", constant(7), failures=(Failure(
                name="f", every=exponential(mttf[n]), repair=exponential(mttr[n]), crew="crew", priority=priority[n],
            ),)),))
            for n in range(3)
        )  # fmt: skip
        plant = Plant(name="anchor", site="theory", crews=(Crew(name="crew"),), lines=lines)
        measures = tuple(
            Measure(f"machine {n} up", chain.average(_is_up(n)), _working(f"l{n}/m"), known[n]) for n in range(3)
        )
        yield Case("3.8", f"one repairer, three unequal machines, {name}", plant, measures, 200_000.0)


PRIORITY_KNOWN = (
    (0.8485789734, 0.7569277286, 0.8226947836), (0.8539286175, 0.7553499464, 0.8215354941),
    (0.8430070921, 0.7583599583, 0.8239693373),
)  # fmt: skip


def _is_up(machine: int) -> Callable[[further.Queue], float]:
    return lambda down: float(machine not in down)


def _working(path: str) -> Callable[[Factory], Reading]:
    def read(factory: Factory) -> Reading:
        account = factory.machine(path).account
        return lambda now_s: account.seconds_in(State.WORKING, now_s)

    return read


def _loops() -> Iterator[Case]:
    rows = (((1.0, 1.5, 0.8), 5, 0.0), ((1.0, 2.0), 3, 0.0), ((1.0, 1.25), 4, 3.0))
    for mu, carriers, travel in rows:
        back: Distribution = exponential(travel) if travel else constant(0)
        loop = Loop(name="loop", carriers=carriers, first="m0", last=f"m{len(mu) - 1}", back=back)
        stations = [build.station(f"m{n}", exponential(1 / rate), buffer=build.INFINITE) for n, rate in enumerate(mu)]
        law = further.closed_loop(mu, carriers, travel).rate()
        through = Measure("throughput", law, build.delivered, further.mean_values(mu, carriers, travel))
        name = f"closed loop μ={','.join(f'{rate:g}' for rate in mu)}, {carriers} carriers, travel {travel:g}"
        yield Case("3.8", name, build.one_line(stations, loops=(loop,)), (through,), 60_000.0)


def _phases() -> Iterator[Case]:
    """A line and its reverse make the same, so each constant stands for both directions."""
    same, mixed, three = PHASED_KNOWN
    rows = (((2, 2), 0, same), ((2, 1), 1, mixed), ((1, 2), 1, mixed), ((3, 3), 2, three))
    for phases, places, known in rows:
        stations = [
            build.station(name, Erlang(law="erlang", mean=1, phases=count), buffer=held)
            for name, count, held in zip("ab", phases, (0, places), strict=True)
        ]
        through = Measure("throughput", further.phased_pair(phases, places).rate(), build.delivered, known)
        yield Case(
            "3.8", f"Erlang {phases[0]}, {phases[1]}, B={places}", build.one_line(stations), (through,), 50_000.0
        )


PHASED_KNOWN = (0.7272727273, 0.7808219178, 0.9006473403)


def _ovens() -> Iterator[Case]:
    for rate in (1.2, 2.0):
        baker = Oven.model_validate(
            {"name": "s", "kind": "oven", "cycle": exponential(1), "batch": 3, "buffer": build.INFINITE, "signals": ()}
        )
        plant = Plant(name="anchor", site="theory", lines=(Line(
            name="line", source=Arrivals(kind="arrivals", every=exponential(1 / rate)), stations=(baker,),
        ),))  # fmt: skip
        law = further.oven(rate, 1.0, 3).average(lambda state: 3.0 * state[0] + state[1])
        parts = Measure("parts at the oven", law, build.on_line, further.oven_parts(rate, 1.0, 3))
        yield Case("3.8", f"oven M/M^3/1 λ={rate:g}", plant, (parts,), 80_000.0)


def _belts() -> Iterator[Case]:
    """A belt takes a part each place's time, so its entrance is M/D/1: wait by Pollaczek and Khinchine."""
    for rate, travel, places in ((0.5, 10.0, 10), (0.8, 12.0, 12)):
        belt = Conveyor.model_validate({
            "name": "s", "kind": "conveyor", "cycle": constant(travel), "places": places, "buffer": build.INFINITE,
            "signals": (),
        })  # fmt: skip
        plant = Plant(name="anchor", site="theory", lines=(Line(
            name="line", source=Arrivals(kind="arrivals", every=exponential(1 / rate)), stations=(belt,),
        ),))  # fmt: skip
        law = theory.workload(rate, (1, 1, 1, 1))
        wait = Measure("mean wait", law, _entrance(travel / places), rate / (2 * (1 - rate)))
        yield Case("3.8", f"belt behind Poisson arrivals λ={rate:g}", plant, (wait,), 150_000.0)


def _entrance(place_s: float) -> Callable[[Factory], Reading]:
    """The time integral of the work in front of a belt."""

    def read(factory: Factory) -> Reading:
        total = 0.0

        def witness(part: Part, began_s: float) -> None:
            nonlocal total
            total += place_s * (began_s - part.queued_s) + place_s**2 / 2

        factory.machine("line/s").witnesses.append(witness)
        return lambda now_s: total

    return read


def _rework() -> Iterator[Case]:
    """Parts come back from the second station, so each visits both 1 / (1 - p) times; both are M/M/1 with that load."""
    for back, rate in ((0.2, 0.4), (0.4, 0.25)):
        again = Defect(code="again", probability=back, to="a")
        plant = build.one_line(
            [
                build.station("a", exponential(1.0), buffer=build.INFINITE),
                build.station("b", exponential(1 / 1.2), buffer=build.INFINITE, defects=(again,)),
            ],
            Arrivals(kind="arrivals", every=exponential(1 / rate)),
        )
        chain, load = further.feedback(rate, (1.0, 1.2), back), rate / (1 - back)
        measures = (
            Measure("parts at a", chain.average(lambda at: float(at[0])), build.at_station("a"), load / (1 - load)),
            Measure("parts at b", chain.average(lambda at: float(at[1])), build.at_station("b"), load / (1.2 - load)),
            Measure("visits to a per s", chain.rate(), _cycles("line/a"), load),
        )
        yield Case("3.8", f"rework {back:g} to the first of two, λ={rate:g}", plant, measures, 80_000.0)


def _cycles(path: str) -> Callable[[Factory], Reading]:
    def read(factory: Factory) -> Reading:
        machine = factory.machine(path)
        return lambda now_s: machine.cycles

    return read


def _mixes() -> Iterator[Case]:
    rate, quick, slow, share = 0.6, 0.5, 2.0, 0.7
    moments = [
        share * scale * quick**power + (1 - share) * scale * slow**power
        for power, scale in ((1, 1.0), (2, 2.0), (3, 6.0), (4, 24.0))
    ]
    law = theory.workload(rate, (moments[0], moments[1], moments[2], moments[3]))
    machine = build.station("s", exponential(quick), buffer=build.INFINITE, cycles={"slow": exponential(slow)})
    plant = Plant(name="anchor", site="theory", lines=(Line(
        name="line", mix={"quick": share, "slow": 1 - share}, stations=(machine,),
        source=Arrivals(kind="arrivals", every=exponential(1 / rate)),
    ),))  # fmt: skip
    known = rate * moments[1] / (2 * (1 - rate * moments[0]))
    wait = Measure("mean wait", law, build.work_ahead("s"), known)
    yield Case("3.8", "two products with times of their own, λ=0.6", plant, (wait,), 150_000.0)
    ways = (Route(to="b", share=0.4), Route(to="c", share=0.6))
    branches = [
        build.station("a", exponential(0.5), buffer=build.INFINITE, next=ways),
        build.station("b", exponential(1.0), buffer=build.INFINITE, next=(Route(to="out"),)),
        build.station("c", exponential(0.8), buffer=build.INFINITE),
    ]  # fmt: skip
    measures = tuple(
        Measure(
            f"parts at {name}", theory.birth_death(load, mu, 1, theory.DEEP).average(float), build.at_station(name),
            load / (mu - load),
        )
        for name, load, mu in (("a", 1.0, 2.0), ("b", 0.4, 1.0), ("c", 0.6, 1.25))
    )  # fmt: skip
    plant = build.one_line(branches, Arrivals(kind="arrivals", every=exponential(1.0)))
    yield Case("3.8", "Poisson parts split 0.4 to 0.6", plant, measures, 100_000.0)


def _blocks() -> Iterator[Case]:
    for phase_s, every_s, care_s in ((40.0, 60.0, 5.0), (25.0, 120.0, 10.0)):
        failure = Failure(name="f", every=Erlang(law="erlang", mean=2 * phase_s, phases=2), repair=constant(0))
        care = Maintenance(by="calendar", every=every_s, takes=constant(care_s), when="at_once")
        plant = build.one_line([build.station("s", constant(7), failures=(failure,), maintenance=(care,))])
        law = further.block_replacement(phase_s, every_s, care_s)
        known = further.two_phase_renewals(phase_s, every_s) / (every_s + care_s)
        name = f"block replacement every {every_s:g}, Erlang 2 of {2 * phase_s:g}"
        yield Case("3.8", name, plant, (Measure("failures per s", law, build.failures("s"), known),), 200_000.0)


def _exact() -> Iterator[Case]:
    times = {"a": {"b": 40, "c": 90}, "b": {"a": 30, "c": 60}, "c": {"a": 50, "b": 70}}
    setup = Setup(
        usual=constant(999),
        changeovers={old: {new: constant(s) for new, s in goals.items()} for old, goals in times.items()},
    )
    machine = build.station("s", constant(6), cycles={"b": constant(5), "c": constant(4)}, setup=setup)
    for sequence, after, known in (("abc", (40, 60, 50), 100 / 680), ("acb", (90, 70, 30), 100 / 720)):
        lots = {"a": (50, 6.0), "b": (30, 5.0), "c": (20, 4.0)}
        rows = [(*lots[product], float(s)) for product, s in zip(sequence, after, strict=True)]
        made, share = further.round_of_lots(rows)
        orders = tuple(Order(product=product, quantity=lots[product][0]) for product in sequence)
        plant = build.one_line([machine], Orders(kind="orders", orders=orders))
        measures = (
            Measure("parts per s", Expected(made, 0.0), build.delivered, known),
            Measure("setup", Expected(share, 0.0), build.spent("s", State.SETUP)),
        )
        length_s = 40 * round(sum(count * cycle + s for count, cycle, s in rows))
        yield Case("3.8", f"sequence-dependent set-ups, {sequence}", plant, measures, float(length_s))
    vehicles = Transport.model_validate(
        {"name": "s", "kind": "transport", "cycle": constant(60), "back": constant(45), "machines": 3, "signals": ()}
    )
    plant = Plant(name="anchor", site="theory", lines=(Line(name="line", source=Endless(), stations=(vehicles,)),))
    carried = Measure("parts per s", Expected(3 / 105, 0.0), build.delivered, 1 / 35)
    yield Case("3.8", "three vehicles, 60 s out and 45 s back", plant, (carried,), 105.0 * 200)
