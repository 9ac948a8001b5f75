"""Grafana's JSON from `boards.py`: `python -m docker.grafana.make` writes docker/grafana/dashboards/*.json.

Where the runbook is, which descriptions lead to, is a hidden variable of each dashboard; `place` replaces its value on
the way into a Grafana.
"""

import json
from collections.abc import Callable
from pathlib import Path

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    gauge,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)  # fmt: skip
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    StackingMode,
    VisibilityMode,
    VizOrientation,
)  # fmt: skip
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, FieldColorModeId
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from docker.grafana.boards import BOARDS
from docker.grafana.panel import CALM, Board, Column, Mark, Panel, States, Steps

FOLDER = Path(__file__).parent / "dashboards"
UNKNOWN = frozenset(("auto", "auto_count", "auto_min", "footer"))
"""Keys that the SDK adds and Grafana's published types do not know."""
RUNBOOK = "docker/prometheus/RUNBOOK.md"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
Built = bargauge.Panel | gauge.Panel | heatmap.Panel | stat.Panel | timeseries.Panel | statetimeline.Panel | table.Panel
RECENT = "1m"
"""What dials and tiles without a curve look at: what is older is gone, and is not shown as if it were so now."""


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
    before = ""
    for label, series in board.variables:
        found = found.with_variable(_variable(label, series, before))
        before += f'{"," if before else ""}{label}=~"${label}"'
    for name, text, first in board.asked:
        found = found.with_variable(dashboard.TextBoxVariable(name).label(text).default_value(first))
    found = found.with_variable(dashboard.ConstantVariable("runbook").value(RUNBOOK).label("Where the runbook is"))
    for mark in board.marks:
        found = found.annotation(_mark(mark))
    for row in board.rows:
        for panel in row:
            found = found.with_panel(_panel(panel))
    raw = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(found.build()))
    for variable in raw["templating"]["list"]:
        if variable["type"] == "constant":
            variable["hide"] = model.VariableHide.HIDE_VARIABLE  # the builder of constants cannot say so
    return json.dumps(without(raw, UNKNOWN), indent=2) + "\n"


def without(raw: object, names: frozenset[str]) -> object:
    """JSON without some keys, at any depth."""
    if isinstance(raw, dict):
        return {key: without(value, names) for key, value in raw.items() if key not in names}
    return [without(each, names) for each in raw] if isinstance(raw, list) else raw


def _variable(label: str, series: str, before: str) -> dashboard.QueryVariable:
    """A variable with the values of a label, as far as the variables before it leave them."""
    return (
        dashboard.QueryVariable(label)
        .label(label.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({series}{{{before}}}, {label})" if before else f"label_values({series}, {label})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _mark(mark: Mark) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(mark.name)
        .datasource(SOURCE)
        .enable(True)
        .expr(mark.query)
        .step("10s")
        .title_format(mark.name)
        .text_format(mark.text)
        .icon_color(mark.color)
    )


def _panel(panel: Panel) -> Built:
    found = (
        KINDS[panel.kind](panel)
        .title(panel.title)
        .description(_description(panel))
        .datasource(SOURCE)
        .unit(panel.unit)
        .no_value(panel.nothing)
        .span(panel.width)
        .height(panel.height)
        .thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(_steps(panel.steps)))
    )
    if panel.least is not None:
        found = found.min(panel.least)
    if panel.most is not None:
        found = found.max(panel.most)
    if panel.decimals is not None:
        found = found.decimals(panel.decimals)
    if panel.states:
        found = found.mappings([_named(panel.states)])
    if panel.links:
        found = found.data_links([_link(text, url) for text, url in panel.links])
    if panel.kind == "gauge" or (panel.kind == "stat" and panel.steps != CALM and not panel.is_instant):
        found = found.time_from(RECENT).hide_time_override(True)
    for column in panel.columns:
        if told := _told(column):
            found = found.override_by_name(column.title, told)
    for legend, color in panel.colors:
        found = found.override_by_name(legend, [DynamicConfigValue("color", _fixed(color))])
    if panel.dashed:
        dash = {"fill": "dash", "dash": [8, 6]}
        found = found.override_by_regexp(panel.dashed, [DynamicConfigValue("custom.lineStyle", dash)])
    for n, (expr, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + n)).datasource(SOURCE)
        if panel.kind in FORMATS:
            query = query.format(FORMATS[panel.kind])
        found = found.with_target(query.instant() if panel.is_instant else query.range())
    return found


