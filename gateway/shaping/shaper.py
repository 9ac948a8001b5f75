"""Applies the rules: batches in, batches out, and the counts of passed, filtered and derived values."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gateway.config import SourceConfig
from gateway.model import Batch
from gateway.shaping.sample import ARRAYS, DOUBLE, FIRST_NUMBER, LAST_NUMBER, Rule, Sample
from gateway.shaping.table import Shapes, shapes_of

Values = Sequence[object] | NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Shaped:
    """A batch to store now, and the counts for the instant in which it is stored."""

    batches: tuple[Batch, ...]
    received: int
    """Values that have passed or were filtered in this step, and the rows derived from them."""
    filtered: dict[str, int] = field(default_factory=dict)
    """Filtered values, by rule."""
    derived: int = 0
    """Rows that no server sent: aggregates."""


class Shaper:
    """The rules of one source, and the state of its tags."""

    def __init__(self, source: SourceConfig) -> None:
        self._source = source
        self._shapes = shapes_of(source, ())
        self.held = 0
        """How many values are held now."""
        self.since_ticks = 0
        """Source time before which no value is held.  0 while none is held."""
        self._waiting: dict[int, Rule] = {}
        self._filtered: dict[str, int] = {}
        self._derived = 0

    def take(self, batch: Batch, now_ticks: int) -> Shaped:
        """Shape a batch.  Values released by a change of the tag table or by a gap come first, in a batch of their own.

        A batch without a matching rule is returned as the same object.
        """
        before = self.held
        first: list[Batch] = []
        if batch.tags is not self._shapes.before:
            first = self._released(self._waiting, lambda rule: rule.cut())
            self._shapes, self._waiting = shapes_of(self._source, batch.tags), {}
        elif batch.gaps:
            first = self._released(self._concerned(batch), lambda rule: rule.cut())
        shaped = self._rows(self._scaled(batch), now_ticks)
        return self._told((*first, shaped), len(batch) + before)

    def flush(self, now_ticks: int) -> Shaped:
        """The values that pass because no newer ones came."""
        due = {h: w for h, w in self._waiting.items() if w.due_ticks is not None and now_ticks >= w.due_ticks}
        before = self.held
        return self._told(self._released(due, lambda rule: rule.flush(now_ticks)), before)

    def drain(self) -> Shaped:
        """All held values, at the end."""
        before = self.held
        return self._told(self._released(self._waiting, lambda rule: rule.cut()), before)

    # -- one batch -----------------------------------------------------------------------------------------------

    def _scaled(self, batch: Batch) -> Batch:
        shapes, handles, types = self._shapes, batch.handles, batch.types
        kind = types & ~np.uint8(ARRAYS)
        wanted = shapes.is_scaled[handles] & (kind >= FIRST_NUMBER) & (kind <= LAST_NUMBER)
        if not wanted.any():
            return batch
        types = np.where(wanted, types & np.uint8(ARRAYS) | np.uint8(DOUBLE), types).astype(np.uint8)
        scales, offsets = shapes.scales[handles], shapes.offsets[handles]
        if isinstance(batch.values, np.ndarray) and wanted.all():
            with np.errstate(over="ignore"):  # a result beyond the range of a double is infinite, as for single values
                return replace(batch, types=types, values=batch.values.astype(np.float64) * scales + offsets)
        values = batch.values.tolist() if isinstance(batch.values, np.ndarray) else list(batch.values)
        for i in np.flatnonzero(wanted).tolist():
            values[i] = scaled(values[i], float(scales[i]), float(offsets[i]))
        return replace(batch, types=types, values=values)

    def _rows(self, batch: Batch, now_ticks: int) -> Batch:
        shapes = self._shapes
        if batch.tags is not shapes.tags:
            batch = replace(batch, tags=shapes.tags)
        judged = shapes.has_rule[batch.handles]
        is_past = batch.historical and self._source.backfill == "beside"  # older than the values the rules have seen
        if is_past or not judged.any():
            return batch
        rows: list[tuple[int, Sample]] = []
        for handle, sample, is_judged in zip(batch.handles.tolist(), _samples(batch, now_ticks), judged, strict=True):
            if not is_judged:
                rows.append((handle, sample))
                continue
            rule = shapes.rules[handle]
            held = rule.held
            rows += [(self._handle(handle, s), s) for s in rule.take(sample, now_ticks)]
            self._note(handle, rule, held, sample.ticks)
        return _with_rows(batch, rows)

    def _handle(self, handle: int, sample: Sample) -> int:
        if not sample.column:
            return handle
        self._derived += 1
        return self._shapes.aggregates[handle] + sample.column - 1

    def _note(self, handle: int, rule: Rule, held: int, ticks: int) -> None:
        self.held += rule.held - held
        for name, count in rule.filtered().items():
            self._filtered[name] = self._filtered.get(name, 0) + count
        if rule.held:
            self._waiting[handle] = rule
            self.since_ticks = self.since_ticks or ticks
        else:
            self._waiting.pop(handle, None)
        if not self.held:
            self.since_ticks = 0

    # -- what is held --------------------------------------------------------------------------------------------

    def _concerned(self, batch: Batch) -> dict[int, Rule]:
        """The rules that a gap interrupts: their held values, and the values they compare with."""
        if any(not gap.handles for gap in batch.gaps):
            return self._shapes.rules
        handles = {h for gap in batch.gaps for h in gap.handles}
        return {h: self._shapes.rules[h] for h in handles & self._shapes.rules.keys()}

    def _released(self, rules: dict[int, Rule], release: Callable[[Rule], list[Sample]]) -> list[Batch]:
        rows: list[tuple[int, Sample]] = []
        for handle, rule in sorted(rules.items()):
            held = rule.held
            rows += [(self._handle(handle, s), s) for s in release(rule)]
            self._note(handle, rule, held, 0)
        if not rows:
            return []
        return [_with_rows(_empty(self._source.name, self._shapes), rows)]

    def _told(self, batches: Iterable[Batch], fates_open: int) -> Shaped:
        """`fates_open`: how many values were held before this step, plus those that came with it."""
        filtered, self._filtered = self._filtered, {}
        derived, self._derived = self._derived, 0
        return Shaped(tuple(batches), fates_open - self.held + derived, filtered, derived)


def scaled(value: object, scale: float, offset: float) -> object:
    """A number, or each number of an array, times `scale` plus `offset`, as double.  Null stays null."""
    if isinstance(value, list):
        return [scaled(v, scale, offset) for v in value]
    return float(value) * scale + offset if isinstance(value, int | float) else value


def _samples(batch: Batch, now_ticks: int) -> list[Sample]:
    values = batch.values.tolist() if isinstance(batch.values, np.ndarray) else batch.values
    given = np.where(batch.source_ticks > 0, batch.source_ticks, batch.server_ticks)
    ticks = np.where(given > 0, given, now_ticks)
    columns = (batch.statuses, batch.types, batch.source_ticks, batch.server_ticks)
    rows = zip(ticks.tolist(), values, *(c.tolist() for c in columns), strict=True)
    if batch.time_sources is None:
        return [Sample(*row) for row in rows]
    sources = batch.time_sources.tolist()
    return [Sample(*row)._replace(time_source=source) for row, source in zip(rows, sources, strict=True)]


def _with_rows(batch: Batch, rows: list[tuple[int, Sample]]) -> Batch:
    samples = [sample for _, sample in rows]
    sources = [sample.time_source for sample in samples]
    return replace(
        batch,
        handles=np.array([handle for handle, _ in rows], np.uint32),
        types=np.array([s.type for s in samples], np.uint8),
        values=[s.value for s in samples],
        statuses=np.array([s.status for s in samples], np.uint32),
        source_ticks=np.array([s.source_ticks for s in samples], np.int64),
        server_ticks=np.array([s.server_ticks for s in samples], np.int64),
        time_sources=None if not any(sources) else np.array(sources, np.uint8),
    )


def _empty(source: str, shapes: Shapes) -> Batch:
    none = np.zeros(0, np.int64)
    return Batch(source, shapes.tags, none, none, [], none, none, none)  # type: ignore[arg-type]  # columns are filled in later
