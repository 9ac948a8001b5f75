"""The one way in which values reach variables: once if they differ, recorded, remembered, and with both timestamps."""

from datetime import UTC, datetime, timedelta

from asyncua import ua

from simulators.server.history import History
from simulators.server.items import BAD, same
from simulators.server.nodes import AttributeIds
from simulators.server.record import Recorder
from simulators.server.space import Space, Variable


class Sender:
    """Writes the variables of one server."""

    def __init__(self, space: Space, epoch: datetime, uris: list[str], recorder: Recorder) -> None:
        """`epoch` is the instant of simulated time 0; `uris` are the server's namespaces, by index."""
        self._space = space
        self._epoch = epoch
        self._uris = uris
        self._recorder = recorder
        self.history = History(space)
        self._seen: set[ua.NodeId] = set()
        self._recorded: set[ua.NodeId] = set()
        self.offset = timedelta(0)
        """How wrong the clock of this server is: a fault may set it."""

    def instant(self, at_s: float) -> datetime:
        """The moment that a simulated time stands for."""
        return self._epoch + timedelta(seconds=at_s)

    def write(self, variable: Variable, content: object, at_s: float, code: int = 0) -> None:
        """Write one value as of a simulated time, unless it is the one that is there."""
        self.write_at(variable, content, self.instant(at_s), code)

    def write_at(self, variable: Variable, content: object, source_time: datetime, code: int = 0) -> None:
        """Write one value as of an instant, unless it is the one that is there."""
        if same(variable.slot.value, content, code) and variable.node_id in self._seen:
            return
        self._seen.add(variable.node_id)
        self._send(variable, content, source_time, code)

    def _send(self, variable: Variable, content: object, source_time: datetime, code: int) -> None:
        server_time = datetime.now(UTC)
        if self.offset:
            source_time, server_time = source_time + self.offset, server_time + self.offset
        self._recorder.written += 1
        if self._recorder.keeps:
            self._recorded.add(variable.node_id)
            self._recorder.add(self.name_of(variable.node_id), content if code < BAD else None, source_time, code)
        written = self._space.write(variable, content, source_time, server_time, code)
        self.history.add(variable, written)

    def name_of(self, node_id: ua.NodeId) -> str:
        """The node id as text with the namespace URI, which stays when the index changes."""
        return f"nsu={self._uris[node_id.NamespaceIndex]};{node_id.to_string().partition(';')[2]}"

    def record_rest(self, namespace: int) -> None:
        """Record every variable that has not been recorded with the value it holds."""
        if not self._recorder.keeps:
            return
        for node_id, node in self._space.nodes_of(namespace):
            slot = node.attributes.get(AttributeIds.Value)
            if slot is None or slot.value is None or node_id in self._recorded:
                continue
            held = slot.value
            value = held.Value.Value if held.Value else None
            code = held.StatusCode.value if held.StatusCode else 0
            self._recorder.add(self.name_of(node_id), value, held.SourceTimestamp or self._epoch, code)
