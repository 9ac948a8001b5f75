"""The dashboards, made by code: `python docker/grafana/make.py` writes docker/grafana/dashboards/*.json.

A title is a question the panel answers; the description says how to read it.  A dashboard is a tuple of rows, a row
a tuple of panels; positions follow from the widths (of 24).  `$__rate_interval` everywhere, no fixed windows.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
Steps = tuple[tuple[float | None, str], ...]
CALM: Steps = ((None, "green"),)
ZERO_IS_GOOD: Steps = ((None, "green"), (1, "red"))
RATIO: Steps = ((None, "red"), (0.5, "orange"), (0.75, "green"))
UP: Steps = ((None, "red"), (1, "green"))


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: a question, how to read the answer, and the queries with their legends."""

    kind: str
    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str
    width: int = 8
    height: int = 7
    steps: Steps = CALM
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; `variables` are label names, and the series to find their values in."""

    name: str
    title: str
    variables: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Panel, ...], ...]


SITE = 'site=~"$site"'
LINE = 'line=~"$line"'
GATE = 'instance=~"$instance"'
PLANT = Board(
    "plant", "Plant overview", (("line", "factory_parts_total"),),
    (
        (
            Panel("stat", "How well does each line do?", "OEE of the last hour, of summed time elements (ISO 22400).",
                  ((f"line:factory_oee:ratio_1h{{{LINE}}}", "{{line}}"),), "percentunit", 8, 6, RATIO, 1),
            Panel("stat", "How many good parts an hour?", "Good parts that leave the slowest machine of each line.",
                  ((f'3600 * min by (line) (rate(factory_parts_total{{verdict="good",{LINE}}}[$__rate_interval]))',
                    "{{line}}"),), "short", 8, 6),
            Panel("stat", "What wants attention?", "Alerts that fire now; none is what you want to see.",
                  (('count(ALERTS{alertstate="firing"}) or vector(0)', "alerts"),), "short", 8, 6, ZERO_IS_GOOD),
        ),
        (
            Panel("states", "What is each machine doing?", "1 working, 0 not working, for whatever reason.",
                  ((f'factory_machine_state{{state="working",{LINE}}}', "{{machine}}"),), "short", 24, 8,
                  ((None, "orange"), (1, "green")), 1),
        ),
        (
            Panel("lines", "How does OEE develop?", "The hour before each instant, and its lowest machine.",
                  ((f"line:factory_oee:ratio_1h{{{LINE}}}", "{{line}}"),
                   (f"line:factory_oee:min_1h{{{LINE}}}", "{{line}} lowest machine")), "percentunit", 8, 7, RATIO, 1),
            Panel("lines", "How much is scrap?", "Share of parts that are scrap, by line.",
                  ((f'sum by (line) (rate(factory_parts_total{{verdict="scrap",{LINE}}}[$__rate_interval])) / '
                    f"(sum by (line) (rate(factory_parts_total{{{LINE}}}[$__rate_interval])) > 0)", "{{line}}"),),
                  "percentunit", 8, 7, ((None, "green"), (0.05, "orange"), (0.1, "red")), 1),
            Panel("lines", "How much power is drawn?", "Electrical power of all machines of a line.",
                  ((f"sum by (line) (rate(factory_energy_joules_total{{{LINE}}}[$__rate_interval]))", "{{line}}"),),
                  "watt"),
        ),
    ),
)  # fmt: skip
MACHINE = Board(
    "machine", "Machine and OEE", (("line", "factory_parts_total"), ("machine", "factory_parts_total")),
    (
        tuple(
            Panel("stat", title, text, ((f'machine:factory_{name}:ratio_1h{{machine=~"$machine"}}', "{{machine}}"),),
                  "percentunit", 6, 6, RATIO, 1)
            for name, title, text in (
                ("oee", "What is OEE?", "Availability x effectiveness x quality, of the last hour."),
                ("availability", "Is it available?", "Production time by planned busy time (APT / PBT)."),
                ("effectiveness", "Is it fast enough?", "Ideal time of what was made by production time."),
                ("quality", "Is it good?", "Good parts by all parts made."),
            )
        ),
        (
            Panel("lines", "Where does the time go?", "Share of time in each state: the loss Pareto over time.",
                  (('sum by (state) (rate(factory_state_seconds_total{machine=~"$machine"}[$__rate_interval])) / '
                    'scalar(sum(rate(factory_state_seconds_total{machine=~"$machine"}[$__rate_interval])))',
                    "{{state}}"),), "percentunit", 12, 8, CALM, 1),
            Panel("lines", "How long is a cycle?", "Median and 95th percentile of the work time of a part.",
                  tuple((f'histogram_quantile({q}, sum by (machine, le) '
                         f'(rate(factory_cycle_seconds_bucket{{machine=~"$machine"}}[$__rate_interval])))',
                         f"{{{{machine}}}} p{round(100 * q)}") for q in (0.5, 0.95)), "s", 12, 8),
        ),
        (
            Panel("states", "When was it down?", "1 while the machine is down.",
                  (('factory_machine_state{state="down",machine=~"$machine"}', "{{machine}}"),), "short", 16, 8,
                  ZERO_IS_GOOD, 1),
            Panel("table", "How often did it fail?", "Breakdowns since the start.",
                  (('factory_failures_total{machine=~"$machine"}', "{{machine}}"),), "short", 8, 8),
        ),
    ),
)  # fmt: skip
GATEWAY = Board(
    "gateway", "Gateway: flow, delay, errors", (("instance", "gateway_ready"),),
    (
        (
            Panel("stat", "Is all connected?", "1 while every server and every broker is connected.",
                  ((f"gateway_ready{{{GATE}}}", "{{instance}}"),), "short", 6, 5, UP, 1),
            Panel("stat", "Do the books balance?", "Values unaccounted for: anything but 0 is a bug.",
                  ((f"gateway_books_imbalance_values{{{GATE}}}", "{{sink}}"),), "short", 6, 5, ZERO_IS_GOOD),
            Panel("stat", "Was anything lost?", "Values dropped since the start, by broker.",
                  ((f"sum by (instance, sink) (gateway_values_dropped_total{{{GATE}}})", "{{sink}}"),), "short", 6, 5,
                  ZERO_IS_GOOD),
            Panel("stat", "How much waits on disk?", "Values received and not yet acknowledged by the broker.",
                  ((f"gateway_outbox_values{{{GATE}}}", "{{sink}}"),), "short", 6, 5),
        ),
        (
            Panel("lines", "How much comes in?", "Values per second of each server, durable on disk.",
                  ((f"rate(gateway_values_received_total{{{GATE}}}[$__rate_interval])", "{{source}}"),), "ops"),
            Panel("lines", "How good are the values?", "Values per second by quality.",
                  ((f"sum by (quality) (rate(gateway_source_values_total{{{GATE}}}[$__rate_interval]))",
                    "{{quality}}"),), "ops"),
            Panel("states", "Which servers are connected?", "1 while the OPC UA server is connected.",
                  ((f"gateway_source_connected{{{GATE}}}", "{{source}}"),), "short", 8, 7, UP, 1),
        ),
        (
            Panel("lines", "How old is a value on arrival?", "From source timestamp to PUBACK, median and 95th "
                  "percentile; it includes the server's sampling and publishing.",
                  tuple((f"histogram_quantile({q}, sum by (source, le) "
                         f"(rate(gateway_delay_seconds_bucket{{{GATE}}}[$__rate_interval])))",
                         f"{{{{source}}}} p{round(100 * q)}") for q in (0.5, 0.95)), "s"),
            Panel("lines", "How late is the gateway itself?", "99th percentile of the event loop's lateness.",
                  ((f"histogram_quantile(0.99, sum by (instance, le) "
                    f"(rate(gateway_event_loop_lag_seconds_bucket{{{GATE}}}[$__rate_interval])))", "{{instance}}"),),
                  "s", 8, 7, ((None, "green"), (0.1, "orange"), (0.5, "red"))),
            Panel("lines", "How far are the clocks apart?", "The server's clock less the gateway's.",
                  ((f"gateway_source_clock_offset_seconds{{{GATE}}}", "{{source}}"),), "s"),
        ),
    ),
)  # fmt: skip
DELIVERY = Board(
    "delivery", "Delivery and backlog", (("instance", "gateway_ready"),),
    (
        (
            Panel("states", "Which brokers are connected?", "1 while the broker is connected.",
                  ((f"gateway_sink_connected{{{GATE}}}", "{{sink}}"),), "short", 12, 6, UP, 1),
            Panel("lines", "Is the backlog growing?", "Values on disk for each broker.",
                  ((f"gateway_outbox_values{{{GATE}}}", "{{sink}}"),), "short", 12, 6),
        ),
        (
            Panel("lines", "How much is delivered?", "Values per second that the broker acknowledged.",
                  ((f"rate(gateway_values_delivered_total{{{GATE}}}[$__rate_interval])", "{{sink}}"),), "ops"),
            Panel("lines", "How quickly does the broker answer?", "From publish to PUBACK, median and 95th percentile.",
                  tuple((f"histogram_quantile({q}, sum by (sink, le) "
                         f"(rate(gateway_sink_ack_seconds_bucket{{{GATE}}}[$__rate_interval])))",
                         f"{{{{sink}}}} p{round(100 * q)}") for q in (0.5, 0.95)), "s"),
            Panel("lines", "How full is the disk?", "Share of outbox.max_bytes that is in use.",
                  ((f"gateway_outbox_bytes{{{GATE}}} / gateway_outbox_capacity_bytes{{{GATE}}}", "{{instance}}"),),
                  "percentunit", 8, 7, ((None, "green"), (0.5, "orange"), (0.8, "red")), 1),
        ),
        (
            Panel("lines", "What does it cost?", "Units a cloud would charge for, per day at this rate.",
                  ((f"86400 * sum by (sink, unit) (rate(gateway_sink_cloud_units_total{{{GATE}}}[$__rate_interval]))",
                    "{{sink}} {{unit}}"),), "short"),
            Panel("lines", "How much traffic is it?", "Payload bytes per second that the broker acknowledged.",
                  ((f"rate(gateway_sink_payload_bytes_total{{{GATE}}}[$__rate_interval])", "{{sink}}"),), "Bps"),
            Panel("stat", "What does the broker refuse?", "Messages refused for now, and dead letters, on disk.",
                  ((f"gateway_sink_refused_messages{{{GATE}}}", "refused for now"),
                   (f"gateway_sink_dead_letter_messages{{{GATE}}}", "dead letters")), "short", 8, 7, ZERO_IS_GOOD),
        ),
    ),
)  # fmt: skip
FLEET = Board(
    "fleet", "Fleet of gateways", (("site", "gateway_ready"),),
    (
        (
            Panel("table", "Which gateways are there?", "Version and Python of each.",
                  ((f"gateway_build_info{{{SITE}}}", "{{instance}}"),), "short", 12, 8),
            Panel("states", "Which are ready?", "1 while every server and broker of the gateway is connected.",
                  ((f"gateway_ready{{{SITE}}}", "{{instance}}"),), "short", 12, 8, UP, 1),
        ),
        (
            Panel("lines", "How much does each carry?", "Values received per second.",
                  ((f"site:gateway_values:rate1m{{{SITE}}}", "{{instance}}"),), "ops"),
            Panel("lines", "How much memory does each take?", "Resident memory of the gateway's process.",
                  ((f'process_resident_memory_bytes{{job="gateway",{SITE}}}', "{{instance}}"),), "bytes"),
            Panel("stat", "How old is the oldest value?", "Age of the oldest message in each outbox.",
                  ((f"gateway_outbox_oldest_age_seconds{{{SITE}}}", "{{instance}}"),), "s", 8, 7,
                  ((None, "green"), (60, "orange"), (900, "red"))),
        ),
    ),
)  # fmt: skip
BOARDS = (PLANT, MACHINE, GATEWAY, DELIVERY, FLEET)
KINDS: dict[str, Callable[[], stat.Panel | timeseries.Panel | statetimeline.Panel | table.Panel]] = {
    "stat": stat.Panel,
    "lines": timeseries.Panel,
    "states": statetimeline.Panel,
    "table": table.Panel,
}


def made(board: Board) -> str:
    """The dashboard as Grafana reads it."""
    found = (
        dashboard.Dashboard(f"Connected factory: {board.title}")
        .uid(f"cf-{board.name}")
        .tags(["connected-factory"])
        .editable()
        .refresh("5s")
        .time("now-15m", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(dashboard.DashboardLink("Connected factory").tags(["connected-factory"]).as_dropdown(True)
              .type(DashboardLinkType.DASHBOARDS).keep_time(True))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )  # fmt: skip
    for label, series in board.variables:
        found = found.with_variable(_variable(label, series))
    for row in board.rows:
        for panel in row:
            found = found.with_panel(_panel(panel))
    return json.dumps(json.loads(JSONEncoder(sort_keys=True, indent=2).encode(found.build())), indent=2) + "\n"


def _variable(label: str, series: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(label)
        .label(label.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({series}, {label})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel | statetimeline.Panel | table.Panel:
    steps = [Threshold(value=value, color=color) for value, color in panel.steps]
    found = (
        KINDS[panel.kind]()
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .no_value("no data yet")
        .span(panel.width)
        .height(panel.height)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    )
    if panel.most is not None:
        found = found.max(panel.most)
    for n, (expr, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + n)).datasource(SOURCE)
        found = found.with_target(query.instant() if panel.kind in ("stat", "table") else query.range())
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in BOARDS:
        (FOLDER / f"{each.name}.json").write_text(made(each), encoding="utf-8")
