"""Lines, buffers and crews in the address space, with the set-points of the plant.

| node | variables |
| --- | --- |
| line | Entered, Good, Scrap (parts since the start), InWork, Stalled, Product and Order that entered last; |
| | Vin of the car that left last, where the line makes cars |
| line / Buffers / station | Parts in front of the station; Limit, writable: the places that may be used |
| line / SetPoints | LotFactor, Sequence, ReleaseRate: see `simulators/flow/set_points.py` |
| line / machine / SetPoints | priorities, care intervals and crews of its failures and planned maintenance |
| site / Crews / crew | Waiting machines, People, BusyTime in seconds of finished jobs |

A line counts its own parts: with rework, branches or parallel machines no sum over machines gives these figures.  Where
each machine has a server of its own, the first of a line's servers shows the line, and the first of all the crews.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from asyncua import ua

from simulators.errors import OutOfRange
from simulators.flow import Change, Line, SetPoint, SetPoints
from simulators.flow.change import Value
from simulators.flow.crew import Crew
from simulators.server.machines import ANALOG_UNIT_RANGE, NOTIFIES, NodeNamespace, add_limits, site_of
from simulators.server.nodes import StatusCodes, status
from simulators.server.operations import Operations
from simulators.server.space import DATA_VARIABLE, FOLDER_TYPE, ORGANIZES, READ, WRITE, Variable
from simulators.server.value_writer import ValueWriter
from simulators.signals import UNITS

COUNTER, TEXT = ua.VariantType.UInt32, ua.VariantType.String
KINDS = {"number": ua.VariantType.Double, "whole": ua.VariantType.Int32, "text": TEXT}
OF_LINE: Mapping[str, tuple[str, ua.VariantType, object, str]] = {
    "entered": ("Entered", COUNTER, 0, "parts that entered the line since the start"),
    "good": ("Good", COUNTER, 0, "good parts that left the line since the start"),
    "scrap": ("Scrap", COUNTER, 0, "parts that left the line as scrap since the start"),
    "in_work": ("InWork", COUNTER, 0, "parts on the line"),
    "stalled": ("Stalled", ua.VariantType.Boolean, False, "machines wait in a circle: nothing can move any more"),
    "product": ("Product", TEXT, "", "product that entered last"),
    "order": ("Order", COUNTER, 0, "number of the order that entered last, from 1; 0 without orders"),
    "vin": ("Vin", TEXT, "", "vehicle identification number of the last good car that left"),
}
"""The variables of a line by the names of the changes that they show."""


class LinesShown:
    """The lines and crews that one server shows."""

    def __init__(self, ns: NodeNamespace, site: str, writer: ValueWriter, operations: Operations) -> None:
        self._ns = ns
        self._site = site
        self._writer = writer
        self._operations = operations
        self._lines: dict[str, tuple[Line, dict[str, Variable]]] = {}
        self._levels: list[tuple[Line, str, Variable]] = []
        self._crews: list[tuple[Crew, dict[str, Variable]]] = []
        self._points: list[tuple[SetPoint, Variable]] = []

    def add(self, lines: Sequence[Line], crews: Sequence[Crew]) -> None:
        """Add nodes for lines (whose folders may exist) and crews."""
        for line in lines:
            folder = self._folder(line.name, line.name, site_of(self._ns, self._site))
            shown = {
                key: self._variable(f"{line.name}/{name}", folder, kind, content, text)
                for key, (name, kind, content, text) in OF_LINE.items()
                if key != "vin" or line.spec.vin is not None
            }
            self._lines[line.name] = (line, shown)
            buffers = self._folder(f"{line.name}/Buffers", "Buffers", folder)
            for station in line.spec.stations:
                text = f"{line.name}/Buffers/{station.name}"
                place = self._folder(text, station.name, buffers)
                level = self._variable(f"{text}/Parts", place, COUNTER, 0, "parts in front of the station")
                self._levels.append((line, station.name, level))
        for crew in crews:
            text = f"{self._site}/Crews/{crew.name}"
            above = self._folder(f"{self._site}/Crews", "Crews", site_of(self._ns, self._site))
            node_id = self._folder(text, crew.name, above)
            busy = ua.VariantType.Double
            self._crews.append((crew, {
                "Waiting": self._variable(f"{text}/Waiting", node_id, COUNTER, 0, "machines that wait for the crew"),
                "People": self._variable(f"{text}/People", node_id, COUNTER, 0, "people in the crew"),
                "BusyTime": self._variable(f"{text}/BusyTime", node_id, busy, 0.0, "seconds of finished jobs"),
            }))  # fmt: skip

    def add_points(self, points: Iterable[SetPoint], of: SetPoints) -> None:
        """Add writable variables for set-points.  Their owners' nodes exist."""
        for point in points:
            owner, _, name = point.path.rpartition("/")
            folder = self._folder(point.path, name, self._ns.id(owner))
            kind, text = KINDS[point.kind], f"{point.path}/{point.name}"
            variable = self._ns.space.add_variable(
                self._ns.id(text), self._ns.name(point.name), folder, kind, point.read(), access=READ | WRITE,
                type_id=DATA_VARIABLE if point.kind == "text" else ANALOG_UNIT_RANGE, description=point.text,
            )  # fmt: skip
            if point.kind != "text":
                add_limits(self._ns, variable.node_id, text, UNITS[point.unit], (point.low, point.high))
            self._points.append((point, variable))
            self._operations.add_variable(variable, partial(self._set, of, point, variable))

    def _set(self, of: SetPoints, point: SetPoint, variable: Variable, value: Value) -> ua.StatusCode:
        try:
            of.set(point.path, point.name, value)
        except OutOfRange:
            return status(StatusCodes.BadOutOfRange)
        self._writer.write(variable, point.read(), of.now_s)
        return status(0)

    def publish(self, changes: Iterable[Change]) -> None:
        """Write the changes of the lines."""
        for change in changes:
            if (found := self._lines.get(change.machine)) is None or change.name not in found[1]:
                continue
            _, shown = found
            self._writer.write(shown[change.name], change.value, change.at_s)
            if change.name in ("entered", "good", "scrap"):
                counts = [variable.content for key, variable in shown.items() if key in ("entered", "good", "scrap")]
                entered, good, scrap = (count if isinstance(count, int) else 0 for count in counts)
                self._writer.write(shown["in_work"], entered - good - scrap, change.at_s)

    def write_all(self, now_s: float) -> None:
        """Write every present value."""
        for line, shown in self._lines.values():
            for key, content in (
                ("entered", line.entered), ("good", line.delivered), ("scrap", line.lost), ("in_work", line.parts),
                ("stalled", line.stalled), ("product", line.product), ("order", line.order), ("vin", line.vin),
            ):  # fmt: skip
                if key not in shown:
                    continue
                self._writer.write(shown[key], content, now_s)
        for point, variable in self._points:
            self._writer.write(variable, point.read(), now_s)
        self.sample(now_s)

    def sample(self, now_s: float) -> None:
        """Write the levels of the buffers, and what the crews do."""
        for line, station, level in self._levels:
            self._writer.write(level, len(line.buffers[station]), now_s)
        for crew, shown in self._crews:
            self._writer.write(shown["Waiting"], crew.waiting, now_s)
            self._writer.write(shown["People"], crew.people, now_s)
            self._writer.write(shown["BusyTime"], crew.worked_s, now_s)

    def _folder(self, text: str, name: str, parent: ua.NodeId) -> ua.NodeId:
        node_id = self._ns.id(text)
        if node_id not in self._ns.space.store:
            self._ns.space.add_object(
                node_id, self._ns.name(name), parent, FOLDER_TYPE, ORGANIZES, notifier=NOTIFIES if text == name else 0
            )
        return node_id

    def _variable(self, text: str, parent: ua.NodeId, kind: ua.VariantType, content: object, what: str) -> Variable:
        name = text.rpartition("/")[2]
        return self._ns.space.add_variable(
            self._ns.id(text), self._ns.name(name), parent, kind, content, description=what
        )
