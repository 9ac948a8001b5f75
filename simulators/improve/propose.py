"""From what was observed to set-points.  Each proposal says why.

- Sequence: the circle of products with the least time for changeovers.  A changeover that was never seen is hoped to be
  as short as the shortest one, so that it gets its try; what is seen then replaces the hope.
- Lots: three times as large where changeovers take more than 3 % of a machine's time.
- Buffers: ten more places in front of the bottleneck if it starves, and behind it if it is blocked.
- Priorities: the crew goes to the bottleneck first, and to planned care last.

Where nothing is left to do at the bottleneck, the station next to it in rank has its turn, until a line has been given
`most_places` places.

Speed is not among them, and nothing else that would make a machine better than it is.
"""

from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

from simulators.flow.change import Value
from simulators.improve.bottleneck import Bottleneck, bottlenecks
from simulators.improve.observe import Observed, Seen

LARGER_LOTS = 3.0
MUCH_SETUP = 0.03
SOME_WAITING = 0.01
MORE_PLACES = 10
MOST_PLACES = 60
MOST_PRODUCTS = 7
"""Up to so many, every circle is tried."""
CARE_LATER = 50


class Setting(NamedTuple):
    """A value for a set-point, and why."""

    tag: str
    value: Value
    why: str


def proposals(observed: Observed, round_number: int = 1, most_places: int = MOST_PLACES) -> list[Setting]:
    """What to change now.  Empty: nothing more is known to help."""
    found: list[Setting] = []
    for line in sorted({path.partition("/")[0] for path in observed.machines}):
        found += _new(observed, _lots(observed, line))
        found += _new(observed, _urgency(observed, line, round_number))
        for station in bottlenecks(observed, line):
            if observed.added[line] >= most_places:
                break
            if more := _new(observed, _places(observed, line, station)):
                found += more
                break
    return found


def _new(observed: Observed, settings: Iterator[Setting]) -> list[Setting]:
    """Those that would change something, and were not tried before."""
    return [s for s in settings if observed.points.get(s.tag, s.value) != s.value and s not in observed.tried]


def _lots(observed: Observed, line: str) -> Iterator[Setting]:
    setup = max(
        (seen.spent["setup"] / seen.on_s for path, seen in observed.machines.items() if _is_set_up(seen, path, line)),
        default=0.0,
    )
    factor = f"{line}/SetPoints/LotFactor"
    if setup > MUCH_SETUP and observed.points.get(factor) == 1.0:
        yield Setting(factor, LARGER_LOTS, f"a machine is set up for {setup:.0%} of its time")
    known = {path: pairs for path, pairs in observed.changeover_s.items() if path.startswith(f"{line}/") and pairs}
    products = sorted(observed.products[line])
    if known and 3 <= len(products) <= MOST_PRODUCTS:
        circles = [(products[0], *rest) for rest in permutations(products[1:])]
        present = str(observed.points.get(f"{line}/SetPoints/Sequence", ""))
        costs = {circle: sum(_circle_s(circle, pairs) for pairs in known.values()) for circle in circles}
        best = min(circles, key=costs.__getitem__)
        now = tuple(present.split(",")) if present else ()
        if now not in costs or costs[best] < costs[now] - 1.0:
            yield Setting(
                f"{line}/SetPoints/Sequence", ",".join(best),
                f"its changeovers take {costs[best] / 60:.0f} min a round, as far as is known",
            )  # fmt: skip


def _is_set_up(seen: Seen, path: str, line: str) -> bool:
    return path.startswith(f"{line}/") and bool(seen.changeovers) and seen.on_s > 0


def _circle_s(circle: tuple[str, ...], pairs: dict[tuple[str, str], float]) -> float:
    hope = min(pairs.values())
    return sum(pairs.get(pair, hope) for pair in zip(circle, (*circle[1:], circle[0]), strict=True))


def _places(observed: Observed, line: str, limit: Bottleneck) -> Iterator[Setting]:
    machines = [seen for path, seen in observed.machines.items() if observed.station_of(path) == limit.station]
    on_s = sum(seen.on_s for seen in machines)
    name = limit.station.partition("/")[2]
    if sum(seen.spent["starved"] for seen in machines) > SOME_WAITING * on_s:
        yield from _more_places(observed, f"{line}/Buffers/{name}/Limit", f"{name} limits the line and starves")
    for seen in machines:
        behind, held_s = max(seen.held_up.items(), key=lambda item: item[1], default=("", 0.0))
        if held_s > SOME_WAITING * seen.on_s:
            why = f"{name} limits the line and is blocked"
            yield from _more_places(observed, f"{line}/Buffers/{behind}/Limit", why)
            break


def _urgency(observed: Observed, line: str, round_number: int) -> Iterator[Setting]:
    ranked = bottlenecks(observed, line)
    first = ranked[0].station if ranked else ""
    for tag, present in observed.points.items():
        if not tag.endswith("Priority") or not tag.startswith(f"{line}/"):
            continue
        machine = tag.partition("/SetPoints/")[0]
        if f"{tag.removesuffix('Priority')}Interval" in observed.points:
            yield Setting(tag, CARE_LATER, "planned care can wait, a breakdown cannot")
        elif observed.station_of(machine) == first and int(present) > -10:
            yield Setting(tag, -10 - round_number, f"{first.partition('/')[2]} limits the line")


def _more_places(observed: Observed, tag: str, why: str) -> Iterator[Setting]:
    present = observed.points.get(tag)
    if isinstance(present, int | float):
        yield Setting(tag, int(present) + MORE_PLACES, why)
