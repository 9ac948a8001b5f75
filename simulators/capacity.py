"""What each station of a line could make alone: computed from the plant file, without a simulation.

A station alone is never starved and never blocked.  Breakdowns, maintenance, tool changes, changeovers, scrap and
rework enter with their means.  The station with the lowest figure is the bottleneck; the line cannot make more than it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from simulators.plant import OUT, Conveyor, Line, Orders, Oven, Station, Transport


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one station could do alone, per finished part of its line."""

    station: Station
    working: float
    """The share of its time in which it can work; the rest is breakdowns, maintenance, tools and changeovers."""
    visits: float
    """How often one raw part visits this station, on average."""
    parts_per_h: float
    """Raw parts per hour that this station allows."""


def capacities(line: Line) -> list[Capacity]:
    """What each station allows, in the order of the line."""
    visits = visits_per_part(line)
    return [_capacity(line, station, visits[station.name]) for station in line.stations]


def bottleneck(line: Line) -> Capacity:
    """The station that allows the least."""
    return min(capacities(line), key=lambda c: c.parts_per_h)


def visits_per_part(line: Line) -> dict[str, float]:
    """How often a raw part visits each station: the mean over products, with scrap and rework."""
    visits = dict.fromkeys((s.name for s in line.stations), 0.0)
    arriving = {line.stations[0].name: 1.0}
    for _ in range(1000):
        onward: dict[str, float] = {}
        for name, amount in arriving.items():
            visits[name] += amount
            for goal, share in _ways(line, line.station(name)):
                onward[goal] = onward.get(goal, 0.0) + amount * share
        arriving = {name: amount for name, amount in onward.items() if name != OUT and amount > 1e-9}
    return visits


def good_share(line: Line) -> float:
    """The share of raw parts that leave as good ones."""
    visits = visits_per_part(line)
    return sum(visits[s.name] * share for s in line.stations for goal, share in _ways(line, s) if goal == OUT)


def mix_of(line: Line) -> Mapping[str, float]:
    """The share of each product among the raw parts."""
    amounts: dict[str, float] = dict(line.mix) or {line.product: 1.0}
    if isinstance(line.source, Orders):
        amounts = {}
        for order in line.source.orders:
            amounts[order.product] = amounts.get(order.product, 0.0) + order.quantity
    return {product: amount / sum(amounts.values()) for product, amount in amounts.items()}


def _ways(line: Line, station: Station) -> Iterator[tuple[str, float]]:
    """Where parts go after a station: station (or `out`) and share."""
    good = 1 - station.scrap - sum(d.probability for d in station.defects)
    for product, weight in mix_of(line).items():
        own = [way for way in line.ways_from(station) if way[2] == product]
        for goal, share, _ in own or [way for way in line.ways_from(station) if way[2] is None]:
            yield goal, good * share * weight
    for defect in station.defects:
        if defect.to:
            yield defect.to, defect.probability


def _capacity(line: Line, station: Station, visits: float) -> Capacity:
    work_s = sum(weight * _work_s(station, product) for product, weight in mix_of(line).items())
    lost = 0.0
    for failure in station.failures:
        every_s = failure.every.mean_s * (work_s if failure.counts == "cycles" else 1.0)
        lost += failure.repair.mean_s / every_s
    for care in station.maintenance:
        lost += care.takes.mean_s / (care.every * (work_s if care.by == "parts" else 1.0))
    tool_s = station.tool.change.mean_s / station.tool.life if station.tool else 0.0
    busy_s = work_s * (1 + lost) + tool_s + _setup_s(line, station)
    per_h = 3600 * station.machines / busy_s if busy_s else float("inf")
    return Capacity(station, work_s / busy_s if busy_s else 1.0, visits, per_h / visits if visits else float("inf"))


def _work_s(station: Station, product: str) -> float:
    """Seconds of one machine per part of a product."""
    cycle_s = station.cycles.get(product, station.cycle).mean_s
    match station:
        case Transport():
            return cycle_s + station.back.mean_s
        case Conveyor():
            return cycle_s / station.places
        case Oven():
            return cycle_s / station.batch
        case _:
            return cycle_s


def _setup_s(line: Line, station: Station) -> float:
    """Seconds of changeover per part.  It follows the sequence of the orders, or chance where products arrive mixed."""
    if station.setup is None:
        return 0.0
    setup = station.setup
    if isinstance(line.source, Orders):
        orders = line.source.orders
        pairs = list(pairwise([*orders, orders[0]] if line.source.repeat else orders))
        changes = [(a.product, b.product, 1 / sum(o.quantity for o in orders)) for a, b in pairs]
    else:
        mix = mix_of(line)
        changes = [(a, b, mix[a] * mix[b]) for a in mix for b in mix]
    laws = [(setup.changeovers.get(a, {}).get(b, setup.usual), weight) for a, b, weight in changes if a != b]
    return sum(law.mean_s * weight for law, weight in laws)
