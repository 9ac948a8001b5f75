"""Roles: variables of real machines become the series that rules, alerts and dashboards read."""

from typing import Any

import numpy as np
import pytest

from gateway.config import Config
from gateway.metrics import Metrics
from gateway.metrics.machines import machine_of
from gateway.metrics.tags import TagGauges
from gateway.model import Batch, Tag
from gateway.values import LocalizedText

ROLES = ("state", "good_parts", "scrap_parts", "ideal_cycle")
NAMES = ("mill/MachineryBuildingBlocks/MachineryItemState/CurrentState", "mill/Good", "mill/Scrap", "mill/Ideal")
TAGS = tuple(Tag(name, f"s={name}", {}, None, number) for number, name in enumerate(NAMES))


class Page:
    def __init__(self) -> None:
        select = [{"subtree": f"s={n}", "role": role} for n, role in enumerate(ROLES)]
        raw = {"sources": [{"name": "hall", "url": "opc.tcp://x", "insecure": True, "select": select}],
               "broker": {"url": "mqtt://x"}}  # fmt: skip
        config = Config.model_validate(raw)
        self.gauges = TagGauges(config, Metrics().left_out.labels("tags"))
        self._watch = self.gauges.watching(config.sources[0], lambda: True)

    def take(self, at_s: float, handle: int, value: object, status: int = 0) -> None:
        ticks = np.array([round(at_s * 1e7) + 10**17], np.int64)
        assert self._watch is not None
        self._watch(Batch(
            "hall", TAGS, np.array([handle], np.uint32), np.array([12], np.uint8), [value],
            np.array([status], np.uint32), ticks, ticks,
        ))  # fmt: skip

    def value(self, name: str, **labels: str) -> float | None:
        return self.gauges.registry.get_sample_value(name, {"machine": "mill", **labels})


def test_states_and_counters_of_machinery_give_the_elements_of_oee() -> None:
    page = Page()
    page.take(0, 3, 10.0)
    page.take(0, 1, 500)
    page.take(0, 2, 7)
    for at_s, state in ((0, "Executing"), (100, "NotExecuting"), (130, "OutOfService"), (150, "Executing")):
        page.take(at_s, 0, LocalizedText("en", state))
    page.take(170, 1, 508)
    page.take(180, 2, 8)
    assert page.value("factory_element_seconds_total", element="apt") == 130  # up to the newest value
    assert page.value("factory_element_seconds_total", element="pbt") == 160
    assert page.value("factory_element_seconds_total", element="care") == 20
    assert page.value("factory_element_seconds_total", element="ideal") == 90
    assert page.value("factory_parts_total", verdict="good") == 8
    assert page.value("factory_parts_total", verdict="scrap") == 1
    assert page.value("factory_machine_state", state="working") == 1
    assert page.value("factory_ideal_cycle_seconds") == 10


def test_a_counter_that_begins_again_and_a_bad_value_count_nothing_twice() -> None:
    page = Page()
    for at_s, value, status in ((0, 100, 0), (1, 110, 0), (2, 999, 0x8000_0000), (3, 4, 0), (4, 6, 0)):
        page.take(at_s, 1, value, status)
    assert page.value("factory_parts_total", verdict="good") == 10 + 4 + 2


@pytest.mark.parametrize(
    ("name", "fields", "machine"),
    [
        ("line/press/State", {}, "line/press"), ("State", {}, "hall"), ("x/State", {"machine": "p-7"}, "p-7"),
        ("f/PackML/BaseStateMachine/CurrentState", {}, "f"),
    ],
)  # fmt: skip
def test_the_machine_is_the_field_or_the_path_above_the_building_blocks(
    name: str, fields: dict[str, str], machine: str
) -> None:
    assert machine_of("hall", Tag(name, "s=x", fields, None, 0)) == machine


def test_events_have_no_role() -> None:
    source: dict[str, Any] = {"name": "x", "url": "opc.tcp://x", "insecure": True}
    source["select"] = [{"events": "i=2253", "role": "state"}]
    with pytest.raises(ValueError, match="role belongs to"):
        Config.model_validate({"sources": [source], "broker": {"url": "mqtt://x"}})
