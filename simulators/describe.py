"""`simulators describe`: a plant drawn as text, its bottleneck, and the expected throughput.

The bound is computed (`simulators/capacity.py`): each station alone, never starved and never blocked.  The expected
throughput is measured in a short unpaced run, since no formula covers everything that a plant file can say.
"""

from collections.abc import Iterator

from simulators.capacity import Capacity, bottleneck, capacities, good_share
from simulators.distributions import Distribution
from simulators.flow import Factory
from simulators.flow import Line as RunningLine
from simulators.plant import OUT, Arrivals, Line, Orders, Plant
from simulators.states import State

MEASURED_PARTS = 4000
"""How many parts the slowest line should make in the measured run."""
ROUNDS = 3
"""How often the measured run goes through the orders, at least."""
WARM_UP_PARTS = 100
LONGEST_S = 30 * 86_400.0
"""The longest measured run, in simulated seconds."""
WEEK_S = 7 * 86_400.0


def describe(plant: Plant, seed: int = 1) -> str:
    """The plant as text.  Simulates it for a few seconds of wall time."""
    measured = _measured(plant, seed)
    rows = [row for line in plant.lines for row in _line(line, seed, *measured[line.name])]
    stress = [f"{s.name}: {s.variables} variables of type {s.type}, {s.rate:g} changes/s each" for s in plant.stress]
    return "\n".join([f"{plant.name}, {plant.site}", *rows, *stress])


def _line(line: Line, seed: int, good: float, hours: float) -> Iterator[str]:
    slowest = bottleneck(line)
    yield ""
    yield f"{line.name}: {_source(line)}"
    for capacity in capacities(line):
        yield from _station(capacity, capacity.station is slowest.station)
    yield f"  └─▶ {OUT}"
    most = f"at most {_bound(line) * good_share(line):.1f} good parts per hour"
    who = slowest.station.name if _bound(line) == slowest.parts_per_h else "the arrivals"
    yield f"  bottleneck: {who}, {most}"
    yield f"  expected:   {good / hours:.1f} good parts per hour (seed {seed}, {hours:.1f} h of work simulated)"
    yield f"  yield:      {100 * good_share(line):.1f} % of the raw parts"


def _bound(line: Line) -> float:
    """The most raw parts per hour: by the slowest station, or by the arrivals if they are slower."""
    slowest = bottleneck(line).parts_per_h
    return min(slowest, 3600 / line.source.every.mean_s) if isinstance(line.source, Arrivals) else slowest


def _source(line: Line) -> str:
    match line.source:
        case Arrivals(every=every):
            return f"parts arrive, one {told(every)}"
        case _ if line.shifts:
            return f"{line.source.kind} source, {len(line.shifts)} shift{'s' if len(line.shifts) > 1 else ''}"
        case _:
            return f"{line.source.kind} source"


def _station(capacity: Capacity, slowest: bool) -> Iterator[str]:
    station = capacity.station
    if station.buffer:
        yield f"  │ buffer {station.buffer:g}"
    count = f" × {station.machines}" if station.machines > 1 else ""
    kind = "" if station.kind == "process" else f" ({station.kind})"
    share = f", {capacity.visits:.2f} visits" if abs(capacity.visits - 1) > 0.005 else ""
    yield (
        f"  ├─ {station.name}{count}{kind}: {told(station.cycle)}, works {100 * capacity.working:.1f} %{share},"
        f" {capacity.parts_per_h:.1f}/h{'   ◀ bottleneck' if slowest else ''}"
    )
    for defect in station.defects:
        yield f"  │    {100 * defect.probability:g} % {defect.code} ─▶ {defect.to or 'scrap'}"
    if station.scrap:
        yield f"  │    {100 * station.scrap:g} % ─▶ scrap"
    for route in station.next:
        whom = f" of {route.product}" if route.product else ""
        yield f"  │    {100 * route.share:g} %{whom} ─▶ {route.to}"


def told(law: Distribution) -> str:
    """A distribution as text: `2 s`, `normal 2 s ± 15 %`."""
    spread = f" ± {100 * law.cv2**0.5:.0f} %" if law.cv2 else ""
    return f"{'' if law.law == 'constant' else f'{law.law} '}{law.mean_s:.4g} s{spread}"


def _measured(plant: Plant, seed: int) -> dict[str, tuple[float, float]]:
    """Per line: the good parts of a run after warm-up, and how many hours of it the line was on shift."""
    if not plant.lines:
        return {}
    factory = Factory(plant, seed, keeping=False)
    shifts = any(line.shifts for line in plant.lines)
    warm_s = WEEK_S if shifts else max(WARM_UP_PARTS / _bound(line) * 3600 for line in plant.lines)
    wished_s = max(max(MEASURED_PARTS, ROUNDS * _round(line)) / _bound(line) * 3600 for line in plant.lines)
    length_s = WEEK_S * max(1, round(wished_s / WEEK_S)) if shifts else wished_s
    start_s, end_s = min(warm_s, LONGEST_S), min(warm_s, LONGEST_S) + min(length_s, LONGEST_S)
    factory.run(start_s)
    before = [(line.delivered, _off_s(line, start_s)) for line in factory.lines]
    factory.run(end_s)
    return {
        line.name: (line.delivered - made, (end_s - start_s - _off_s(line, end_s) + off_s) / 3600)
        for line, (made, off_s) in zip(factory.lines, before, strict=True)
    }


def _round(line: Line) -> int:
    """How many parts one pass through the orders makes."""
    return sum(order.quantity for order in line.source.orders) if isinstance(line.source, Orders) else 0


def _off_s(line: RunningLine, now_s: float) -> float:
    return line.machines[0].account.seconds_in(State.OFF, now_s)
