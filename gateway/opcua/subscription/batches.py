"""Turns notification messages into `model.Batch`: columns, the gaps in them, and the counts."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import structlog
from numpy.typing import NDArray

from gateway.metrics import SourceMetrics
from gateway.model import TICKS_PER_SECOND, UNIX_EPOCH_TICKS, Batch, Gap
from gateway.opcua.codec.columns import Changes, read_changes, read_together
from gateway.opcua.codec.decode import DATA_CHANGE, EVENTS, Notification, Published
from gateway.opcua.codec.wire import EXTENSION_OBJECT, Dialect
from gateway.opcua.space.event_filters import MODEL_CHANGES, Event, read_events
from gateway.opcua.space.selection import Table
from gateway.opcua.space.structures import has_raw
from gateway.opcua.subscription.heartbeat import Heartbeats
from gateway.opcua.subscription.times import Wish, with_times

NOTHING = Changes(
    np.zeros(0, np.uint32), np.zeros(0, np.uint8), [], np.zeros(0, np.uint32), np.zeros(0, np.int64),
    np.zeros(0, np.int64),
)  # fmt: skip
LEAD_TICKS = 60 * TICKS_PER_SECOND
"""How far a source timestamp may be ahead of the server's clock.  History is read this far into the future."""
_HOLDING = (22, 23, 24)
"""Types in which a structure may be: ExtensionObject, DataValue, Variant."""
MOST_TOLD = 100
"""How many variables with undecodable values the log names per connection."""
SHOWN = 5
OVERFLOW = 0x480
"""InfoType DataValue and Overflow (Part 4, 7.39.1): the server's queue lost older values before this one."""


def now_ticks() -> int:
    """The wall clock in ticks."""
    return time.time_ns() // 100 + UNIX_EPOCH_TICKS


def until_ticks(since_ticks: int) -> int:
    """The end of a gap that begins at `since_ticks`."""
    return max(now_ticks(), since_ticks)


def latest_ticks(before_ticks: int, columns: Changes, server_ticks: int) -> int:
    """The latest source timestamp up to and including this batch: the beginning of a possible gap.

    Not the server's time: if a source clock is late, the missing values would lie before their gap.  Never ahead of the
    server's clock: otherwise one timestamp in the future, or a clock that was set back, would put them behind it.
    """
    if not len(columns.source_ticks):
        return min(before_ticks, server_ticks)
    latest = int(columns.source_ticks[columns.source_ticks.argmax()])
    if latest > server_ticks + LEAD_TICKS or columns.source_ticks[columns.source_ticks.argmin()] <= 0:
        ticks = np.where(columns.source_ticks > 0, columns.source_ticks, columns.server_ticks)
        ticks = ticks[ticks <= server_ticks + LEAD_TICKS]
        latest = int(ticks.max()) if len(ticks) else 0
    return min(max(before_ticks, latest), server_ticks)


class ServerClock:
    """The offset of the server's clock to ours.

    After the clock was set back, the earlier offset is kept until the clock has caught up.  Until then its times exist
    twice, and history cannot be read for them.
    """

    def __init__(self) -> None:
        self.offset_ticks = 0
        """The server's clock minus ours; 0: unknown."""
        self._peak_ticks = 0

    def begin(self, *offsets_ticks: int) -> None:
        """Start with the largest of these offsets; 0: none."""
        known = [offset for offset in offsets_ticks if offset]
        self.offset_ticks = max(known, default=0)
        self._peak_ticks = now_ticks() + self.offset_ticks if known else 0

    def note(self, server_ticks: int) -> int:
        """Note the present time of the server's clock.  Returns how far it is ahead of ours."""
        ahead = server_ticks - now_ticks()
        if server_ticks >= self._peak_ticks:
            self._peak_ticks, self.offset_ticks = server_ticks, ahead
        return ahead


