"""Roles: variables of real machines become the series that rules, alerts and dashboards read."""

from typing import Any

import numpy as np
import pytest

from gateway.config import Config
from gateway.metrics import Metrics
from gateway.metrics.roles import Meaning, machine_of, meanings
from gateway.metrics.tags import TagGauges
from gateway.model import Batch, Tag
from gateway.values import LocalizedText, Structure, Typed

ROLES = ("state", "good_parts", "scrap_parts", "ideal_cycle")
NAMES = ("mill/MachineryBuildingBlocks/MachineryItemState/CurrentState", "mill/Good", "mill/Scrap", "mill/Ideal")
TAGS = tuple(Tag(name, f"s={name}", {}, None, number) for number, name in enumerate(NAMES))


BASE = "filler/PackML/BaseStateMachine"
PACKML = (
    f"{BASE}/CurrentState", f"{BASE}/MachineState/CurrentState", f"{BASE}/MachineState/ExecuteState/CurrentState",
    "filler/PackML/Status/EquipmentBlocked", "filler/PackML/Admin/ProdProcessedCount",
    "filler/PackML/Admin/ProdDefectiveCount", "filler/PackML/Admin/MachDesignSpeed", "filler/Temperature",
    "filler/MachineryBuildingBlocks/MachineryItemState/CurrentState",
)  # fmt: skip
AUTO = tuple(Tag(name, f"nsu=urn:maker;s={name}", {"line": "hall-a"}, None, 0) for name in PACKML)


class Page:
    """A page of one source: variables with roles of their own, or with those that are found."""

    def __init__(self, tags: tuple[Tag, ...] = TAGS, roles: tuple[str, ...] = ROLES) -> None:
        self.tags = tags
        select = [{"subtree": f"s={n}", "role": role} for n, role in enumerate(roles)]
        raw = {"sources": [{"name": "hall", "url": "opc.tcp://x", "insecure": True, "select": select}],
               "broker": {"url": "mqtt://x"}}  # fmt: skip
        config = Config.model_validate(raw)
        self.gauges = TagGauges(config, Metrics().left_out.labels("tags"))
        self._watch = self.gauges.watching(config.sources[0], lambda: True)

    def take(self, at_s: float, handle: int, value: object, status: int = 0) -> None:
        ticks = np.array([round(at_s * 1e7) + 10**17], np.int64)
        assert self._watch is not None
        self._watch(Batch(
            "hall", self.tags, np.array([handle], np.uint32), np.array([12], np.uint8), [value],
            np.array([status], np.uint32), ticks, ticks,
        ))  # fmt: skip

    def value(self, name: str, **labels: str) -> float | None:
        return self.gauges.registry.get_sample_value(name, {"machine": "mill", "line": "hall", **labels})

    def line(self, name: str, line: str, **labels: str) -> float | None:
        return self.gauges.registry.get_sample_value(name, {"line": line, **labels})


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


def test_the_line_of_a_single_machine_has_its_parts_and_its_time() -> None:
    page = Page()
    for at_s, handle, value in ((0, 1, 100), (0, 2, 3), (60, 1, 106), (90, 2, 4)):
        page.take(at_s, handle, value)
    counts = [page.line("factory_line_parts_total", "hall", what=what) for what in ("entered", "good", "scrap")]
    assert counts == [7, 6, 1]
    assert page.line("factory_line_seconds_total", "hall") == 90


def test_packml_is_found_by_itself_with_its_nested_states_and_counts() -> None:
    page = Page(AUTO, ("auto",))

    def count(number: int) -> list[Structure]:
        return [Structure("i=1", {"Count": Typed(6, number)})]

    def value(name: str, **labels: str) -> float | None:
        return page.value(name, **{"machine": "filler", "line": "hall-a", **labels})

    for handle, content in ((4, count(10)), (5, count(1)), (6, 30.0), (0, LocalizedText("", "Cleared"))):
        page.take(0, handle, content)
    page.take(0, 1, LocalizedText("", "Running"))
    page.take(0, 2, LocalizedText("", "Execute"))
    page.take(0, 8, LocalizedText("", "NotExecuting"))  # coarser: PackML counts
    page.take(100, 5, count(3))
    page.take(100, 4, count(60))
    page.take(100, 2, LocalizedText("", "Suspended"))
    page.take(110, 3, True)
    page.take(120, 0, LocalizedText("", "Aborted"))
    page.take(150, 7, 21.5)
    spent = {state: value("factory_state_seconds_total", state=state) for state in ("starved", "blocked", "down")}
    assert spent == {"starved": 10, "blocked": 10, "down": 30}
    assert value("factory_element_seconds_total", element="apt") == 100
    assert [value("factory_parts_total", verdict=verdict) for verdict in ("good", "scrap")] == [48, 2]
    assert value("factory_element_seconds_total", element="ideal") == 50 * 2.0
    assert value("factory_failures_total") == 1


def test_good_parts_never_fall_when_scrap_is_told_before_all_parts() -> None:
    page = Page(AUTO, ("auto",))
    seen = []
    for handle, number in ((4, 0), (5, 0), (4, 5), (5, 1), (4, 6)):
        page.take(0, handle, number)
        seen.append(page.value("factory_parts_total", machine="filler", line="hall-a", verdict="good"))
    assert seen == [0, 0, 5, 5, 5]


def test_our_machines_and_lines_are_found_under_the_names_of_the_simulator() -> None:
    ours = "nsu=urn:connected-factory:simulator;s="
    names = ("eol/flash-1/State", "eol/flash-1/Good", "eol/Good", "eol/Vin", "eol/flash-1/Temperature", "eol/x/y/Good")
    tags = [*(Tag(name, ours + name) for name in names), Tag("flash/Good", "nsu=urn:other;s=eol/flash-1/Good")]
    tags.append(Tag("eol/flash-1/MachineryBuildingBlocks/OperationCounters/OperationCycleCounter", "nsu=urn:x;i=1"))
    found = meanings("graz", [(n, tag, "auto") for n, tag in enumerate(tags)])
    assert found == {
        0: Meaning("state", "eol/flash-1", "eol"),
        1: Meaning("good_parts", "eol/flash-1", "eol"),
        2: Meaning("line_good_parts", "", "eol"),
    }  # the cycle counter of the same machine says less than its good parts


def test_a_line_counts_by_its_own_counters_and_several_machines_without_them_by_none() -> None:
    tags = (Tag("l/a/Good", "s=1", {}, None, 0), Tag("l/b/Good", "s=2", {}, None, 0), Tag("k/Out", "s=3", {}, None, 1))
    page = Page(tags, ("good_parts", "line_good_parts"))
    for at_s, handle, value in ((0, 0, 1), (0, 1, 1), (0, 2, 1), (9, 0, 8), (9, 1, 7), (9, 2, 5)):
        page.take(at_s, handle, value)
    assert page.line("factory_line_parts_total", "l", what="good") is None
    assert page.line("factory_line_parts_total", "k", what="good") == 4


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
