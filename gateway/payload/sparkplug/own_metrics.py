"""The metrics of the edge node itself: facts that stay, and figures of the gateway, which NDATA tells when they change.

Their aliases are their places, behind that of `bdSeq`.
"""

from collections.abc import Callable, Mapping, Sequence

from gateway.payload.sparkplug.births import BD_SEQ_ALIAS, LONG_VALUE
from gateway.payload.sparkplug.wire import metric_of, number_field

Figures = Callable[[], Mapping[str, int]]


class OwnMetrics:
    """Those of one session."""

    def __init__(self, facts: Sequence[tuple[str, str]], figures: Figures) -> None:
        """`figures` always has the same names, in the same order."""
        self._facts = facts
        self._figures = figures
        self._told: Mapping[str, int] = {}

    def birth(self) -> Sequence[tuple[str, str | int]]:
        """All of them, for NBIRTH."""
        self._told = dict(self._figures())
        return (*self._facts, *self._told.items())

    def changes(self, now_ms: int) -> bytes:
        """The metrics of an NDATA: figures that are no longer what was told last.  Empty: none."""
        before, now, found = self._told, dict(self._figures()), b""
        for alias, (name, value) in enumerate(now.items(), BD_SEQ_ALIAS + 1 + len(self._facts)):
            if value != before.get(name):
                found += metric_of(alias, now_ms, number_field(LONG_VALUE, value))
        self._told = now
        return found
