"""The only way for values to reach variables: written when different, recorded, remembered, with both timestamps.

Faults of values act here: the true value passes the active distortions, and their result is written and recorded.
"""

from datetime import UTC, datetime, timedelta

from asyncua import ua
from asyncua.server.address_space import AttributeValue

from simulators.server.distortion import Distortion, ServedValue
from simulators.server.history import History
from simulators.server.items import BAD
from simulators.server.nodes import AttributeIds
from simulators.server.record import Recorder
from simulators.server.space import Space, Variable


class ValueWriter:
    """Writes the variables of one server."""

    def __init__(self, space: Space, epoch: datetime, uris: list[str], recorder: Recorder) -> None:
        """`epoch`: the instant of simulated time 0.  `uris`: the server's namespaces, by index."""
        self._space = space
        self._epoch = epoch
        self._uris = uris
        self._recorder = recorder
        self.history = History(space)
        self.distortions: list[Distortion] = []
        self.offset = timedelta(0)
        """The error of this server's clock."""
        self._truth: dict[AttributeValue, tuple[Variable, ServedValue]] = {}
        """By the slot of the variable, whose hash is its identity: that of a node id is a call, as is its equality."""
        self._recorded: dict[AttributeValue, str] = {}
        """The name of each variable that is in the record."""

    def instant(self, at_s: float) -> datetime:
        """The instant that a simulated time stands for."""
        return self._epoch + timedelta(seconds=at_s)

    def write(self, variable: Variable, content: object, at_s: float, code: int = 0) -> None:
        """Write a value with a simulated time, unless the variable shows it already."""
        self.write_at(variable, content, self.instant(at_s), code)

    def write_at(self, variable: Variable, content: object, source_time: datetime, code: int = 0) -> None:
        """Write a value with a source timestamp, unless the variable shows it already."""
        slot = variable.slot
        known = self._truth.get(slot)
        if known is not None and same(known[1], content, code):
            return
        truth = ServedValue(content, source_time, code)
        self._truth[slot] = (variable, truth)
        if self.distortions:
            self._send(variable, truth)
        else:
            self._write(variable, truth)

    def _send(self, variable: Variable, truth: ServedValue) -> None:
        if not self.distortions:
            self._write(variable, truth)
            return
        name, shown = str(variable.node_id.Identifier), truth
        for distortion in self.distortions:
            if distortion.fits(name):
                changed = distortion.apply(name, shown)
                if changed is None:
                    return
                shown = changed
        if not shows(variable, shown):
            self._write(variable, shown)

    def _write(self, variable: Variable, shown: ServedValue) -> None:
        content, source_time, code = shown
        server_time = datetime.now(UTC)
        if self.offset:
            source_time, server_time = source_time + self.offset, server_time + self.offset
        self._recorder.written += 1
        if self._recorder.keeps:
            name = self._recorded.get(variable.slot)
            if name is None:
                name = self._recorded[variable.slot] = self.name_of(variable.node_id)
            self._recorder.add(name, content if code < BAD else None, source_time, code)
        self.history.add(variable, self._space.write(variable, content, source_time, server_time, code))

    def fitting(self, distortion: Distortion) -> list[Variable]:
        """The variables that a distortion affects."""
        return [v for v, _ in self._truth.values() if distortion.fits(str(v.node_id.Identifier))]

    def show_again(self, variables: list[Variable], source_time: datetime) -> None:
        """Write the true values of some variables again, through the distortions that are active now."""
        for variable in variables:
            content, known_time, code = self._truth[variable.slot][1]
            truth = ServedValue(content, max(source_time, known_time), code)
            if self.distortions or not shows(variable, truth):
                self._send(variable, truth)

    def announce(self, variable: Variable, source_time: datetime, code: int) -> None:
        """Write a status in place of the true value."""
        self._write(variable, ServedValue(None, source_time, code))

    def name_of(self, node_id: ua.NodeId) -> str:
        """The node id as text with the namespace URI, which stays the same when the index changes."""
        return f"nsu={self._uris[node_id.NamespaceIndex]};{node_id.to_string().partition(';')[2]}"

    def record_rest(self, namespace: int) -> None:
        """Record every variable that was not recorded yet, with its present value."""
        if not self._recorder.keeps:
            return
        for node_id, node in self._space.nodes_of(namespace):
            slot = node.attributes.get(AttributeIds.Value)
            if slot is None or slot.value is None or slot in self._recorded:
                continue
            held = slot.value
            value = held.Value.Value if held.Value else None
            code = held.StatusCode.value if held.StatusCode else 0
            self._recorder.add(self.name_of(node_id), value, held.SourceTimestamp or self._epoch, code)


def shows(variable: Variable, shown: ServedValue) -> bool:
    """Whether the variable already has this value and status, so that no subscriber would be notified."""
    held = variable.slot.value
    if held is None or held.StatusCode is None:
        return False
    return same(ServedValue(variable.content, shown.source_time, held.StatusCode.value), shown.content, shown.code)


def same(known: ServedValue, content: object, code: int) -> bool:
    """Whether value and status equal the known ones.  Two NaN are equal; a bad status carries no value."""
    if known.code != code:
        return False
    before = known.content
    if before == content or code >= BAD:
        return True
    return isinstance(before, float) and isinstance(content, float) and before != before and content != content
