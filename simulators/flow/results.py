"""What one machine did to one part, in one record: the part result that leaves the simulator as an event.

A part that a station sees twice has two results.  A part that goes to rework is not scrap.
"""

from collections import deque
from collections.abc import Collection

import msgspec

from simulators.flow.part import Part
from simulators.plant import Station

MOST_WAITING = 100_000
"""Results that nobody takes: then the oldest go."""


class PartResult(msgspec.Struct, frozen=True, gc=False):
    """A finished piece of work on a part.  Times in seconds of simulated time."""

    at_s: float
    serial: str
    product: str
    order: int
    """Number of the order that the part was made for, from 1; 0 without orders."""
    station: str
    verdict: str
    """`good`, `rework` or `scrap`."""
    defect: str
    """Code of the defect; empty for a good part."""
    cycle_s: float
    """How long the work took."""
    visit: int
    """How often this station has worked on the part by now: 1 for the first time."""
    tool: int
    """Number of the tool that was used, from 1; 0 at a station without tools."""
    components: tuple[str, ...]
    """What is built into the part by now: `station path/component/lot`."""
    person: str
    """Who worked at the machine; empty where it has no team."""
    vin: str
    """Vehicle identification number; empty where the line makes no cars."""
    software: tuple[str, ...]
    """What is flashed by now: `control unit=version`."""
    retries: int
    """Attempts to flash that failed this time."""


class Results:
    """The results of one machine that wait to be published, the oldest first."""

    def __init__(self, machines: Collection[str]) -> None:
        """`machines`: the names of all machines of the station."""
        self._machines = machines
        self._waiting: deque[PartResult] = deque(maxlen=MOST_WAITING)

    def add(self, part: Part, station: Station, verdict: str, defect: str, *, tool: int, person: str) -> None:
        """The work that ended last on this part got this verdict."""
        last, visit = part.visits[-1], sum(each.machine in self._machines for each in part.visits)
        self._waiting.append(
            PartResult(
                last.ended_s, part.serial, part.product, part.order, station.name, verdict, defect,
                last.ended_s - last.began_s, visit, tool, tuple(part.components), person, part.vin,
                tuple(f"{ecu}={version}" for ecu, version in part.software.items()),
                part.retries if station.ecus else 0,
            )
        )  # fmt: skip

    def take(self, serial: str, at_s: float) -> PartResult | None:
        """The result of this part at this time or the last one before; those of earlier ones are gone."""
        while self._waiting and self._waiting[0].at_s <= at_s:
            result = self._waiting.popleft()
            if result.serial == serial:
                return result
        return None
