"""`/metrics/tags`: the last values of chosen variables as gauges, on a page of its own.

For people who have Prometheus and nothing else yet.  The page is off unless a selection says `metric: true`, and its
size has a limit.  Tags beyond the limit are counted (`gateway_series_left_out`) and logged once.  The page shows only
numbers, as consumers get them: scaled, shaped, renamed.  A value with a bad status is NaN.  A server that is away has
no values.  Values from a server's history are never shown, since they are older than the shown ones.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.config import Config, SourceConfig
from gateway.metrics.machines import MachineSeries
from gateway.model import Batch, Tag

FIRST_NUMBER, LAST_NUMBER = 1, 11
"""Boolean to Double among the built-in types (Part 6, 5.1.2): the types a gauge can show."""
BAD = 0x8000_0000
_OURS = ("source", "tag", "unit")


@dataclass(slots=True)
class _Chosen:
    """The shown tags of one source."""

    selections: frozenset[int]
    is_up: Callable[[], bool]
    tags: Sequence[Tag] = ()
    labels: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """The labels of the shown tags, by handle."""
    is_shown: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    values: dict[int, float] = field(default_factory=dict)
    """The last values by handle."""
    left_out: int = 0


class TagGauges(Collector):
    """The page, in its own registry."""

    def __init__(self, config: Config, left_out: Gauge) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.machines = MachineSeries()
        self.registry.register(self.machines)
        self._left_out = left_out
        self._sources: dict[str, _Chosen] = {}
        self.configure(config)
        self._log = structlog.get_logger("gateway.metrics")

    def configure(self, config: Config) -> None:
        """Take limit and labels of a configuration, and choose the shown tags anew."""
        self._most = config.http.max_tags
        self._fields = sorted({name for source in config.sources for name in _fields(source)} - set(_OURS))
        for chosen in self._sources.values():
            chosen.tags, chosen.labels, chosen.values = (), {}, {}

    def forget(self, source: str) -> None:
        """Remove a source from the page."""
        self._sources.pop(source, None)
        self.machines.forget(source)
        self._count()

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "gateway_tag_value",
            "Last value of a chosen variable; NaN while its status is bad.",
            labels=[*_OURS, *self._fields],
        )
        for chosen in self._sources.values():
            if chosen.is_up():
                for handle, value in chosen.values.items():
                    family.add_metric(chosen.labels[handle], value)
        yield family

    def watching(self, source: SourceConfig, is_up: Callable[[], bool]) -> Callable[[Batch], None] | None:
        """What is to see the batches of a source; None when nothing of it was chosen."""
        self.forget(source.name)
        selections = frozenset(n for n, selection in enumerate(source.select) if selection.metric)
        by_role = self.machines.watching(source)
        if not selections:
            return by_role
        self._sources[source.name] = _Chosen(selections, is_up)
        if by_role is None:
            return self.take

        def both(batch: Batch) -> None:
            self.take(batch)
            by_role(batch)

        return both

    def take(self, batch: Batch) -> None:
        """Note the last value of each chosen tag."""
        chosen = self._sources.get(batch.source)
        if chosen is None:  # the source was removed while the batch was on its way
            return
        if batch.tags is not chosen.tags:
            self._choose(batch.source, chosen, batch.tags)
        if batch.historical or not len(batch.handles):
            return
        numbers = (batch.types >= FIRST_NUMBER) & (batch.types <= LAST_NUMBER)
        for row in np.flatnonzero(chosen.is_shown[batch.handles]).tolist():
            handle, value = int(batch.handles[row]), batch.values[row]
            if batch.statuses[row] & BAD:
                if handle in chosen.values:
                    chosen.values[handle] = np.nan
            elif numbers[row]:
                chosen.values[handle] = float(value)  # type: ignore[arg-type]  # its type is numeric

    def _choose(self, source: str, chosen: _Chosen, tags: Sequence[Tag]) -> None:
        """Choose the shown tags of a new tag table, within the limit that other sources leave."""
        room = self._most - sum(len(other.labels) for name, other in self._sources.items() if name != source)
        wanted = [handle for handle, tag in enumerate(tags) if tag.selection in chosen.selections]
        taken: dict[tuple[str, ...], int] = {}
        for handle in wanted:
            if len(taken) < room:
                taken.setdefault(self._labels(source, tags[handle]), handle)
        known = {chosen.labels[handle]: value for handle, value in chosen.values.items()}
        chosen.tags = tags
        chosen.labels = {handle: labels for labels, handle in taken.items()}
        chosen.values = {handle: known[labels] for handle, labels in chosen.labels.items() if labels in known}
        chosen.is_shown = np.zeros(len(tags), np.bool_)
        chosen.is_shown[list(chosen.labels)] = True
        self._tell(source, chosen, [tags[handle].node_id for handle in wanted if handle not in chosen.labels])

    def _tell(self, source: str, chosen: _Chosen, missing: Sequence[str]) -> None:
        if missing and len(missing) != chosen.left_out:
            why = "more than http.max_tags, or several with the same name and fields"
            self._log.warning("chosen tags are not shown", source=source, count=len(missing), first=missing[0], why=why)
        chosen.left_out = len(missing)
        self._count()

    def _count(self) -> None:
        self._left_out.set(sum(each.left_out for each in self._sources.values()))

    def _labels(self, source: str, tag: Tag) -> tuple[str, ...]:
        return (source, tag.name, tag.unit or "", *(tag.fields.get(name, "") for name in self._fields))


def _fields(source: SourceConfig) -> set[str]:
    """The names of the fields that chosen tags of a source may have."""
    chosen = [selection for selection in source.select if selection.metric]
    shapes = [shape for selection in chosen if (shape := selection.shape or source.shape) is not None]
    given: list[Mapping[str, str]] = [source.fields, *(s.fields for s in chosen), *(s.fields for s in shapes)]
    names = {name for names in given for name in names} | {level for s in chosen for level in s.levels}
    return names if chosen else set()
