"""Set-points: what may be changed of a running plant from outside, within its range, and without touching its speed.

| path | name | what |
| --- | --- | --- |
| line/SetPoints | LotFactor | quantities of all orders, relative to the plant file: the mix of products stays |
| line/SetPoints | Sequence | order of the products within a round of orders: `a,b,c`; empty: as in the file |
| line/SetPoints | ReleaseRate | parts per hour that may enter the line at most; 0: without limit |
| line/Buffers/station | Limit | places in front of a station that may be used, up to its `room` |
| line/machine/SetPoints | JamPriority | of the failure or care `jam`: the crew serves the lowest number first |
| line/machine/SetPoints | OilInterval | time (or parts) between two times of the planned care `oil` |
| line/machine/SetPoints | JamCrew | which crew does it, where the plant has several |

A refused value changes nothing.  An accepted one acts at once, is noted as a change, and stays in the ledger of
commands, so that a run with set-points can be repeated.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from simulators.errors import OutOfRange
from simulators.flow.buffer import Buffer
from simulators.flow.change import Command, Ledger, Value
from simulators.flow.crew import Crew
from simulators.flow.failure_process import FailureProcess
from simulators.flow.line import Line
from simulators.flow.machine import Machine

LOTS = (0.05, 20.0)
RATES = (0.0, 1e6)
PRIORITIES = (-100.0, 100.0)
INTERVALS = (0.1, 10.0)
"""Range of the care intervals, relative to the plant file."""
UNLIMITED = 2.0**31 - 1
"""The limit of a buffer without one."""


@dataclass(frozen=True, slots=True)
class SetPoint:
    """One set-point: where it is, what it accepts, its present value, and what makes another one effective."""

    path: str
    name: str
    kind: Literal["number", "whole", "text"]
    unit: str
    text: str
    read: Callable[[], Value]
    apply: Callable[[float], None] = lambda number: None
    low: float = 0.0
    high: float = 0.0
    apply_text: Callable[[str], None] = lambda words: None
    """Raises `OutOfRange` for a text that it does not accept."""

    def check(self, value: Value) -> None:
        """Raises `OutOfRange` for a number outside the range, and for a part of a whole."""
        if self.kind == "text":
            return
        if isinstance(value, str) or not math.isfinite(value) or not self.low <= value <= self.high:
            raise OutOfRange(f"{self.path}/{self.name} takes {self.low:g} to {self.high:g}, not {value!r}")
        if self.kind == "whole" and value != int(value):
            raise OutOfRange(f"{self.path}/{self.name} takes whole numbers, not {value!r}")


class SetPoints:
    """The set-points of a plant, by path and name."""

    def __init__(self, lines: Sequence[Line], crews: Mapping[str, Crew], ledger: Ledger) -> None:
        self._lines = lines
        self._ledger = ledger
        self.all = {(each.path, each.name): each for line in lines for each in _of_line(line, crews)}

    @property
    def now_s(self) -> float:
        """The simulated time, in seconds."""
        return float(self._lines[0].env.now) if self._lines else 0.0

    def of(self, *owners: str) -> list[SetPoint]:
        """Those whose path begins with one of `owners` (`line/SetPoints`, `line/press` …)."""
        return [point for point in self.all.values() if any(f"{point.path}/".startswith(f"{o}/") for o in owners)]

    def set(self, path: str, name: str, value: Value) -> None:
        """Make a value effective now.  Raises `OutOfRange`, with nothing changed, and KeyError where there is none."""
        point = self.all[path, name]
        point.check(value)
        if point.kind == "text":
            point.apply_text(str(value))
        else:
            point.apply(float(value))
        self._ledger.commands.append(Command(self.now_s, path, name, value))
        self._ledger.note(self.now_s, path, name, point.read())


def _of_line(line: Line, crews: Mapping[str, Crew]) -> Iterator[SetPoint]:
    path = f"{line.name}/SetPoints"
    if (orders := line.orders) is not None and orders.repeats:
        low, high = LOTS
        yield SetPoint(
            path, "LotFactor", "number", "1", "quantities of all orders, relative to the plant file",
            lambda: orders.lot_factor, orders.set_lot_factor, low, high,
        )  # fmt: skip
        yield SetPoint(
            path, "Sequence", "text", "", "order of the products, such as a,b,c; empty: as in the plant file",
            lambda: ",".join(orders.sequence), apply_text=partial(_resequence, line),
        )  # fmt: skip
    if line.release is not None:
        low, high = RATES
        yield SetPoint(
            path, "ReleaseRate", "number", "1", "parts per hour that may enter; 0: without limit",
            lambda: line.release.per_hour if line.release else 0.0, line.release.set_rate, low, high,
        )  # fmt: skip
    for station in line.spec.stations:
        buffer = line.buffers[station.name]
        high = station.most_places if station.most_places != math.inf else UNLIMITED
        yield SetPoint(
            f"{line.name}/Buffers/{station.name}", "Limit", "whole", "1", "places that may be used",
            partial(_places, buffer), buffer.set_capacity, 0.0, high,
        )  # fmt: skip
    for machine in line.machines:
        for process in machine.processes.all:
            yield from _of_job(machine, process, crews)


def _resequence(line: Line, words: str) -> None:
    assert line.orders is not None
    sequence = [word.strip() for word in words.split(",") if word.strip()]
    products = sorted({order.product for order in line.orders.orders})
    if sequence and sorted(sequence) != products:
        raise OutOfRange(f"{line.name}/SetPoints/Sequence names each of {', '.join(products)} once, not {words!r}")
    line.orders.set_sequence(sequence)


def _places(buffer: Buffer) -> int:
    return int(min(buffer.capacity, UNLIMITED))


def _of_job(machine: Machine, process: FailureProcess, crews: Mapping[str, Crew]) -> Iterator[SetPoint]:
    path, title = f"{machine.path}/SetPoints", camel(process.name)
    if process.crew is not None:
        low, high = PRIORITIES
        yield SetPoint(
            path, f"{title}Priority", "whole", "1", "the crew serves the lowest number first",
            lambda: process.priority, partial(_prioritise, process), low, high,
        )  # fmt: skip
        if len(crews) > 1:
            yield SetPoint(
                path, f"{title}Crew", "text", "", f"one of {', '.join(crews)}",
                lambda: process.crew.name if process.crew else "", apply_text=partial(_assign, process, crews),
            )  # fmt: skip
    if process.is_care:
        low, high = (share * process.every for share in INTERVALS)
        unit = "1" if process.counts == "cycles" else "s"
        yield SetPoint(
            path, f"{title}Interval", "number", unit, "between two times of this care", lambda: process.every,
            partial(_care_every, machine, process), low, high,
        )  # fmt: skip


def _prioritise(process: FailureProcess, number: float) -> None:
    process.priority = int(number)


def _assign(process: FailureProcess, crews: Mapping[str, Crew], name: str) -> None:
    if name not in crews:
        raise OutOfRange(f"no crew {name!r}: one of {', '.join(crews)}")
    process.crew = crews[name]


def _care_every(machine: Machine, process: FailureProcess, every: float) -> None:
    machine.disturb()
    process.set_every(every, float(machine.env.now))


def camel(name: str) -> str:
    """The browse name form of a name: `spindle-load` becomes `SpindleLoad`."""
    return "".join(part[:1].upper() + part[1:] for part in name.replace("_", "-").split("-"))
