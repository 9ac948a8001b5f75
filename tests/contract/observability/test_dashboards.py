"""The dashboards: made by code, by the rules, unharmed by Grafana's own types.  No Grafana runs here; `make
grafana-check` is for those who have docker.
"""

import json
import re
import warnings
from pathlib import Path

import pytest

from tests.support.panels import BOARDS, panels, targets
from tests.support.programs import ROOT

with warnings.catch_warnings():  # the SDK would rather have a schema that Grafana reads from version 12 on
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    from docker.grafana import boards, make

RUNBOOK = ROOT / "docker" / "prometheus" / "RUNBOOK.md"
EVERY = [pytest.param(board, panel, id=f"{board}: {panel['title']}") for board, panel in panels()]


def test_dashboard_files_are_those_the_code_generates() -> None:
    assert {path.stem for path in BOARDS} == {board.name for board in boards.BOARDS}
    for board in boards.BOARDS:
        assert (make.FOLDER / f"{board.name}.json").read_text(encoding="utf-8") == make.made(board)


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_valid_in_grafanas_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    read = Dashboard.from_json(json.loads(text))
    again = make.without(json.loads(JSONEncoder().encode(read)), make.UNKNOWN)
    assert again == json.loads(text)
    assert all(type(panel).__name__ == "Panel" for panel in read.panels or [])


@pytest.mark.parametrize(("board", "panel"), EVERY)
def test_a_panel_keeps_the_rules(board: str, panel: dict[str, object]) -> None:
    defaults = panel["fieldConfig"]["defaults"]  # type: ignore[index]  # JSON
    assert str(panel["title"]).endswith("?")
    assert len(str(panel["description"])) > 20
    assert defaults["unit"]
    assert defaults["noValue"]
    assert defaults["thresholds"]["steps"]
    assert "min" in defaults or panel["title"] == "How far are the clocks apart?"
    assert ("max" in defaults) or defaults["unit"] != "percentunit" or "processor" in str(panel["title"]) or (
        "sort_desc" in targets(panel)[0]["expr"]  # a bar is compared with the longest
    )  # fmt: skip
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize(("board", "panel"), EVERY)
def test_a_query_keeps_the_rules(board: str, panel: dict[str, object]) -> None:
    names = [name for name, _ in next(b for b in boards.BOARDS if b.name == board).variables]
    for target in targets(panel):
        expr = target["expr"]
        assert target["datasource"] == panel["datasource"]
        assert "{{" in target["legendFormat"] or re.fullmatch(r"[a-z ]+", target["legendFormat"])
        assert not re.search(r"rate\([^[]*\[(?!\$__rate_interval)", expr)
        assert not re.search(r"increase\([^[]*\[(?!\$__range)", expr)
        assert target["instant"] or "$__range]" not in expr
        if "ALERTS" not in expr:  # every selector is narrowed by a variable of the dashboard
            selectors = re.findall(r"\w+:?[\w:]*\{([^}]*)\}", expr)
            assert selectors
            assert all(any(f"${name}" in selector for name in names) for selector in selectors)


@pytest.mark.parametrize(("board", "panel"), EVERY)
def test_a_panel_links_to_existing_sections(board: str, panel: dict[str, object]) -> None:
    sections = {line[3:].lower() for line in RUNBOOK.read_text("utf-8").splitlines() if line.startswith("## ")}
    assert set(re.findall(r"RUNBOOK\.md#(\w+)", str(panel["description"]))) <= sections


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_dashboard_can_be_filtered_by_its_variables(path: Path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    assert board["uid"] == f"cf-{path.stem}"
    variables = board["templating"]["list"]
    assert variables[0]["type"] == "datasource"
    assert all(v["includeAll"] and v["multi"] for v in variables[1:])
    assert all(v["query"].startswith("label_values(") for v in variables[1:])
    used = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    assert all(f"${v['name']}" in used for v in variables[1:])


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_panels_fill_the_grid_and_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not taken & cells
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len(taken) == 24 * (1 + max(y for _, y in taken))
