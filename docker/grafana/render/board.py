"""A dashboard for our renderer: read from Grafana's JSON, filled with responses of Prometheus."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from docker.grafana.render import ask
from docker.grafana.render.ask import Series

Steps = tuple[tuple[float | None, str], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel."""

    expr: str
    legend: str
    is_instant: bool


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its field, title and unit, the colours and names of its numbers, and if it is a link."""

    field: str
    title: str
    unit: str
    steps: Steps
    names: Mapping[float, tuple[str, str]]
    is_link: bool
    decimals: int | None


@dataclass(frozen=True, slots=True)
class Mark:
    """What is marked in all panels over time: a name, a query and a colour."""

    name: str
    expr: str
    color: str


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
    columns: tuple[Column, ...]
    sort: tuple[str, bool]
    """For a table: the title of the column it is sorted by, and whether the greatest comes first."""
    is_beside: bool
    """Whether the legend is beside the curves."""
    decimals: int | None
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
    asked: Mapping[str, str]
    """Variables that are no label's: their values at first."""
    panels: tuple[Panel, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The time range shown, and what is marked in it: Unix times and colours."""

    since_s: float
    until_s: float
    scrape_s: float
    marks: tuple[tuple[float, str], ...] = ()

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
    found = raw["templating"]["list"]
    variables = tuple(v["name"] for v in found if v["type"] == "query")
    asked = {v["name"]: str(v["query"]) for v in found if v["type"] in ("textbox", "constant")}
    marks = tuple(
        Mark(str(m["name"]), str(m["expr"]), str(m["iconColor"])) for m in _list(_at(raw, "annotations"), "list")
    )
    return Board(raw["uid"], raw["title"], variables, asked, tuple(_panel(p) for p in raw["panels"]), marks)


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
        sort=_sort(options),
        is_beside=_at(options, "legend").get("placement") == "right",
        decimals=_whole(defaults),
        dashed=_dashed(_at(raw, "fieldConfig")),
        is_stacked=_at(custom, "stacking").get("mode") == "normal",
        fill=_int(custom.get("fillOpacity", 0)),
        is_solid=str(options.get("colorMode", "")).startswith("background"),
        has_spark=options.get("graphMode") == "area",
        targets=tuple(
            Target(str(t["expr"]), str(t["legendFormat"]), bool(t.get("instant"))) for t in _list(raw, "targets")
        ),
    )


def _names(told: Mapping[str, object]) -> dict[float, tuple[str, str]]:
    return {
        float(number): (str(_at(mapping, "options", number)["text"]), str(_at(mapping, "options", number)["color"]))
        for mapping in _list(told, "mappings")
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


def _columns(raw: Mapping[str, object]) -> tuple[Column, ...]:
    told = {
        str(_at(each, "matcher")["options"]): {str(p["id"]): p["value"] for p in _list(each, "properties")}
        for each in _list(_at(raw, "fieldConfig"), "overrides")
    }
    unit = str(_at(raw, "fieldConfig", "defaults").get("unit", "short"))
    for transformation in _list(raw, "transformations"):
        if transformation["id"] == "organize":
            names = _at(transformation, "options", "renameByName")
            order = _at(transformation, "options", "indexByName")
            fields = sorted(names, key=lambda field: _int(order[field]))
            return tuple(_column(field, str(names[field]), unit, told.get(str(names[field]), {})) for field in fields)
    return ()


def _column(field: str, title: str, unit: str, told: Mapping[str, object]) -> Column:
    steps = tuple((_number(s.get("value")), str(s["color"])) for s in _list(_at(told, "thresholds"), "steps"))
    return Column(field, title, str(told.get("unit", unit)), steps, _names(told), "links" in told, _whole(told))


def _whole(told: Mapping[str, object]) -> int | None:
    return None if told.get("decimals") is None else _int(told["decimals"])


def _sort(options: Mapping[str, object]) -> tuple[str, bool]:
    for each in _list(options, "sortBy"):
        return str(each["displayName"]), bool(each.get("desc"))
    return "", False


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


def answers(panel: Panel, url: str, span: Span, chosen: Mapping[str, str]) -> list[dict[str, str | float]]:
    """The rows of a table: the labels that the answers of all queries share, and the value of each by its field."""
    rows: dict[tuple[tuple[str, str], ...], dict[str, str | float]] = {}
    asked = [ask.instant(url, filled(t.expr, span, chosen), span.until_s) for t in panel.targets]
    labels = [{name for series in found for name in series.labels} for found in asked if found]
    shared = set.intersection(*labels) if labels else set[str]()
    for n, found in enumerate(asked):
        field = "Value" if len(asked) == 1 else f"Value #{chr(ord('A') + n)}"
        for series in found:
            key = tuple(sorted((k, v) for k, v in series.labels.items() if k in shared))
            rows.setdefault(key, {}).update({**series.labels, field: series.last})
    return list(rows.values())


def happened(mark: Mark, url: str, span: Span, chosen: Mapping[str, str]) -> list[float]:
    """When what is marked began, as Unix time; what goes on is one mark."""
    found = []
    for series in ask.over(url, filled(mark.expr, span, chosen), span.since_s, span.until_s, span.step_s):
        times = [at for at, _ in series.points]
        found += [at for n, at in enumerate(times) if n == 0 or at - times[n - 1] > 1.5 * span.step_s]
    return sorted(found)


def filled(expr: str, span: Span, chosen: Mapping[str, str]) -> str:
    """An expression as Grafana would send it; a variable that is not chosen is at *All*."""
    rate_s = max(4 * span.scrape_s, span.step_s + span.scrape_s)
    expr = expr.replace("$__rate_interval", f"{round(1000 * rate_s)}ms")
    expr = expr.replace("$__range_s", f"{round(span.until_s - span.since_s)}")
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
