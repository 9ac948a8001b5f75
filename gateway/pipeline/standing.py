"""How the tags of one source stand: which are not good, when the newest value came, which gaps there were.

For people who look, at next to no cost while nobody does: a batch of good values costs one comparison and one count.
Only while somebody looks closely (`look`), the last value of each tag is kept as well.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gateway.model import Batch, Gap, Tag

DAY_S = 86_400.0
MOST_GAPS = 1000
"""How many gaps of one source are remembered."""
LOOKED_AT_S = 60.0
"""How long after the last look last values are kept up to date."""


@dataclass(frozen=True, slots=True)
class LastValue:
    """The last value of one tag."""

    type: int
    value: object
    status: int
    source_ticks: int
    server_ticks: int


@dataclass(slots=True)
class Seen:
    """What passed while somebody looked, by handle of the table of the source."""

    until_s: float
    since_s: float
    values: dict[int, LastValue] = field(default_factory=dict)
    arrived: dict[int, int] = field(default_factory=dict)
    passed: dict[int, int] = field(default_factory=dict)
    """By handle: how many values the rules let through."""


class Standing:
    """The tags of one source.  It outlives connections."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        on_gap: Callable[[float, Gap, tuple[str, ...]], object] = lambda at_s, gap, names: None,
    ) -> None:
        self._clock = clock
        self._on_gap = on_gap
        self.tags: Sequence[Tag] = ()
        """The table of the last batch."""
        self.seen: Seen | None = None
        self._gaps: deque[tuple[float, Gap, tuple[str, ...]]] = deque(maxlen=MOST_GAPS)
        self._statuses: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._last: Batch | None = None
        self._is_spoiled = False
        """Whether any of the statuses is not 0."""

    # -- what the gateway tells it

    def take(self, batch: Batch) -> None:
        """Note a batch as it came from the server."""
        if batch.gaps:
            now_s = self._clock()
            for gap in batch.gaps:
                self._gaps.append((now_s, gap, _names(batch.tags, gap.handles)))
                self._on_gap(*self._gaps[-1])
        if batch.historical or not len(batch.handles):
            return
        if batch.tags is not self.tags:
            self.learn(batch.tags)
        self._last = batch
        if self._is_spoiled or not batch.is_good:
            self._statuses[batch.handles] = batch.statuses
            self._is_spoiled = True
        if self.seen is not None:
            self._note(batch, self.seen)

    def pass_on(self, batch: Batch) -> None:
        """Note what the rules let through.  Its first tags are those of the source, in their order."""
        seen = self.seen
        if seen is not None and not batch.historical:
            for handle in batch.handles.tolist():
                seen.passed[handle] = seen.passed.get(handle, 0) + 1

    def learn(self, tags: Sequence[Tag]) -> None:
        """Go on with another table; a tag is known by its node."""
        before = {tag.node_id: handle for handle, tag in enumerate(self.tags)}
        statuses = np.zeros(len(tags), np.uint32)
        if self._is_spoiled:
            for handle, tag in enumerate(tags):
                if (old := before.get(tag.node_id)) is not None:
                    statuses[handle] = self._statuses[old]
        self.tags, self._statuses, self._last = tags, statuses, None
        if self.seen is not None:
            self.seen = Seen(self.seen.until_s, self._clock())

    def _note(self, batch: Batch, seen: Seen) -> None:
        if self._clock() > seen.until_s:
            self.seen = None
            return
        values = batch.values.tolist() if isinstance(batch.values, np.ndarray) else batch.values
        columns = (batch.statuses, batch.source_ticks, batch.server_ticks)
        rows = zip(batch.types.tolist(), values, *(column.tolist() for column in columns), strict=True)
        for handle, row in zip(batch.handles.tolist(), rows, strict=True):
            seen.values[handle] = LastValue(*row)
            seen.arrived[handle] = seen.arrived.get(handle, 0) + 1

    # -- what people ask

    def look(self) -> Seen:
        """Keep last values from now on, for `LOOKED_AT_S`."""
        now_s = self._clock()
        if self.seen is None:
            self.seen = Seen(0.0, now_s)
            if self._last is not None:
                self.seen.until_s = now_s + LOOKED_AT_S
                self._note(self._last, self.seen)
        self.seen.until_s = now_s + LOOKED_AT_S
        return self.seen

    def status_of(self, handle: int) -> int:
        """The last status of a tag; 0 where no value came yet."""
        return int(self._statuses[handle]) if handle < len(self._statuses) else 0

    @property
    def counts(self) -> tuple[int, int]:
        """How many tags are uncertain and bad, by their last values."""
        if not self._is_spoiled:
            return 0, 0
        self._is_spoiled = bool(np.count_nonzero(self._statuses))
        severity = self._statuses >> 30
        return int(np.count_nonzero(severity == 1)), int(np.count_nonzero(severity >= 2))

    @property
    def newest_ticks(self) -> int:
        """The newest source timestamp of the last batch, or else server timestamp.  0: none has come, or without a
        time.  It may be anything: servers invent times."""
        if self._last is None:
            return 0
        return max(int(self._last.source_ticks.max()), 0) or max(int(self._last.server_ticks.max()), 0)

    @property
    def last_gap(self) -> tuple[float, Gap] | None:
        """The last gap and its Unix time; None: there was none."""
        return self._gaps[-1][:2] if self._gaps else None

    def gaps_within(self, seconds: float = DAY_S) -> list[tuple[float, Gap, tuple[str, ...]]]:
        """The gaps of the last so many seconds, with Unix time and names of tags, oldest first."""
        since_s = self._clock() - seconds
        return [each for each in self._gaps if each[0] >= since_s]


def _names(tags: Sequence[Tag], handles: Sequence[int]) -> tuple[str, ...]:
    """The names of the first few of these tags."""
    return tuple(tags[handle].name for handle in handles[:5] if handle < len(tags))
