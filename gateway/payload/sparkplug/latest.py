"""The latest value of each metric, for births.

Batches are noted as they are and evaluated when a birth asks, or when they have become many: of a thousand rows of one
metric only the last one is looked at.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.model import Batch

MOST_ROWS = 100_000
"""How many rows wait for their evaluation, at most: some megabytes."""
_MOST_BATCHES = 500


class Row(NamedTuple):
    """One value with what belongs to it."""

    kind: int
    """The built-in type with its flags; 0: null."""
    value: object
    status: int
    ticks: int


class Latest:
    """The values of all devices of an edge node, by alias."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._pending: list[tuple[Batch, NDArray[np.uint64]]] = []
        self._waiting = 0

    def note(self, batch: Batch, aliases: NDArray[np.uint64]) -> None:
        """These values came; `aliases` has the alias of each handle.  Values of a history are not the latest."""
        if batch.historical or not len(batch):
            return
        self._pending.append((batch, aliases))
        self._waiting += len(batch)
        if self._waiting > MOST_ROWS or len(self._pending) > _MOST_BATCHES:
            self._evaluate()

    def get(self, alias: int) -> Row | None:
        """None: it has had no value in this process."""
        if self._pending:
            self._evaluate()
        return self._rows.get(alias)

    def _evaluate(self) -> None:
        pending, self._pending, self._waiting = self._pending, [], 0
        tables = {id(aliases): aliases for _, aliases in pending}
        size = 1 + max(int(aliases.max()) for aliases in tables.values())
        seen, found = np.zeros(size, np.bool_), dict[int, Row]()
        for batch, aliases in reversed(pending):
            if id(aliases) not in tables:
                continue  # all its metrics are found
            of_row = aliases[batch.handles]
            known = seen[of_row]
            if known.all():
                continue
            fresh = np.flatnonzero(~known)[::-1]
            last, places = np.unique(of_row[fresh], return_index=True)
            seen[last] = True
            one = batch.rows(fresh[places])
            values = one.values.tolist() if isinstance(one.values, np.ndarray) else one.values
            columns = one.types.tolist(), values, one.statuses.tolist(), one.source_ticks.tolist()
            found.update(zip(last.tolist(), map(Row, *columns), strict=True))
            if seen[aliases].all():
                del tables[id(aliases)]
        self._rows |= found
