"""The dashboards: made by code, by the rules, unharmed by Grafana's own types.  No Grafana runs here; `make
grafana-check` is for those who have docker.
"""

import json
import re
import warnings
from pathlib import Path

import pytest

from docker.grafana.render.board import Span, filled
from tests.support.panels import BOARDS, panels, targets
from tests.support.programs import ROOT
from tests.support.prometheus import judge

with warnings.catch_warnings():  # the SDK would rather have a schema that Grafana reads from version 12 on
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    from docker.grafana import boards, make

RUNBOOK = ROOT / "docker" / "prometheus" / "RUNBOOK.md"
HOUR = Span(0.0, 3600.0, 60.0)
UNBOUNDED = ("How much processor does it take?", "How long is a cycle, beside its ideal?")
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
    assert defaults["unit"] != "short" or panel["type"] in ("state-timeline", "table") or defaults["mappings"]
    assert defaults["noValue"]
    assert defaults["thresholds"]["steps"]
    assert "min" in defaults or panel["title"] == "How far are the clocks apart?"
    assert ("max" in defaults) or defaults["unit"] != "percentunit" or panel["title"] in UNBOUNDED or (
        "sort_desc" in targets(panel)[0]["expr"]  # a bar is compared with the longest
    )  # fmt: skip
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize(("board", "panel"), EVERY)
def test_a_query_keeps_the_rules(board: str, panel: dict[str, object]) -> None:
    names = [name for name, _ in next(b for b in boards.BOARDS if b.name == board).variables]
    for target in targets(panel):
        expr = target["expr"]
        assert target["datasource"] == panel["datasource"]
        assert "{{" in target["legendFormat"] or target["legendFormat"] == "alerts" or panel["type"] == "table"
        assert not re.search(r"rate\([^[]*\[(?!\$__rate_interval)", expr)
        assert not re.search(r"increase\([^[]*\[(?!\$__range)", expr)
        assert target["instant"] or "$__range]" not in expr
        if "ALERTS" not in expr:  # every selector is narrowed by a variable of the dashboard
            selectors = re.findall(r"\w+:?[\w:]*\{([^}]*)\}", expr)
            assert selectors
            assert all(any(f"${name}" in selector for name in names) for selector in selectors)


def test_lines_are_in_the_order_of_their_names_unless_they_are_ranked() -> None:
    for board, panel in panels():
        if panel["type"] == "table":
            titles = panel["transformations"][-1]["options"]["renameByName"].values()  # type: ignore[index]  # JSON
            assert panel["options"]["sortBy"][0]["displayName"] in titles  # type: ignore[index]  # JSON
            continue
        for target in targets(panel):
            if target["legendFormat"] == "alerts" or target["expr"].startswith(("sort(", "sort_desc(")):
                continue
            by = re.match(r"\w+ by \(([\w, ]+)\)", target["expr"])
            assert by, (board, panel["title"])  # what Prometheus answers over time is in the order of these labels
            assert by[1].split(", ") == sorted(re.findall(r"{{(\w+)}}", target["legendFormat"])), panel["title"]


def test_what_a_tile_says_is_so_now_and_not_as_it_was_before_a_gateway_was_gone() -> None:
    for board, panel in panels():
        is_solid = str(panel["options"].get("colorMode", "")).startswith("background")  # type: ignore[attr-defined]
        if panel["type"] == "gauge" or is_solid:
            now = all(target["instant"] for target in targets(panel))
            assert now or panel["timeFrom"] == "1m", (board, panel["title"])


def test_every_link_leads_to_a_dashboard_that_has_its_variables() -> None:
    variables = {b.name: {name for name, _ in b.variables} | {"datasource"} for b in boards.BOARDS}
    for _, panel in panels():
        for link in re.findall(r'"url": "([^"]+)"', json.dumps(panel)):
            found = re.fullmatch(r"/d/cf-(\w+)\?\$\{__url_time_range\}((?:&var-\w+=\$\{[\w.]+\})+)", link)
            assert found, link
            assert set(re.findall(r"&var-(\w+)=", found[2])) <= variables[found[1]], link


def test_one_gets_from_the_plant_to_a_machine_to_its_gateway() -> None:
    led = {(board, target) for board, panel in panels() for target in re.findall(r'"/d/cf-(\w+)\?', json.dumps(panel))}
    assert {("plant", "machine"), ("machine", "gateway"), ("fleet", "gateway"), ("gateway", "delivery")} <= led


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_restarts_reloads_alerts_and_commands_are_marked(path: Path) -> None:
    marks = {m["name"]: m["expr"] for m in json.loads(path.read_text(encoding="utf-8"))["annotations"]["list"]}
    assert list(marks) == ["Restarts", "Reloads", "Alerts", "Commands"]
    assert "Watchdog" in marks["Alerts"]  # which always fires and is none to look at


@pytest.mark.parametrize(("board", "panel"), EVERY)
def test_a_panel_links_to_existing_sections(board: str, panel: dict[str, object]) -> None:
    sections = {line[3:].lower() for line in RUNBOOK.read_text("utf-8").splitlines() if line.startswith("## ")}
    assert set(re.findall(r"#(\w+)", str(panel["description"]))) <= sections
    assert "RUNBOOK" not in json.dumps(panel)  # its place is a setting


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_dashboard_can_be_filtered_by_its_variables(path: Path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    assert board["uid"] == f"cf-{path.stem}"
    variables = board["templating"]["list"]
    assert variables[0]["type"] == "datasource"
    labels = [v for v in variables if v["type"] == "query"]
    assert all(v["includeAll"] and v["multi"] for v in labels)
    assert all(v["query"].startswith("label_values(") for v in labels)
    used = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    assert all(f"${v['name']}" in used for v in variables if v["type"] in ("query", "textbox"))
    assert (variables[-1]["name"], variables[-1]["type"], variables[-1]["hide"]) == ("runbook", "constant", 2)


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


def test_losses_are_those_of_the_time_shown_also_across_restarts(tmp_path: Path) -> None:
    dropped = 'gateway_values_dropped_total{site="a",instance="edge-1",sink="broker",reason="full"}'
    series = {dropped: "7x10 12x20 0x10 3x20"}  # five while we look, a restart, three more
    hour = filled(
        next(t["expr"] for b, p in panels() if p["title"] == "Was anything lost?" for t in targets(p)), HOUR, {}
    )
    judge(tmp_path, series, {hour: {'{instance="edge-1",sink="broker"}': 8}}, at="60m")
