"""Checks over several keys: routes to nowhere, unreachable stations, crews and loops that do not exist.

Each problem carries its place, so that `load` can name the line of the file.
"""

import math
from collections.abc import Iterator

from simulators.plant.lines import Line, Loop, Orders, Plant
from simulators.plant.stations import OUT, Station

Place = tuple[int | str, ...]
Problem = tuple[Place, str]


def problems_of(plant: Plant) -> list[Problem]:
    """All mistakes of a plant whose keys are valid one by one."""
    found: list[Problem] = []
    found += _wrong_feeders(plant)
    found += _same_numbers(plant)
    for index, line in enumerate(plant.lines):
        place: Place = ("lines", index)
        wrong_ways = list(_wrong_ways(line, place))
        found += wrong_ways or _dead_ends(line, place)
        for number, loop in enumerate(line.loops):
            found += _loose_ends(loop, line, (*place, "loops", number))
        for number, station in enumerate(line.stations):
            found += _missing_crews(station, plant, (*place, "stations", number))
        found += _unknown_software(line, place)
    return found


def warnings_of(plant: Plant) -> list[str]:
    """Warnings for a valid plant: lines that may come to a standstill, one sentence each."""
    return [
        f"line {line.name} can come to a standstill: parts circle through {', '.join(names)}, with finite buffers;"
        " make one of them unlimited, or leave `standstill` at `swap`"
        for line in plant.lines
        if line.standstill == "wait"
        for names in _circles(line)
    ]


def _circles(line: Line) -> Iterator[list[str]]:
    """Groups of stations, in the order of the line, between which parts can circulate through finite buffers."""
    finite = {s.name for s in line.stations if s.buffer != math.inf}
    ways = {
        s.name: ({way[0] for way in line.ways_from(s)} | {d.to for d in s.defects if d.to and d.to != s.name}) & finite
        for s in line.stations
        if s.name in finite
    }
    seen: set[str] = set()
    for name in ways:
        circle = {other for other in _closure(name, ways) if other != name and name in _closure(other, ways)}
        if circle and name not in seen:
            seen |= {name, *circle}
            yield [s.name for s in line.stations if s.name in {name, *circle}]


def _wrong_ways(line: Line, place: Place) -> Iterator[Problem]:
    names = [station.name for station in line.stations]
    allowed = f"allowed are {', '.join(names)}"
    for number, station in enumerate(line.stations):
        here = (*place, "stations", number)
        for index, route in enumerate(station.next):
            if route.to not in (*names, OUT):
                yield (*here, "next", index, "to"), f"no station {route.to} on this line: {allowed}, {OUT}"
        for index, defect in enumerate(station.defects):
            if defect.to and defect.to not in names:
                yield (*here, "defects", index, "to"), f"no station {defect.to} on this line: {allowed}"
        for problem in _shares(station):
            yield (*here, "next"), problem


def _shares(station: Station) -> Iterator[str]:
    if station.next and all(route.product for route in station.next):
        yield "needs a route without a product, for all other products"
    for product in sorted({route.product for route in station.next}, key=str):
        total = sum(route.share for route in station.next if route.product == product)
        if abs(total - 1) > 1e-9:
            whom = f" for {product}" if product else ""
            yield f"the shares{whom} add up to {total:g}: they must add up to 1"


def _dead_ends(line: Line, place: Place) -> list[Problem]:
    """Stations that no part reaches, and stations that no part ever leaves towards the end of the line."""
    onward = {s.name: {way[0] for way in line.ways_from(s)} for s in line.stations}
    anywhere = {s.name: onward[s.name] | {d.to for d in s.defects if d.to} for s in line.stations}
    reached = _closure(line.stations[0].name, anywhere)
    found: list[Problem] = []
    for number, station in enumerate(line.stations):
        here = (*place, "stations", number)
        if station.name not in reached:
            found.append((here, f"no route leads to {station.name}: name it in a `next` or in a defect's `to`"))
        elif OUT not in _closure(station.name, onward):
            found.append((here, f"good parts never leave: no way from {station.name} leads to {OUT}"))
    return found


