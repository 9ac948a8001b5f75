"""A dashboard for our renderer: read from Grafana's JSON, filled with responses of Prometheus."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docker.grafana.render import ask
from docker.grafana.render.ask import Series

Steps = tuple[tuple[float | None, str], ...]
INSTANT = ("gauge", "bargauge", "table")


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel."""

    expr: str
    legend: str
    is_instant: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: position, appearance, queries."""

    kind: str
    title: str
    nothing: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    least: float | None
    most: float | None
    steps: Steps
    names: Mapping[float, tuple[str, str]]
    """The names and colours of numbers."""
    colors: Mapping[str, str]
    """Colours of certain legends."""
    columns: tuple[tuple[str, str], ...]
    dashed: str
    """A pattern for the legends with dashed lines."""
    is_stacked: bool
    fill: int
    is_solid: bool
    has_spark: bool
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    variables: tuple[str, ...]
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The time range shown."""

    since_s: float
    until_s: float
    scrape_s: float

    @property
    def step_s(self) -> float:
        return max(self.scrape_s, (self.until_s - self.since_s) / 360)


@dataclass(frozen=True, slots=True)
class Curve:
    """One series of a panel, and its name."""

    name: str
    series: Series


def read(path: Path) -> Board:
    """A dashboard from its file."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    variables = tuple(v["name"] for v in raw["templating"]["list"] if v["type"] != "datasource")
    return Board(raw["uid"], raw["title"], variables, tuple(_panel(p) for p in raw["panels"]))


def _panel(raw: Mapping[str, object]) -> Panel:
    defaults, grid = _at(raw, "fieldConfig", "defaults"), _at(raw, "gridPos")
    custom, options = _at(defaults, "custom"), _at(raw, "options")
    return Panel(
        kind=str(raw["type"]),
        title=str(raw["title"]),
        nothing=str(defaults.get("noValue", "no data")),
        unit=str(defaults.get("unit", "short")),
        x=_int(grid["x"]),
        y=_int(grid["y"]),
        width=_int(grid["w"]),
        height=_int(grid["h"]),
        least=_number(defaults.get("min")),
        most=_number(defaults.get("max")),
        steps=tuple((_number(s.get("value")), str(s["color"])) for s in _list(_at(defaults, "thresholds"), "steps")),
        names=_names(defaults),
        colors=_colors(_at(raw, "fieldConfig")),
        columns=_columns(raw),
        dashed=_dashed(_at(raw, "fieldConfig")),
        is_stacked=_at(custom, "stacking").get("mode") == "normal",
        fill=_int(custom.get("fillOpacity", 0)),
        is_solid=str(options.get("colorMode", "")).startswith("background"),
        has_spark=options.get("graphMode") == "area",
        targets=tuple(
            Target(str(t["expr"]), str(t["legendFormat"]), bool(t.get("instant"))) for t in _list(raw, "targets")
        ),
    )


def _names(defaults: Mapping[str, object]) -> dict[float, tuple[str, str]]:
    return {
        float(number): (str(_at(mapping, "options", number)["text"]), str(_at(mapping, "options", number)["color"]))
        for mapping in _list(defaults, "mappings")
        for number in _at(mapping, "options")
    }


def _colors(config: Mapping[str, object]) -> dict[str, str]:
    return {
        str(_at(override, "matcher")["options"]): str(_at(found, "value")["fixedColor"])
        for override in _list(config, "overrides")
        for found in _list(override, "properties")
        if found["id"] == "color"
    }


def _dashed(config: Mapping[str, object]) -> str:
    for override in _list(config, "overrides"):
        if any(found["id"] == "custom.lineStyle" for found in _list(override, "properties")):
            return str(_at(override, "matcher")["options"])
    return ""


def _columns(raw: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    for transformation in _list(raw, "transformations"):
        if transformation["id"] == "organize":
            names = _at(transformation, "options", "renameByName")
            order = _at(transformation, "options", "indexByName")
            return tuple((label, str(names[label])) for label in sorted(names, key=lambda label: _int(order[label])))
    return ()


def curves(panel: Panel, url: str, span: Span, chosen: Mapping[str, str]) -> list[Curve]:
    """The responses of Prometheus to a panel's queries.  `chosen` has a pattern for each variable that is not *All*."""
    found: list[Curve] = []
    for target in panel.targets:
        expr = filled(target.expr, span, chosen)
        if target.is_instant:
            answer = ask.instant(url, expr, span.until_s)
        else:
            answer = ask.over(url, expr, span.since_s, span.until_s, span.step_s)
        found += [Curve(_legend(target.legend, series.labels), series) for series in answer]
    return found


def filled(expr: str, span: Span, chosen: Mapping[str, str]) -> str:
    """An expression as Grafana would send it."""
    rate_s = max(4 * span.scrape_s, span.step_s + span.scrape_s)
    expr = expr.replace("$__rate_interval", f"{round(1000 * rate_s)}ms")
    expr = expr.replace("$__range", f"{round(span.until_s - span.since_s)}s")
    return re.sub(r"\$(\w+)", lambda match: chosen.get(match[1], ".*"), expr)


def _legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), template).strip()


def _at(raw: object, *keys: str) -> Mapping[str, object]:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw if isinstance(raw, Mapping) else {}


def _list(raw: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    found = raw.get(key)
    return found if isinstance(found, list) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _int(value: object) -> int:
    assert isinstance(value, int | float)
    return int(value)