class BatchBuilder:
    """Builds the batches of one source."""

    def __init__(
        self, source: str, table: Table, metrics: SourceMetrics, dialect: Dialect, *, time_source: Wish = "source"
    ) -> None:
        self._source = source
        self._time_source: Wish = time_source
        self._metrics = metrics
        self._dialect = dialect
        self._log = structlog.get_logger("gateway.opcua").bind(source=source)
        self._told_unread: set[str] = set()
        self._told: set[int] = set()
        """Handles whose undecodable values are already logged; -1 stands for unknown handles."""
        self.heartbeats = Heartbeats(table.items)
        self.model_changed = asyncio.Event()
        """Set when the server reports a change of its address space."""
        self.learn(table)

    def learn(self, table: Table) -> None:
        """Use this table from now on.  Existing handles keep their meaning in it."""
        self._tags = table.tags
        self._event_fields = [item.asked.events.fields if item.asked.events is not None else () for item in table.items]
        self.heartbeats.learn(table.items)

    def build(self, published: Published | None, gaps: tuple[Gap, ...], since_ticks: int = 0) -> Batch:
        """The batch of a message.  `published` None: only gaps.  Never raises: what cannot be read is announced.

        Missing values are later than `since_ticks`.
        """
        return self.read(self.columns(published) if published is not None else NOTHING, gaps, since_ticks)

    def columns(self, published: Published) -> Changes:
        """The content of a message.  Never raises: what cannot be read is counted."""
        return joined([self._changes(published, part) for part in published.notifications])

    def together(self, messages: Sequence[Published]) -> Changes | None:
        """The content of several messages at once.  None: each must be read alone."""
        if any(len(published.notifications) != 1 for published in messages):
            return None
        columns = read_together([(published, published.notifications[0]) for published in messages], self._dialect)
        return columns if columns is not None and (columns.handles < len(self._tags)).all() else None

    def read(
        self,
        columns: Changes,
        gaps: tuple[Gap, ...] = (),
        since_ticks: int = 0,
        *,
        tags_of: Callable[[], tuple[int, ...]] = tuple,
        checkpoint: bytes = b"",
    ) -> Batch:
        """The batch of decoded columns, with their problems announced as gaps.

        A gap without tags concerns those of `tags_of`.
        """
        self._tell_unread(columns)
        timed = with_times(columns, self._time_source, now_ticks)
        self.heartbeats.note(timed, time.monotonic())
        if columns.problem or columns.lost or columns.spoiled:
            gaps = (*gaps, *self._spoiled(columns, since_ticks))
        gaps = (*gaps, *self._overflows(columns, since_ticks))
        if gaps:
            gaps = tuple(gap if gap.handles else replace(gap, handles=tags_of()) for gap in gaps)
        return self._batch(timed, gaps, checkpoint)

    def repeated(self, columns: Changes) -> Batch:
        """The batch of a heartbeat."""
        return self._batch(columns, ())

    def historical(self, columns: Changes) -> Batch:
        """The batch of a page of history."""
        if columns.problem:
            self._metrics.undecodable.inc(columns.spoiled)
            self._tell(columns)
        self._tell_unread(columns)
        return replace(self._batch(with_times(columns, self._time_source, now_ticks), ()), historical=True)

    def _batch(self, columns: Changes, gaps: tuple[Gap, ...], checkpoint: bytes = b"") -> Batch:
        batch = Batch(
            source=self._source,
            tags=self._tags,
            handles=columns.handles,
            types=columns.types,
            values=columns.values,
            statuses=columns.statuses,
            source_ticks=columns.source_ticks,
            server_ticks=columns.server_ticks,
            gaps=gaps,
            checkpoint=checkpoint,
            time_sources=columns.time_sources,
        )
        self._count(batch)
        return batch

    def _changes(self, published: Published, part: Notification) -> Changes:
        if part.kind == DATA_CHANGE:
            return self._known(read_changes(published, part, self._dialect))
        if part.kind == EVENTS:
            events, lost, problem = read_events(published, part, self._dialect, self._event_fields)
            ours = [event for event in events if event.handle != MODEL_CHANGES]
            if len(ours) < len(events):
                self.model_changed.set()
            return columns_of(ours, lost, problem)
        return NOTHING

    def _known(self, changes: Changes) -> Changes:
        """The columns without rows of unknown handles: a server may send invented ones."""
        if not len(changes.handles) or changes.handles[changes.handles.argmax()] < len(self._tags):
            return changes
        known = changes.handles < len(self._tags)
        rows = np.flatnonzero(known)
        values = changes.values
        return Changes(
            changes.handles[rows],
            changes.types[rows],
            values[rows] if isinstance(values, np.ndarray) else [values[i] for i in rows.tolist()],
            changes.statuses[rows],
            changes.source_ticks[rows],
            changes.server_ticks[rows],
            changes.spoiled,
            changes.lost + len(known) - len(rows),
            changes.problem or "unknown client handles",
            changes.culprits,
        )

    def _spoiled(self, columns: Changes, since_ticks: int) -> list[Gap]:
        self._metrics.undecodable.inc(columns.spoiled + columns.lost)
        self._tell(columns)
        if not columns.lost and not (columns.problem and not len(columns.handles)):
            return []
        begin = [handle for handle in columns.culprits if handle < len(self._tags)][-1:]
        where = f", from {self._tags[begin[0]].name} on" if begin and columns.lost else ""
        detail = f"values that cannot be decoded{where}: {columns.problem}"
        return [Gap("undecodable", detail, since_ticks, 0, columns.lost or None)]

    def _tell(self, columns: Changes) -> None:
        """Log the variables with undecodable values, each once."""
        new = [h for h in dict.fromkeys(columns.culprits) if h not in self._told and h < len(self._tags)]
        nameless = not columns.culprits and bool(columns.problem) and -1 not in self._told
        if len(self._told) < MOST_TOLD and (new or nameless):
            self._told.update(new or [-1])
            names = [self._tags[handle].node_id for handle in new[:SHOWN]]
            self._log.warning(
                "values cannot be decoded", reason=columns.problem, variables=names, count=len(new), lost=columns.lost
            )

    def _tell_unread(self, columns: Changes) -> None:
        """Name each type of structure that nobody can decode, once, with the variables that have it now."""
        unread = self._dialect.unread
        if len(unread) == len(self._told_unread):
            return
        new = unread - self._told_unread
        self._told_unread |= new
        rows = np.flatnonzero(np.isin(columns.types & 0x3F, _HOLDING)).tolist()
        handles = dict.fromkeys(int(columns.handles[row]) for row in rows if has_raw(columns.values[row]))
        names = [self._tags[handle].node_id for handle in handles if handle < len(self._tags)]
        self._log.warning(
            "structures come as bytes: the server does not say how to read them, or not truly",
            encodings=sorted(new)[:SHOWN], count=len(new), variables=names[:SHOWN],
        )  # fmt: skip

    def _overflows(self, columns: Changes, since_ticks: int) -> list[Gap]:
        if not np.count_nonzero(columns.statuses):
            return []
        flagged = np.flatnonzero((columns.statuses & OVERFLOW) == OVERFLOW)
        if not len(flagged):
            return []
        self._metrics.overflows.inc(len(flagged))
        handles = tuple(np.unique(columns.handles[flagged]).tolist())
        ticks = columns.source_ticks[flagged]
        detail = "the server's queue overflowed between two publishes: raise queue_size or sampling_interval"
        return [Gap("server_overflow", detail, since_ticks, int(ticks.max()), None, handles)]

    def _count(self, batch: Batch) -> None:
        if not len(batch.handles):
            return
        if batch.is_good:
            self._metrics.good.inc(len(batch.statuses))
            return
        good, uncertain, bad, other = np.bincount(batch.statuses >> 30, minlength=4).tolist()
        self._metrics.good.inc(good)
        self._metrics.uncertain.inc(uncertain)
        self._metrics.bad.inc(bad + other)


