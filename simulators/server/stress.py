"""Variables for load tests, which only change: Objects / site / <entry> / <entry>-00000 …

Every change is written, in order, each with the instant at which it was due.  The value tells the number of the change
(`simulators/flow/stress.py`).
"""

import time
from collections.abc import Sequence
from heapq import heapify, heapreplace

from asyncua import ua

from simulators.flow.stress import StressTag
from simulators.server.machines import NodeNamespace, site_of
from simulators.server.space import Variable
from simulators.server.value_writer import ValueWriter

BUDGET_S = 0.1
CHECK_EVERY = 256
"""Writes between two readings of the clock."""
KINDS = {
    "bool": ua.VariantType.Boolean, "int32": ua.VariantType.Int32, "uint32": ua.VariantType.UInt32,
    "int64": ua.VariantType.Int64, "float": ua.VariantType.Float, "double": ua.VariantType.Double,
    "string": ua.VariantType.String,
}  # fmt: skip


class Load:
    """The load variables of one server."""

    def __init__(
        self, ns: NodeNamespace, writer: ValueWriter, site: str, tags: Sequence[StressTag], now_s: float
    ) -> None:
        self._writer = writer
        self._tags = tags
        self.variables: list[Variable] = []
        root = site_of(ns, site)
        folders: dict[str, ua.NodeId] = {}
        for tag in tags:
            entry = tag.name.rpartition("-")[0]
            if entry not in folders:
                folders[entry] = ns.space.add_folder(ns.id(entry), ns.name(entry), root)
            first = tag.value(tag.count(now_s))
            self.variables.append(
                ns.space.add_variable(
                    ns.id(f"{entry}/{tag.name}"), ns.name(tag.name), folders[entry], KINDS[tag.type], first
                )
            )
        counts = [tag.count(now_s) + 1 for tag in tags]
        self._due = [(tag.changed_s(counts[number]), number, counts[number]) for number, tag in enumerate(tags)]
        heapify(self._due)

    def write_all(self, now_s: float) -> None:
        """Write the present values."""
        for tag, variable in zip(self._tags, self.variables, strict=True):
            self._writer.write(variable, tag.value(tag.count(now_s)), now_s)

    def publish(self, now_s: float) -> None:
        """Write the changes that were due up to `now_s`, for at most `BUDGET_S` of wall time.

        The rest is written next time: a computer that is too slow falls behind, but still answers.
        """
        due, tags, began_s, written = self._due, self._tags, time.monotonic(), 0
        while due and due[0][0] <= now_s:
            written += 1
            if not written % CHECK_EVERY and time.monotonic() - began_s > BUDGET_S:
                return
            at_s, number, count = due[0]
            tag = tags[number]
            heapreplace(due, (tag.changed_s(count + 1), number, count + 1))
            self._writer.write(self.variables[number], tag.value(count), at_s)

    def behind_s(self, now_s: float) -> float:
        """How late the oldest unwritten change is, in seconds of simulated time."""
        return max(0.0, now_s - self._due[0][0]) if self._due else 0.0