def _closure(start: str, ways: dict[str, set[str]]) -> set[str]:
    seen, waiting = {start}, [start]
    while waiting:
        fresh = ways.get(waiting.pop(), set()) - seen
        seen |= fresh
        waiting += fresh
    return seen


def _wrong_feeders(plant: Plant) -> Iterator[Problem]:
    """Components that come from a line that is not there, from their own, in a circle, or that two stations want."""
    feeds: dict[str, str] = {}
    for index, line in enumerate(plant.lines):
        for number, station in enumerate(line.stations):
            for position, component in enumerate(station.components):
                if component.line is None:
                    continue
                place = ("lines", index, "stations", number, "components", position, "line")
                if component.line not in [other.name for other in plant.lines]:
                    yield place, f"no line {component.line}: allowed are {', '.join(o.name for o in plant.lines)}"
                elif component.line in feeds:
                    yield place, f"the parts of {component.line} are built in elsewhere already"
                elif station.kind != "process":
                    yield place, "only a station of kind process builds in the parts of a line"
                feeds.setdefault(component.line, line.name)
    for index, line in enumerate(plant.lines):
        goal: str | None = line.name
        for _ in plant.lines:
            goal = feeds.get(goal) if goal is not None else None
            if goal == line.name:
                yield ("lines", index), f"the parts of {line.name} would be built into themselves"


def _same_numbers(plant: Plant) -> Iterator[Problem]:
    """Two lines whose vehicles would get the same numbers."""
    seen: dict[str, str] = {}
    for index, line in enumerate(plant.lines):
        if line.vin is None:
            continue
        for pattern in sorted(line.vin.patterns):
            if pattern in seen:
                what = f"{line.name} would give its cars the numbers of {seen[pattern]}"
                yield ("lines", index, "vin"), f"{what}: choose another manufacturer, descriptor or plant"
                break
        seen |= dict.fromkeys(line.vin.patterns, line.name)


def _unknown_software(line: Line, place: Place) -> Iterator[Problem]:
    if not isinstance(line.source, Orders):
        return
    known = [ecu.name for station in line.stations for ecu in station.ecus]
    for number, order in enumerate(line.source.orders):
        for name in order.software:
            if name not in known:
                allowed = f"allowed are {', '.join(known)}" if known else "no station of this line has `ecus`"
                yield (*place, "source", "orders", number, "software", name), f"no control unit {name}: {allowed}"


def _loose_ends(loop: Loop, line: Line, place: Place) -> Iterator[Problem]:
    names = [station.name for station in line.stations]
    for end, name in (("first", loop.first), ("last", loop.last)):
        if name not in names:
            yield (*place, end), f"no station {name} on this line: allowed are {', '.join(names)}"
    if loop.first in names and loop.last in names and names.index(loop.first) > names.index(loop.last):
        yield (*place, "last"), f"{loop.last} must not stand before {loop.first}"
    firsts = [other.first for other in line.loops]
    if firsts.count(loop.first) > 1:
        yield (*place, "first"), f"only one loop may begin at {loop.first}"


def _missing_crews(station: Station, plant: Plant, place: Place) -> Iterator[Problem]:
    crews = [crew.name for crew in plant.crews]
    allowed = f"allowed are {', '.join(crews)}" if crews else "the plant names no crews"
    for key, crew_names in (
        ("failures", [f.crew for f in station.failures]),
        ("maintenance", [m.crew for m in station.maintenance]),
    ):
        for index, crew in enumerate(crew_names):
            if crew is not None and crew not in crews:
                yield (*place, key, index, "crew"), f"no crew {crew}: {allowed}"
    if station.team is not None and station.team not in crews:
        yield (*place, "team"), f"no crew {station.team}: {allowed}"
