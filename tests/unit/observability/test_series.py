"""Our light series look on the page exactly as those of the library would."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from gateway.metrics.series import Counts, Levels, Spreads

LABELS = ("source", "what")
BOUNDS = (0.5, 1, 2.5)


def test_a_page_of_light_series_is_that_of_the_library() -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    pairs: Any = (
        (Counts(ours, "c", "Text.", *LABELS), Counter("c", "Text.", LABELS, registry=theirs)),
        (Levels(ours, "l", "Text.", *LABELS), Gauge("l", "Text.", LABELS, registry=theirs)),
        (
            Spreads(ours, "s", "Text.", *LABELS, buckets=BOUNDS),
            Histogram("s", "Text.", LABELS, buckets=BOUNDS, registry=theirs),
        ),
    )
    Counts(ours, "alone", "Text.")
    Counter("alone", "Text.", registry=theirs)
    for counts, levels, spreads in zip(*pairs, strict=True):
        for labels in (("a", "x"), ("a", "y"), ('b"\n', "x"), ("gone", "x")):
            counts.labels(*labels).inc()
            counts.labels(*labels).inc(2.5)
            levels.labels(*labels).set(float("nan"))
            for value in (0.0, 0.5, 0.6, 1.0, 2.5, 2.6, 1e9):
                spreads.labels(*labels).observe(value)
        for family in (counts, levels, spreads):
            family.remove_by_labels({"source": "gone"})
    assert generate_latest(ours) == generate_latest(theirs)


def test_one_name_is_registered_once_and_labels_are_complete() -> None:
    registry = CollectorRegistry()
    family = Counts(registry, "c", "Text.", *LABELS)
    with pytest.raises(ValueError, match="Duplicated"):
        Counts(registry, "c", "Text.", *LABELS)
    with pytest.raises(ValueError, match="has the labels"):
        family.labels("a")