def _steps(steps: Steps) -> list[model.Threshold]:
    return [model.Threshold(value=value, color=color) for value, color in steps]


def _link(text: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(text).url(url).type(model.DashboardLinkType.LINK)


def _told(column: Column) -> list[DynamicConfigValue]:
    """What is told about one column of a table: unit, colours, names of numbers, where a click leads."""
    found = []
    if column.unit:
        found.append(DynamicConfigValue("unit", column.unit))
    if column.decimals is not None:
        found.append(DynamicConfigValue("decimals", column.decimals))
    if column.steps:
        found += [
            DynamicConfigValue("thresholds", {"mode": "absolute", "steps": [
                {"value": value, "color": color} for value, color in column.steps]}),
            DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
        ]  # fmt: skip
    if column.states:
        options = {
            str(number): {"text": text, "color": color, "index": n}
            for n, (number, text, color) in enumerate(column.states)
        }
        found.append(DynamicConfigValue("mappings", [{"type": "value", "options": options}]))
    if column.link:
        found.append(DynamicConfigValue("links", [{"title": "${__value.text}", "url": column.link}]))
    return found


def _description(panel: Panel) -> str:
    if not panel.alerts:
        return panel.description
    sections = ", ".join(f"${{runbook}}#{alert.lower()}" for alert in panel.alerts)
    return f"{panel.description}\n\nWhen it is bad: {sections}"


def _named(states: States) -> model.ValueMap:
    results = {
        str(number): model.ValueMappingResult(text=text, color=color, index=n)
        for n, (number, text, color) in enumerate(states)
    }
    return model.ValueMap(options=results)


def _fixed(color: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": color}


def _by(mode: FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def _legend(beside: bool = False) -> common.VizLegendOptions:
    """Below the curves, or a table of names and last values beside them, in the order of the curves."""
    if beside:
        return (
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT)
            .calcs(["lastNotNull"])
            .show_legend(True)
        )
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
        .legend(_legend(panel.beside))
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


def _heat(panel: Panel) -> heatmap.Panel:
    """The buckets as they are counted, the scale of their bounds."""
    color = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
    return (
        heatmap.Panel()
        .calculate(False)
        .color(color.scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5).fill("dark-blue").reverse(False))
        .y_axis(heatmap.YAxisConfig().unit(panel.unit).axis_placement(common_model.AxisPlacement.LEFT))
        .cell_values(heatmap.CellValues().unit("short"))
        .cell_gap(1)
        .scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LINEAR))
        .show_legend()
    )


def _table(panel: Panel) -> table.Panel:
    """The answers of all queries, a row for each set of labels that they share."""
    order = {column.field: n for n, column in enumerate(panel.columns)}
    names = {column.field: column.title for column in panel.columns}
    keep = "|".join(order)
    found = table.Panel()
    if len(panel.queries) > 1:
        found = found.with_transformation(model.DataTransformerConfig("merge", options={}))
    found = found.with_transformation(
        model.DataTransformerConfig("filterFieldsByName", options={"include": {"pattern": f"^({keep})$"}})
    ).with_transformation(
        model.DataTransformerConfig(
            "organize", options={"indexByName": order, "renameByName": names, "excludeByName": {}}
        )
    )
    title, greatest_first = panel.sort
    return found.sort_by([common.TableSortByFieldState().display_name(title).desc(greatest_first)])


FORMATS = {"table": PromQueryFormat.TABLE, "heat": PromQueryFormat.HEATMAP}
KINDS: dict[str, Callable[[Panel], Built]] = {
    "stat": _stat,
    "heat": _heat,
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
