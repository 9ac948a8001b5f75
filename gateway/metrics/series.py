"""Series as plain numbers, which become samples when somebody looks.

A counter of the library takes a lock and five calls for each change, and a kilobyte.  These take one call and no lock,
since the event loop alone changes them.  They are collectors of the library, so that registries and pages treat them
like its own.  What is computed when somebody looks is a gauge of the library (`gauge`).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """One series that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        self.value += amount


class Level:
    """One series that shows the last reading."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = value


class Spread:
    """One histogram: how many values were at most as large as each bound."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Values in each bucket alone, the last one above all bounds."""
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


_Series = TypeVar("_Series", Count, Level, Spread)


class Family(Collector, Generic[_Series]):
    """All series of one name, by the values of their labels."""

    def __init__(self, registry: CollectorRegistry, name: str, text: str, *labels: str) -> None:
        self._name, self._text, self._labelnames = name, text, labels
        self._series: dict[tuple[str, ...], _Series] = {}
        if not labels:
            self.labels()
        registry.register(self)

    def _new(self) -> _Series:
        raise NotImplementedError

    def labels(self, *values: str) -> _Series:
        """The series with these labels, which begins at 0."""
        if len(values) != len(self._labelnames):
            raise ValueError(f"{self._name} has the labels {self._labelnames}, not {values}")
        found = self._series.get(values)
        if found is None:
            found = self._series[values] = self._new()
        return found

    def __iter__(self) -> Iterator[_Series]:
        return iter(self._series.values())

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        """Remove all series that have these labels."""
        at = [(self._labelnames.index(name), value) for name, value in labels.items()]
        for values in [values for values in self._series if all(values[i] == value for i, value in at)]:
            del self._series[values]

    def _all(self) -> list[tuple[tuple[str, ...], _Series]]:
        return list(self._series.items())

    def describe(self) -> Iterable[Metric]:
        """What a registry asks when this is registered: the name, while there is no series yet."""
        return self.collect()


class Counts(Family[Count]):
    """Counters: the name ends with `_total` on the page."""

    def _new(self) -> Count:
        return Count()

    def collect(self) -> Iterator[Metric]:
        metric = CounterMetricFamily(self._name, self._text, labels=self._labelnames)
        for labels, series in self._all():
            metric.add_metric(labels, series.value)
        yield metric


class Levels(Family[Level]):
    """Gauges."""

    def _new(self) -> Level:
        return Level()

    def collect(self) -> Iterator[Metric]:
        metric = GaugeMetricFamily(self._name, self._text, labels=self._labelnames)
        for labels, series in self._all():
            metric.add_metric(labels, series.value)
        yield metric


class Spreads(Family[Spread]):
    """Histograms with equal bounds."""

    def __init__(
        self, registry: CollectorRegistry, name: str, text: str, *labels: str, buckets: Sequence[float]
    ) -> None:
        self._bounds = tuple(buckets)
        self._shown = [floatToGoString(bound) for bound in (*self._bounds, inf)]  # type: ignore[no-untyped-call]
        super().__init__(registry, name, text, *labels)

    def _new(self) -> Spread:
        return Spread(self._bounds)

    def collect(self) -> Iterator[Metric]:
        metric = HistogramMetricFamily(self._name, self._text, labels=self._labelnames)
        for labels, series in self._all():
            buckets = list(zip(self._shown, accumulate(series.counts), strict=True))
            metric.add_metric(labels, buckets, sum_value=series.sum)
        yield metric


def gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    """A gauge of the library, for what a function computes."""
    return Gauge(name, text, labels, registry=registry)
