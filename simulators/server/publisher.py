"""From the flow to the variables: what changed is written, what drifts is sampled, and both are recorded.

Changes (state, counters, cycle times) are written one by one, in the order in which they happened, each with the
simulated instant at which it happened: none is merged with the next, at any speed.  Signals and energy are functions of
simulated time; they are sampled at a rate in *wall* time, so a factory at 1000 x does not send 1000 x as many samples.
A value equal to the last one written is not written again.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from simulators.flow import Change
from simulators.server.machines import MachineNodes, title
from simulators.server.record import Recorder
from simulators.server.space import Space, Variable
from simulators.states import State

STATE_NUMBERS = {state.value: number for number, state in enumerate(State)}
"""The value of StateNumber by the value of State."""
VARIABLES = {"state": "State", "good": "Good", "scrap": "Scrap", "cycle_s": "CycleTime", "fault": "Fault"}
"""Which variable shows which change; changes of other names are not served."""


class Publisher:
    """Writes what one server serves."""

    def __init__(
        self, space: Space, machines: Mapping[str, MachineNodes], epoch: datetime, uri: str, recorder: Recorder
    ) -> None:
        self._space = space
        self._machines = machines
        self._epoch = epoch
        self._recorder = recorder
        self._uri = uri
        self._last: dict[str, tuple[object, int]] = {}

    def instant(self, at_s: float) -> datetime:
        """The moment a simulated time stands for."""
        return self._epoch + timedelta(seconds=at_s)

    def write(self, variable: Variable, content: object, at_s: float, code: int = 0) -> None:
        """Write one value, unless it is the one that is there."""
        if self._last.get(variable.text) == (content, code):
            return
        self._last[variable.text] = (content, code)
        source_time = self.instant(at_s)
        self._recorder.add(self._named(variable), content, source_time, code)
        self._space.write(variable, content, source_time, datetime.now(UTC), code)

    def _named(self, variable: Variable) -> str:
        """The node id with the namespace URI, which stays when the index changes."""
        return f"nsu={self._uri};{variable.text.partition(';')[2]}"

    def publish(self, changes: Iterable[Change]) -> None:
        """Write changes of the flow; those of machines that another server shows are left out."""
        for change in changes:
            nodes = self._machines.get(change.machine)
            if nodes is not None:
                self._publish_one(nodes, change)

    def _publish_one(self, nodes: MachineNodes, change: Change) -> None:
        name = VARIABLES.get(change.name)
        if name is None:
            return
        self.write(nodes.variables[name], change.value, change.at_s)
        if name == "State":
            self.write(nodes.variables["StateNumber"], STATE_NUMBERS[str(change.value)], change.at_s)

    def sample(self, now_s: float) -> None:
        """Write the present value of everything that is a function of time."""
        for nodes in self._machines.values():
            machine = nodes.machine
            self.write(nodes.variables["Energy"], machine.energy_j(now_s), now_s)
            for name, signal in machine.signals.items():
                self.write(nodes.variables[title(name)], signal.value(now_s), now_s)

    def publish_all(self, now_s: float) -> None:
        """Write everything as it stands: the first values, before the first client comes."""
        for nodes in self._machines.values():
            machine, variables = nodes.machine, nodes.variables
            self.write(variables["State"], machine.state.value, now_s)
            self.write(variables["StateNumber"], STATE_NUMBERS[machine.state.value], now_s)
            self.write(variables["Good"], machine.good, now_s)
            self.write(variables["Scrap"], machine.scrap, now_s)
            self.write(variables["CycleTime"], 0.0, now_s)
            self.write(variables["Fault"], "", now_s)
            self.write(variables["IdealCycleTime"], machine.ideal_cycle_s, now_s)
        self.sample(now_s)
