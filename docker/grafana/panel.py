"""What a dashboard is made of: panels with queries, columns, links and marks, as data.

A title is a question, which the panel answers; the description says how to read it.  Windows are `$__rate_interval`, or
`$__range` for a sum over the time shown.  The order of lines, tiles and rows is that of their names, unless a query
ranks them: `each` makes Prometheus answer with the labels of the legend alone, and an answer over time is in their
order.
"""

from dataclasses import dataclass

Steps = tuple[tuple[float | None, str], ...]
States = tuple[tuple[int, str, str], ...]
"""A number, its name, its colour."""
CALM: Steps = ((None, "green"),)
ZERO_IS_GOOD: Steps = ((None, "green"), (0.01, "red"))
"""What Prometheus extrapolates from one loss may be a little less than one."""
RATIO: Steps = ((None, "red"), (0.5, "orange"), (0.75, "green"))
UP: Steps = ((None, "red"), (1, "green"))
ENDS: Steps = ((None, "red"), (7 * 86400, "orange"), (30 * 86400, "green"))
AGE: Steps = ((None, "green"), (60, "orange"), (900, "red"))
CONNECTED: States = ((0, "away", "red"), (1, "connected", "green"))
READY: States = ((-1, "no answer", "purple"), (0, "not ready", "red"), (1, "ready", "green"))
FIRING = 'ALERTS{alertstate="firing",alertname!="Watchdog"}'
"""Alerts that fire, but for the one that always does."""
VALUES, RATE = "count:values", "count:values/s"
SITE = 'site=~"$site"'
GATE = f'{SITE},instance=~"$instance"'
TIME = "${__url_time_range}&var-datasource=${datasource}"
"""What a link takes along to another dashboard."""


def linked(board: str, **variables: str) -> str:
    """The address of another dashboard, with what is looked at chosen in its variables."""
    return f"/d/cf-{board}?{TIME}" + "".join(f"&var-{name}={text}" for name, text in variables.items())


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a label, or the value of the only query (`Value`) or of one of several (`Value #B`)."""

    field: str
    title: str
    unit: str = ""
    steps: Steps = ()
    states: States = ()
    link: str = ""
    """Where a click on a cell leads."""
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: a question, how to read the answer, and the queries with their legends."""

    kind: str
    """One of `make.KINDS`."""
    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str
    width: int = 8
    height: int = 8
    steps: Steps = CALM
    most: float | None = None
    states: States = ()
    """The names of numbers."""
    colors: tuple[tuple[str, str], ...] = ()
    """Colours of certain legends."""
    stacked: bool = False
    filled: bool = True
    """Whether the area below a line is tinted; not for many lines."""
    beside: bool = False
    """Whether the legend is a table beside the lines, for more of them than fit below."""
    dashed: str = ""
    """A pattern for the legends with dashed lines."""
    columns: tuple[Column, ...] = ()
    """For a table; other labels are hidden."""
    sort: tuple[str, bool] = ("", False)
    """For a table: the title of the column it is sorted by, and whether the greatest comes first."""
    alerts: tuple[str, ...] = ()
    """The alerts on the same subject; the description links to their runbook sections."""
    least: float | None = 0
    """Where the axis begins; None: at the lowest value."""
    decimals: int | None = None
    links: tuple[tuple[str, str], ...] = ()
    """What a click on a line, a bar or a tile offers: text and address."""
    nothing: str = "no data yet"
    """The text in place of missing values."""

    @property
    def is_instant(self) -> bool:
        """Whether only the end of the time shown is asked for."""
        return self.kind in ("bars", "table") or any("$__range" in expr for expr, _ in self.queries)


@dataclass(frozen=True, slots=True)
class Mark:
    """What is marked in all panels over time: name, query, the text of a mark with labels in it, and its colour."""

    name: str
    query: str
    text: str
    color: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; `variables` are label names, and the series to find their values in."""

    name: str
    title: str
    variables: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Panel, ...], ...]
    marks: tuple[Mark, ...]
    asked: tuple[tuple[str, str, str], ...] = ()
    """Numbers that the reader enters: variable, label, value at first."""


def each(labels: str, expr: str, how: str = "sum") -> tuple[str, str]:
    """A query for one series for every combination of some labels (in alphabetical order), named by all of them."""
    names = labels.split(", ")
    return f"{how} by ({labels}) ({expr})", " ".join(f"{{{{{name}}}}}" for name in names)


def histogram(series: str, where: str) -> tuple[tuple[str, str], ...]:
    """The query of a heat map: how many fell between two bounds of a histogram, a second."""
    return ((f"sum by (le) (rate({series}_bucket{{{where}}}[$__rate_interval]))", "{{le}}"),)


def over_range(series: str, by: str, where: str) -> tuple[tuple[str, str], ...]:
    """The queries of a table: how many, median and 95th percentile of a histogram over the time shown."""
    buckets = f"sum by ({by}, le) (increase({series}_bucket{{{where}}}[$__range]))"
    counted = f"sum by ({by}) (increase({series}_count{{{where}}}[$__range])) > 0"
    return (counted, ""), *((f"histogram_quantile({q}, {buckets})", "") for q in (0.5, 0.95))


def marks(where: str, alerts: str = "") -> tuple[Mark, ...]:
    """What happened to gateways, machines and alerts; the selectors narrow gateways, and alerts."""
    started = f"changes(gateway_start_time_seconds{{{where}}}[30s])"
    reloads = f"increase(gateway_config_reloads_total{{{where}}}[30s])"
    commands = f'increase(gateway_commands_total{{outcome="done",operation=~"write|call",{where}}}[30s])'
    firing = f'ALERTS{{alertstate="firing",alertname!="Watchdog"{alerts}}}'
    return (
        Mark("Restarts", f"max by (instance) ({started}) > 0", "{{instance}} was started again", "orange"),
        Mark("Reloads", f"ceil(sum by (instance, result) ({reloads})) > 0", "configuration of {{instance}}: {{result}}",
             "blue"),
        Mark("Alerts", f"max by (alertname, severity, instance, source, sink, machine) ({firing})",
             "{{alertname}} {{instance}} {{source}}{{sink}}{{machine}}", "red"),
        Mark("Commands", f"ceil(sum by (instance, operation) ({commands})) > 0",
             "{{operation}} by way of {{instance}}", "purple"),
    )  # fmt: skip
