"""Variables that do nothing but change, for load tests: Objects / site / <entry> / <entry>-00000 …

Every change is written, each with the instant at which it was due, in the order of these instants.  The value says
which change it is (`simulators/flow/stress.py`).
"""

from collections.abc import Sequence
from heapq import heapify, heapreplace

from asyncua import ua

from simulators.flow.stress import StressTag
from simulators.server.machines import Place, site_of
from simulators.server.sender import Sender
from simulators.server.space import Variable

KINDS = {
    "bool": ua.VariantType.Boolean, "int32": ua.VariantType.Int32, "uint32": ua.VariantType.UInt32,
    "int64": ua.VariantType.Int64, "float": ua.VariantType.Float, "double": ua.VariantType.Double,
    "string": ua.VariantType.String,
}  # fmt: skip


class Load:
    """The load variables of one server."""

    def __init__(self, place: Place, sender: Sender, site: str, tags: Sequence[StressTag], now_s: float) -> None:
        self._sender = sender
        self._tags = tags
        self._variables: list[Variable] = []
        root = site_of(place, site)
        folders: dict[str, ua.NodeId] = {}
        for tag in tags:
            entry = tag.name.rpartition("-")[0]
            if entry not in folders:
                folders[entry] = place.space.add_folder(place.id(entry), place.name(entry), root)
            first = tag.value(tag.count(now_s))
            self._variables.append(
                place.space.add_variable(
                    place.id(f"{entry}/{tag.name}"), place.name(tag.name), folders[entry], KINDS[tag.type], first
                )
            )
        counts = [tag.count(now_s) + 1 for tag in tags]
        self._due = [(tag.changed_s(counts[number]), number, counts[number]) for number, tag in enumerate(tags)]
        heapify(self._due)

    def write_all(self, now_s: float) -> None:
        """Write the present values."""
        for tag, variable in zip(self._tags, self._variables, strict=True):
            self._sender.write(variable, tag.value(tag.count(now_s)), now_s)

    def publish(self, now_s: float) -> None:
        """Write every change that was due up to a simulated time."""
        due, tags = self._due, self._tags
        while due and due[0][0] <= now_s:
            at_s, number, count = due[0]
            tag = tags[number]
            heapreplace(due, (tag.changed_s(count + 1), number, count + 1))
            self._sender.write(self._variables[number], tag.value(count), at_s)