def joined(changes: Sequence[Changes]) -> Changes:
    """Concatenate several notifications of one message."""
    if len(changes) == 1:
        return changes[0]
    every = [NOTHING, *changes]
    whole = [c for c in changes if c.lost or (c.problem and not len(c.handles))]
    return Changes(
        np.concatenate([c.handles for c in every]),
        np.concatenate([c.types for c in every]),
        _values_of(changes),
        np.concatenate([c.statuses for c in every]),
        np.concatenate([c.source_ticks for c in every]),
        np.concatenate([c.server_ticks for c in every]),
        sum(c.spoiled for c in changes),
        sum(c.lost for c in changes),
        next((c.problem for c in [*whole, *changes] if c.problem), ""),
        tuple(handle for c in changes for handle in c.culprits),
    )


def _values_of(changes: Sequence[Changes]) -> Sequence[object] | NDArray[np.generic]:
    arrays = [c.values for c in changes if isinstance(c.values, np.ndarray)]
    if len(arrays) == len(changes) and len({array.dtype for array in arrays}) == 1:
        return np.concatenate(arrays)
    values: list[object] = []
    for some in changes:
        values += some.values.tolist() if isinstance(some.values, np.ndarray) else some.values
    return values


def columns_of(events: Sequence[Event], lost: int, problem: str) -> Changes:
    """Events as rows: the value is a structure of the fields, the source time that of the event."""
    return Changes(
        np.array([event.handle for event in events], np.uint32),
        np.full(len(events), EXTENSION_OBJECT, np.uint8),
        [event.value for event in events],
        np.zeros(len(events), np.uint32),
        np.array([event.source_ticks for event in events], np.int64),
        np.array([event.server_ticks for event in events], np.int64),
        sum(bool(event.problem) for event in events),
        lost,
        problem or next((event.problem for event in events if event.problem), ""),
        tuple(event.handle for event in events if event.problem),
    )
