"""`/metrics/tags`: the chosen numbers, and nothing else, up to the cap."""

import math
from dataclasses import replace

import numpy as np
from prometheus_client import generate_latest

from gateway.config import Config
from gateway.metrics import Metrics
from gateway.metrics.tags import TagGauges
from gateway.model import Batch, Tag

BOOLEAN, DOUBLE, STRING, DATE_TIME = 1, 11, 12, 13
TAGS = tuple(
    Tag(name, f"s={name}", {"site": "hall", "machine": machine}, "°C" if name == "Temperature" else None, selection)
    for machine, name, selection in (
        ("press", "Temperature", 0), ("press", "Running", 0), ("press", "Program", 0), ("oven", "Temperature", 0),
        ("oven", "Secret", 1),
    )
)  # fmt: skip


class Page:
    """The page of one source `line` with two selections, the first of them chosen."""

    def __init__(self, most: int = 1000) -> None:
        select = [{"subtree": "s=a", "levels": ["machine"], "metric": True}, {"subtree": "s=b", "levels": ["machine"]}]
        source = {"name": "line", "url": "opc.tcp://x", "insecure": True, "fields": {"site": "hall"}, "select": select}
        raw = {"sources": [source], "broker": {"url": "mqtt://x"}, "payload": {"topic": "{site}/{machine}"},
               "http": {"max_tags": most}}  # fmt: skip
        config = Config.model_validate(raw)
        self.metrics, self.is_up = Metrics(), True
        self.gauges = TagGauges(config, self.metrics.left_out.labels("tags"))
        self._watch = self.gauges.watching(config.sources[0], lambda: self.is_up)

    def take(
        self, *rows: tuple[int, int, object], status: int = 0, historical: bool = False, tags: tuple[Tag, ...] = TAGS
    ) -> None:
        """Rows of (handle, type, value)."""
        handles, types, values = zip(*rows, strict=True)
        ticks = np.ones(len(rows), np.int64)
        batch = Batch(
            "line", tags, np.array(handles, np.uint32), np.array(types, np.uint8), list(values),
            np.full(len(rows), status, np.uint32), ticks, ticks,
        )  # fmt: skip
        assert self._watch is not None
        self._watch(replace(batch, historical=historical))

    def value(self, machine: str, tag: str, unit: str = "") -> float | None:
        labels = {"source": "line", "tag": tag, "unit": unit, "site": "hall", "machine": machine}
        return self.gauges.registry.get_sample_value("gateway_tag_value", labels)

    @property
    def left_out(self) -> float | None:
        return self.metrics.registry.get_sample_value("gateway_series_left_out", {"page": "tags"})


def test_the_last_numbers_of_chosen_tags_are_shown() -> None:
    page = Page()
    page.take((0, DOUBLE, 20.5), (1, BOOLEAN, True), (3, DOUBLE, 180.0), (4, DOUBLE, 1.0))
    page.take((0, DOUBLE, 21.5))
    assert page.value("press", "Temperature", "°C") == 21.5
    assert page.value("press", "Running") == 1
    assert page.value("oven", "Temperature", "°C") == 180
    assert page.value("oven", "Secret") is None
    assert page.left_out == 0


def test_values_that_are_not_numbers_are_not_shown() -> None:
    page = Page()
    page.take((2, STRING, "7"), (0, DATE_TIME, 7))
    assert b"gateway_tag_value{" not in generate_latest(page.gauges.registry)


def test_a_bad_value_is_not_a_number_and_an_old_one_changes_nothing() -> None:
    page = Page()
    page.take((0, DOUBLE, 20.5))
    page.take((0, DOUBLE, 1.0), historical=True)
    assert page.value("press", "Temperature", "°C") == 20.5
    page.take((0, DOUBLE, 20.5), status=0x8000_0000)
    assert math.isnan(page.value("press", "Temperature", "°C") or 0.0)


def test_a_server_that_is_away_shows_nothing() -> None:
    page = Page()
    page.take((0, DOUBLE, 20.5))
    page.is_up = False
    assert page.value("press", "Temperature", "°C") is None


def test_beyond_the_cap_tags_are_left_out_and_counted() -> None:
    page = Page(most=1)
    page.take((0, DOUBLE, 20.5), (3, DOUBLE, 180.0))
    assert page.value("press", "Temperature", "°C") == 20.5
    assert page.value("oven", "Temperature", "°C") is None
    assert page.left_out == 3


def test_a_table_that_changes_keeps_what_is_known() -> None:
    page = Page()
    page.take((0, DOUBLE, 20.5), (3, DOUBLE, 180.0))
    page.take((0, DOUBLE, 181.0), tags=TAGS[3:])
    assert page.value("oven", "Temperature", "°C") == 181
    page.take((1, BOOLEAN, True), tags=TAGS)
    assert page.value("oven", "Temperature", "°C") == 181
    assert page.value("press", "Temperature", "°C") is None


def test_a_removed_source_is_not_shown_and_its_last_batch_is_ignored() -> None:
    page = Page(most=1)
    page.take((0, DOUBLE, 20.5), (3, DOUBLE, 180.0))
    page.gauges.forget("line")
    page.take((0, DOUBLE, 20.5))
    assert page.value("press", "Temperature", "°C") is None
    assert page.left_out == 0


def test_without_chosen_tags_no_batch_is_examined() -> None:
    page = Page()
    raw = {"sources": [{"name": "x", "url": "opc.tcp://x", "insecure": True, "select": [{"node": "i=1"}]}],
           "broker": {"url": "mqtt://x"}, "payload": {"topic": "t"}}  # fmt: skip
    assert page.gauges.watching(Config.model_validate(raw).sources[0], lambda: True) is None
