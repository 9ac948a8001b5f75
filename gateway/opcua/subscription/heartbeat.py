"""Heartbeats: the last value is sent again after a period without change, for consumers without a memory.

Pure: the time is an argument.  A repeated row keeps its timestamps, so a consumer sees that it is not new.
"""

from collections.abc import Sequence

import numpy as np

from gateway.opcua.codec.columns import Changes
from gateway.opcua.space.selection import Item

_Row = tuple[int, object, int, int, int, int]
"""Type, value, status, ticks, server ticks, whose the ticks are."""


class Heartbeats:
    """When to repeat which variable."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._rows: dict[int, _Row] = {}
        self._due_s: dict[int, float] = {}
        self.learn(items)

    def learn(self, items: Sequence[Item]) -> None:
        """Take the present items.  Known ones keep their places."""
        self._period_s = {handle: item.asked.heartbeat_s for handle, item in enumerate(items) if item.asked.heartbeat_s}
        self._wanted = np.array([bool(item.asked.heartbeat_s) for item in items], bool)

    def note(self, changes: Changes, now_s: float) -> None:
        """These rows are sent now, so their variables need no repetition for a period."""
        if not self._period_s or not len(changes.handles):
            return
        for row in np.flatnonzero(self._wanted[changes.handles]).tolist():
            handle = int(changes.handles[row])
            value = changes.values[row]
            self._rows[handle] = (
                int(changes.types[row]),
                value.item() if isinstance(value, np.generic) else value,
                int(changes.statuses[row]),
                int(changes.source_ticks[row]),
                int(changes.server_ticks[row]),
                0 if changes.time_sources is None else int(changes.time_sources[row]),
            )
            self._due_s[handle] = now_s + self._period_s[handle]

    def wait_s(self, now_s: float, most_s: float) -> float:
        """Seconds until the next repetition, at most `most_s`."""
        if not self._due_s:
            return most_s
        return max(0.0, min([*self._due_s.values(), now_s + most_s]) - now_s)

    def due(self, now_s: float) -> Changes | None:
        """The rows to repeat now.  None: there are none."""
        handles = sorted(handle for handle, due_s in self._due_s.items() if due_s <= now_s)
        if not handles:
            return None
        for handle in handles:
            self._due_s[handle] = now_s + self._period_s[handle]
        rows = [self._rows[handle] for handle in handles]
        types, values, statuses, source_ticks, server_ticks, sources = zip(*rows, strict=True)
        return Changes(
            np.array(handles, np.uint32),
            np.array(types, np.uint8),
            list(values),
            np.array(statuses, np.uint32),
            np.array(source_ticks, np.int64),
            np.array(server_ticks, np.int64),
            time_sources=np.array(sources, np.uint8) if any(sources) else None,
        )
