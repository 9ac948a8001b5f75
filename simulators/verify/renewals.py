"""Anchors that are exact or follow from renewal theory: makespan, tools, batches, yields, maintenance, closed lines."""

import math
from collections.abc import Iterator
from dataclasses import replace

import simulators.verify.build as build
import simulators.verify.theory as theory
from simulators.distributions import Weibull
from simulators.plant import Arrivals, Defect, Failure, Loop, Maintenance, Order, Orders, Plant, Setup, Tool
from simulators.states import State
from simulators.verify.build import constant, exponential
from simulators.verify.case import Case, Measure
from simulators.verify.markov import Expected


def cases() -> Iterator[Case]:
    """Section 3.7."""
    yield from _deterministic()
    yield from _yields()
    yield from _closed()
    yield from _care()
    yield from _energy()


def _deterministic() -> Iterator[Case]:
    for places in (0, 3):
        order = Orders(kind="orders", orders=(Order(product="part", quantity=100),), repeat=False)
        stations = [build.station(f"m{i}", constant(s), buffer=places) for i, s in enumerate((10, 12, 8))]
        last = Measure("last part, per 2000 s", Expected(1218 / 2000, 0.0), build.last_departure, 0.609)
        name = f"100 parts through 10, 12, 8 s, B={places}"
        yield Case("3.7", name, build.one_line(stations, order), (last,), 2000.0)
    tool = build.station("s", constant(12), tool=Tool(life=50, change=constant(90)))
    made = Measure("parts per s", Expected(50 / (50 * 12 + 90), 0.0), build.delivered, 260.869565 / 3600)
    busy = Measure("working", Expected(600 / 690, 0.0), build.spent("s", State.WORKING), 0.86956522)
    yield Case("3.7", "tool life 50, 12 s, change 90 s", build.one_line([tool]), (made, busy), 690.0 * 40)
    batch = build.station("s", constant(6), setup=Setup(usual=constant(900)))
    orders = Orders(kind="orders", orders=(Order(product="a", quantity=200), Order(product="b", quantity=200)))
    made = Measure("parts per s", Expected(200 / (200 * 6 + 900), 0.0), build.delivered, 342.857143 / 3600)
    setup = Measure("setup", Expected(900 / 2100, 0.0), build.spent("s", State.SETUP), 0.42857143)
    yield Case("3.7", "batches of 200 at 6 s, setup 900 s", build.one_line([batch], orders), (made, setup), 2100.0 * 20)


def _yields() -> Iterator[Case]:
    stations = [
        build.station(f"m{i}", constant(1), scrap=1 - good, buffer=2) for i, good in enumerate((0.99, 0.98, 0.97))
    ]
    rolled = Measure("good per part", theory.bernoulli(0.99 * 0.98 * 0.97), build.delivered, 0.941094)
    yield Case("3.7", "yields 0.99, 0.98, 0.97", build.one_line(stations), (rolled,), 50_000.0)
    again = Defect(code="again", probability=0.1, to="s")
    plant = build.one_line([build.station("s", constant(1), buffer=1, defects=(again,))])
    good = Measure("good per visit", theory.bernoulli(0.9), build.delivered, 1 / 1.1111111)
    yield Case("3.7", "rework 0.1 without end", plant, (good,), 50_000.0)
    once = again.model_copy(update={"at_most": 1})
    plant = build.one_line([build.station("s", constant(1), buffer=1, defects=(once,))])
    lost = Measure("scrap per visit", theory.scrap_after_one_rework(0.1), build.lost, 0.01 / 1.1)
    yield Case("3.7", "rework 0.1 at most once", plant, (lost,), 50_000.0)


def _closed() -> Iterator[Case]:
    for stations, parts, rate, known in ((4, 8, 0.5, 0.36363636), (3, 6, 1.0, 0.75), (5, 10, 1.0, 0.71428571)):
        loop = Loop(name="loop", carriers=parts, first="m0", last=f"m{stations - 1}")
        names = [f"m{i}" for i in range(stations)]
        plant = build.one_line(
            [build.station(name, exponential(1 / rate), buffer=build.INFINITE) for name in names], loops=(loop,)
        )
        through = Measure("throughput", theory.closed_line(stations, parts, rate), build.delivered, known)
        yield Case("3.7", f"closed line of {stations}, {parts} carriers", plant, (through,), 60_000.0 / rate)


def _care() -> Iterator[Case]:
    rows = (
        (2.0, 100.0, 2.0, 10.0, 50.0, 0.92445355, 0.89860346),
        (2.5, 200.0, 4.0, 20.0, 120.0, 0.93370178, 0.89870995),
        (3.0, 100.0, 1.0, 12.0, 40.0, 0.95903039, 0.88153758),
    )
    for shape, scale, care_s, repair_s, age, cared, uncared in rows:
        renewal = theory.Renewal(shape, scale, age, care_s, repair_s)
        known = 0.00443305 if shape == 2.0 else None
        failures = Measure("failures per s", renewal.failures(), build.failures("s"), known)
        up = Measure("availability", renewal.up(), build.spent("s", State.WORKING), cared)
        name = f"renewal at age {age:g}, Weibull {shape:g}, {scale:g}"
        yield Case("3.7", name, _ageing(renewal), (up, failures), 300_000.0)
        never = replace(renewal, age=math.inf)
        up = Measure("availability", never.up(), build.spent("s", State.WORKING), uncared)
        yield Case("3.7", f"run to failure, Weibull {shape:g}, {scale:g}", _ageing(never), (up,), 300_000.0)


def _ageing(renewal: theory.Renewal) -> Plant:
    """The machine that the renewal describes.  Its cycle of 7 s is arbitrary: breakdowns interrupt parts."""
    life = Weibull(law="weibull", shape=renewal.shape, scale=renewal.scale)
    care = Maintenance(by="age", every=min(renewal.age, 1e9), takes=constant(renewal.care), when="at_once")
    failure = Failure(name="f", every=life, repair=constant(renewal.repair))
    return build.one_line([build.station("s", constant(7), failures=(failure,), maintenance=(care,))])


def _energy() -> Iterator[Case]:
    working, idle, rate = 5000.0, 1000.0, 0.5
    busy = theory.birth_death(rate, 1.0, 1, theory.DEEP).average(lambda n: float(n > 0))
    power = Expected(idle + (working - idle) * busy.exact, (working - idle) ** 2 * busy.avar)
    plant = build.one_line(
        [build.station("s", exponential(1), buffer=build.INFINITE, power={"working": working, "idle": idle})],
        Arrivals(kind="arrivals", every=exponential(1 / rate)),
    )
    watts = Measure("watts", power, build.energy("s"), 3000.0)
    yield Case("3.7", "energy of M/M/1 λ=0.5, 5 kW and 1 kW", plant, (watts,), 60_000.0)
