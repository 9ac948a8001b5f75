"""Grafana's JSON from `boards.py`: `python -m docker.grafana.make` writes docker/grafana/dashboards/*.json."""

import json
from collections.abc import Callable
from pathlib import Path

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    gauge,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)  # fmt: skip
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
    VizOrientation,
)  # fmt: skip
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, FieldColorModeId
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from docker.grafana.boards import BOARDS, CALM, Board, Panel

FOLDER = Path(__file__).parent / "dashboards"
UNKNOWN = frozenset(("auto", "auto_count", "auto_min", "footer"))
"""Keys that the SDK adds and Grafana's published types do not know."""
RUNBOOK = "docker/prometheus/RUNBOOK.md"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
Built = bargauge.Panel | gauge.Panel | stat.Panel | timeseries.Panel | statetimeline.Panel | table.Panel


def made(board: Board) -> str:
    """The dashboard in Grafana's JSON."""
    found = (
        dashboard.Dashboard(f"Connected factory: {board.title}")
        .uid(f"cf-{board.name}")
        .tags(["connected-factory"])
        .readonly()
        .refresh("5s")
        .time("now-15m", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("Connected factory").tags(["connected-factory"]).as_dropdown(True)
              .type(model.DashboardLinkType.DASHBOARDS).keep_time(True))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )  # fmt: skip
    for label, series in board.variables:
        found = found.with_variable(_variable(label, series))
    for name, query, text in board.marks:
        found = found.annotation(_mark(name, query, text))
    for row in board.rows:
        for panel in row:
            found = found.with_panel(_panel(panel))
    raw = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(found.build()))
    return json.dumps(without(raw, UNKNOWN), indent=2) + "\n"


def without(raw: object, names: frozenset[str]) -> object:
    """JSON without some keys, at any depth."""
    if isinstance(raw, dict):
        return {key: without(value, names) for key, value in raw.items() if key not in names}
    return [without(each, names) for each in raw] if isinstance(raw, list) else raw


def _variable(label: str, series: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(label)
        .label(label.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({series}, {label})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _mark(name: str, query: str, text: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(True)
        .expr(query)
        .step("10s")
        .title_format(name)
        .text_format(text)
        .icon_color("purple")
    )


def _panel(panel: Panel) -> Built:
    steps = [model.Threshold(value=value, color=color) for value, color in panel.steps]
    found = (
        KINDS[panel.kind](panel)
        .title(panel.title)
        .description(_description(panel))
        .datasource(SOURCE)
        .unit(panel.unit)
        .no_value(panel.nothing)
        .span(panel.width)
        .height(panel.height)
        .thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    )
    if panel.least is not None:
        found = found.min(panel.least)
    if panel.most is not None:
        found = found.max(panel.most)
    if panel.states:
        found = found.mappings([_named(panel)])
    for legend, color in panel.colors:
        found = found.override_by_name(legend, [DynamicConfigValue("color", _fixed(color))])
    if panel.dashed:
        dash = {"fill": "dash", "dash": [8, 6]}
        found = found.override_by_regexp(panel.dashed, [DynamicConfigValue("custom.lineStyle", dash)])
    for n, (expr, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + n)).datasource(SOURCE)
        if panel.kind == "table":
            query = query.format(PromQueryFormat.TABLE)
        found = found.with_target(query.instant() if panel.kind in ("gauge", "bars", "table") else query.range())
    return found


def _description(panel: Panel) -> str:
    if not panel.alerts:
        return panel.description
    sections = ", ".join(f"{RUNBOOK}#{alert.lower()}" for alert in panel.alerts)
    return f"{panel.description}\n\nWhen it is bad: {sections}"


def _named(panel: Panel) -> model.ValueMap:
    results = {
        str(number): model.ValueMappingResult(text=text, color=color, index=n)
        for n, (number, text, color) in enumerate(panel.states)
    }
    return model.ValueMap(options=results)


def _fixed(color: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": color}


def _by(mode: FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _stat(panel: Panel) -> stat.Panel:
    calm = panel.steps == CALM
    return (
        stat.Panel()
        .color_scheme(_by(FieldColorModeId.THRESHOLDS))
        .color_mode(BigValueColorMode.VALUE if calm else BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(BigValueGraphMode.AREA if calm else BigValueGraphMode.NONE)
        .reduce_options(_last())
    )


def _gauge(panel: Panel) -> gauge.Panel:
    return (
        gauge.Panel()
        .color_scheme(_by(FieldColorModeId.THRESHOLDS))
        .show_threshold_markers(True)
        .reduce_options(_last())
    )


def _bars(panel: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .color_scheme(_by(FieldColorModeId.THRESHOLDS))
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
        .reduce_options(_last())
    )


def _lines(panel: Panel) -> timeseries.Panel:
    found = (
        timeseries.Panel()
        .color_scheme(_by(FieldColorModeId.PALETTE_CLASSIC))
        .line_width(1 if panel.stacked else 2)
        .fill_opacity(60 if panel.stacked else 8 if panel.filled else 0)
        .show_points(VisibilityMode.NEVER)
        .legend(_legend())
    )
    if panel.stacked:
        found = found.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if panel.steps != CALM:
        found = found.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return found


def _states(panel: Panel) -> statetimeline.Panel:
    return (
        statetimeline.Panel()
        .color_scheme(_by(FieldColorModeId.THRESHOLDS))
        .merge_values(True)
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .fill_opacity(85)
        .line_width(0)
        .legend(_legend())
    )


def _table(panel: Panel) -> table.Panel:
    order = {label: n for n, (label, _) in enumerate(panel.columns)}
    keep = "|".join(order)
    return (
        table.Panel()
        .with_transformation(
            model.DataTransformerConfig("filterFieldsByName", options={"include": {"pattern": f"^({keep})$"}})
        )
        .with_transformation(
            model.DataTransformerConfig(
                "organize", options={"indexByName": order, "renameByName": dict(panel.columns), "excludeByName": {}}
            )
        )
    )


KINDS: dict[str, Callable[[Panel], Built]] = {
    "stat": _stat,
    "gauge": _gauge,
    "bars": _bars,
    "lines": _lines,
    "states": _states,
    "table": _table,
}
"""The kinds of `Panel`, and Grafana's names for them."""


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in BOARDS:
        (FOLDER / f"{each.name}.json").write_text(made(each), encoding="utf-8")
