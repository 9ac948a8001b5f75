"""The bottleneck of a line, by the active period method (Roser, Nakano and Tanaka), and a check of it.

A machine is active while it works, is set up, repaired or cared for: whenever it waits for nobody.  The machine whose
active periods are the longest on average limits the line, since the others are interrupted by waiting for it.  The
check is independent: the bottleneck waits less (starved or blocked) than the other machines.
"""

from dataclasses import dataclass

from simulators.improve.observe import Observed, Seen


@dataclass(frozen=True, slots=True)
class Bottleneck:
    station: str
    """`line/station`."""
    period_s: float
    """Its mean active period."""
    check: str
    """The station that waits least."""
    waiting: float
    """Share of time in which the bottleneck waits."""

    @property
    def agreed(self) -> bool:
        return self.station == self.check


def bottlenecks(observed: Observed, line: str) -> list[Bottleneck]:
    """The stations of a line in the present window, the one that limits it most first.  Empty: too little was seen."""
    stations: dict[str, list[Seen]] = {}
    for path, seen in observed.machines.items():
        if path.startswith(f"{line}/") and seen.on_s and not seen.carries_several:
            stations.setdefault(observed.station_of(path), []).append(seen)
    periods = {name: sum(map(_period_s, machines)) / len(machines) for name, machines in stations.items()}
    waiting = {name: sum(s.waiting_share for s in machines) / len(machines) for name, machines in stations.items()}
    least = min(waiting, key=waiting.__getitem__, default="")
    return [
        Bottleneck(name, periods[name], least, waiting[name])
        for name in sorted(periods, key=periods.__getitem__, reverse=True)
    ]


def _period_s(seen: Seen) -> float:
    return seen.active_s / max(1, seen.periods)
