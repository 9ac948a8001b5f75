"""The content of the dashboards, as data: a dashboard is a tuple of rows, a row a tuple of panels.

A title is a question, which the panel answers; the description says how to read it.  `make.py` turns this into
Grafana's JSON; positions follow from the widths (of 24).  Windows are `$__rate_interval`, or `$__range` for a sum over
the time shown.  Output and power of a plant are per hour of its own time (`recording.yml`): a plant simulated ten times
faster does not make more parts an hour.
"""

from dataclasses import dataclass

Steps = tuple[tuple[float | None, str], ...]
States = tuple[tuple[int, str, str], ...]
"""A number, its name, its colour."""
CALM: Steps = ((None, "green"),)
ZERO_IS_GOOD: Steps = ((None, "green"), (1, "red"))
RATIO: Steps = ((None, "red"), (0.5, "orange"), (0.75, "green"))
UP: Steps = ((None, "red"), (1, "green"))
ENDS: Steps = ((None, "red"), (7 * 86400, "orange"), (30 * 86400, "green"))
CONNECTED: States = ((0, "away", "red"), (1, "connected", "green"))
READY: States = ((0, "not ready", "red"), (1, "ready", "green"))
MACHINE_STATES: States = (
    (1, "working", "green"), (2, "setup", "light-blue"), (3, "starved", "yellow"), (4, "blocked", "orange"),
    (5, "held", "purple"), (6, "down", "red"), (7, "maintenance", "blue"), (8, "off", "#5a5f6b"),
)  # fmt: skip
FIRING = 'ALERTS{alertstate="firing",alertname!="Watchdog"}'
"""Alerts that fire, but for the one that always does."""


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
    dashed: str = ""
    """A pattern for the legends with dashed lines."""
    columns: tuple[tuple[str, str], ...] = ()
    """For a table: labels and their titles; other labels are hidden."""
    alerts: tuple[str, ...] = ()
    """The alerts on the same subject; the description links to their runbook sections."""
    least: float | None = 0
    """Where the axis begins; None: at the lowest value."""
    nothing: str = "no data yet"
    """The text in place of missing values."""


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard; `variables` are label names, and the series to find their values in."""

    name: str
    title: str
    variables: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Panel, ...], ...]
    marks: tuple[tuple[str, str, str], ...] = ()
    """What is marked in all panels: name, query, and the text of a mark with labels in it."""


def quantiles(
    series: str, by: str, where: str, quantile: tuple[float, ...] = (0.5, 0.95)
) -> tuple[tuple[str, str], ...]:
    """Queries for quantiles of a histogram, over the rate interval."""
    rate = f"rate({series}_bucket{{{where}}}[$__rate_interval])"
    return tuple(
        (f"histogram_quantile({q}, sum by ({by}, le) ({rate}))", f"{{{{{by}}}}} p{round(100 * q)}") for q in quantile
    )


def executed(where: str) -> tuple[str, str, str]:
    """A mark where a machine was given a command."""
    chosen = f'outcome="done",operation=~"write|call"{where}'
    query = f"sum by (instance, operation) (increase(gateway_commands_total{{{chosen}}}[30s])) > 0"
    return "Executed commands", query, "{{operation}} by way of {{instance}}"


SITE = 'site=~"$site"'
LINE = 'line=~"$line"'
MACHINES = f'{LINE},machine=~"$machine"'
GATE = 'instance=~"$instance"'
PLANT = Board(
    "plant", "Plant overview", (("line", "factory_parts_total"),),
    (
        (
            Panel("gauge", "How well does each line do?", "OEE of the last hour, of summed time elements (ISO 22400): "
                  "the share of the planned time in which good parts were made at the planned speed.",
                  ((f"max by (line) (line:factory_oee:ratio_1h{{{LINE}}})", "{{line}}"),), "percentunit", 8, 7, RATIO,
                  1, alerts=("OEELow",)),
            Panel("stat", "How many good parts an hour?", "Good parts that leave each line, per hour of the plant's "
                  "own time.",
                  ((f"max by (line) (line:factory_good_parts:per_hour_5m{{{LINE}}})", "{{line}}"),), "short", 6, 7),
            Panel("stat", "How much is scrap?", "Share of the parts that left the line in the last hour as scrap.",
                  ((f"1 - min by (line) (line:factory_quality:ratio_1h{{{LINE}}})", "{{line}}"),), "percentunit", 5, 7,
                  ((None, "green"), (0.05, "orange"), (0.1, "red")), 1),
            Panel("stat", "How much wants attention?", "Alerts that fire now, listed below; there should be none. "
                  "", ((f"count({FIRING}) or vector(0)", "alerts"),), "short", 5, 7,
                  ZERO_IS_GOOD),
        ),
        (
            Panel("states", "What is each machine doing?", "One bar per machine; colours are states, working is green.",
                  ((f"machine:factory_state:index{{{LINE}}}", "{{machine}}"),), "short", 24, 8,
                  states=MACHINE_STATES),
        ),
        (
            Panel("lines", "How does OEE develop?", "The hour before each instant.",
                  ((f"max by (line) (line:factory_oee:ratio_1h{{{LINE}}})", "{{line}}"),
                   (f"min by (line) (line:factory_oee:min_1h{{{LINE}}})", "{{line}}, its lowest machine")),
                  "percentunit", 8, 8, RATIO, 1, filled=False, dashed=" lowest machine$", alerts=("OEELow",)),
            Panel("lines", "How much do the lines make?", "Good parts per hour of the plant's own time, over five "
                  "minutes.", ((f"max by (line) (line:factory_good_parts:per_hour_5m{{{LINE}}})", "{{line}}"),),
                  "short", filled=False),
            Panel("lines", "How much power is drawn?", "Electrical power of all machines of a line.",
                  ((f"sum by (line) (machine:factory_power:watts_1m{{{LINE}}})", "{{line}}"),), "watt", filled=False),
        ),
        (
            Panel("bars", "Which machines hold a line back?", "OEE of each machine, the lowest first.",
                  ((f"sort(machine:factory_oee:ratio_1h{{{LINE}}})", "{{machine}}"),), "percentunit", 8, 8, RATIO, 1),
            Panel("bars", "Where is time lost?", "Share of all machine time that was not work, by state, over the time "
                  "shown.",
                  (('sort_desc(sum by (state) (increase(factory_state_seconds_total{state!="working",'
                    f"{LINE}}}[$__range])) / scalar(sum(increase(factory_state_seconds_total{{{LINE}}}[$__range]))))",
                    "{{state}}"),), "percentunit", 8, 8, ((None, "green"), (0.05, "orange"), (0.15, "red"))),
            Panel("table", "What wants attention?", "Alerts that fire now. docker/prometheus/RUNBOOK.md has a section "
                  "for each.",
                  ((f"sum by (alertname, severity, site, source, sink, machine) ({FIRING})",
                    "{{alertname}}"),), "short", 8, 8,
                  columns=(("severity", "Severity"), ("alertname", "Alert"), ("source", "Server"), ("sink", "Broker"),
                           ("machine", "Machine")),
                  nothing="Nothing: all is well."),
        ),
    ),
)  # fmt: skip
MACHINE = Board(
    "machine", "Machine and OEE", (("line", "factory_parts_total"), ("machine", "factory_parts_total")),
    (
        tuple(
            Panel("bars", title, text, ((f"machine:factory_{name}:ratio_1h{{{MACHINES}}}", "{{machine}}"),),
                  "percentunit", 6, 7, RATIO, 1, alerts=alerts)
            for name, title, text, alerts in (
                ("oee", "What is OEE?", "Availability x effectiveness x quality, of the last hour.", ("OEELow",)),
                ("availability", "Is it available?", "Production time by planned busy time (APT / PBT).", ()),
                ("effectiveness", "Is it fast enough?", "Ideal time of what was made by production time.", ()),
                ("quality", "Is it good?", "Good parts by all parts made.", ()),
            )
        ),
        (
            Panel("states", "When did it stand still, and why?", "One bar per machine; what it does at each instant.",
                  ((f"machine:factory_state:index{{{MACHINES}}}", "{{machine}}"),), "short", 24, 8,
                  states=MACHINE_STATES),
        ),
        (
            Panel("lines", "Where does the time go?", "Share of time in each state; all of it together is 100 %.",
                  ((f"sum by (state) (rate(factory_state_seconds_total{{{MACHINES}}}[$__rate_interval])) / "
                    f"scalar(sum(rate(factory_state_seconds_total{{{MACHINES}}}[$__rate_interval])))",
                    "{{state}}"),), "percentunit", 10, 8, CALM, 1, stacked=True,
                  colors=tuple((name, color) for _, name, color in MACHINE_STATES)),
            Panel("bars", "Which losses are the greatest?", "Share of the time shown, by state: the Pareto of losses.",
                  (('sort_desc(sum by (state) (increase(factory_state_seconds_total{state!="working",'
                    f"{MACHINES}}}[$__range])) / "
                    f"scalar(sum(increase(factory_state_seconds_total{{{MACHINES}}}[$__range]))))", "{{state}}"),),
                  "percentunit", 7, 8, ((None, "green"), (0.05, "orange"), (0.15, "red"))),
            Panel("table", "How often did it fail?", "Breakdowns since the start.",
                  ((f"sort_desc(factory_failures_total{{{MACHINES}}})", "{{machine}}"),), "short", 7, 8,
                  columns=(("machine", "Machine"), ("Value", "Breakdowns"))),
        ),
        (
            Panel("lines", "How long is a cycle?", "Mean work time of a part, and dashed the ideal that OEE compares "
                  "with.",
                  ((f"machine:factory_cycle_seconds:mean_5m{{{MACHINES}}}", "{{machine}}"),
                   (f"factory_ideal_cycle_seconds{{{MACHINES}}}", "{{machine}} ideal")), "s", 12, 8, filled=False,
                  dashed=" ideal$"),
            Panel("lines", "How much power does it draw?", "Electrical power of each machine.",
                  ((f"machine:factory_power:watts_1m{{{MACHINES}}}", "{{machine}}"),), "watt", 12, 8, filled=False),
        ),
    ),
    (executed(""),),
)  # fmt: skip
GATEWAY = Board(
    "gateway", "Gateway: flow, delay, errors", (("instance", "gateway_ready"),),
    (
        (
            Panel("stat", "Is all connected?", "Ready means that every server and every broker is connected.",
                  ((f"gateway_ready{{{GATE}}}", "{{instance}}"),), "short", 6, 5, UP, 1, READY,
                  alerts=("SourceDisconnected", "SinkDisconnected")),
            Panel("stat", "Do the books balance?", "Values that are unaccounted for: anything but 0 is a bug.",
                  ((f"abs(gateway_books_imbalance_values{{{GATE}}})", "{{sink}}"),), "short", 6, 5, ZERO_IS_GOOD,
                  alerts=("ConservationViolated",)),
            Panel("stat", "Was anything lost?", "Values dropped since the start, by broker.",
                  ((f"sum by (instance, sink) (gateway_values_dropped_total{{{GATE}}})", "{{sink}}"),), "short", 6, 5,
                  ZERO_IS_GOOD, alerts=("DataLoss",)),
            Panel("stat", "How much waits on disk?", "Values received and not yet acknowledged by the broker.",
                  ((f"gateway_outbox_values{{{GATE}}}", "{{sink}}"),), "short", 6, 5, alerts=("BacklogGrowing",)),
        ),
        (
            Panel("lines", "How much comes in?", "Values per second of each server, durable on disk.",
                  ((f"rate(gateway_values_received_total{{{GATE}}}[$__rate_interval])", "{{source}}"),), "ops"),
            Panel("lines", "How good are the values?", "Values per second by quality.",
                  ((f"sum by (quality) (rate(gateway_source_values_total{{{GATE}}}[$__rate_interval]))",
                    "{{quality}}"),), "ops", alerts=("BadQualityRatio",),
                  colors=(("good", "green"), ("uncertain", "yellow"), ("bad", "red"))),
            Panel("states", "Which servers are connected?", "Red while an OPC UA server is away.",
                  ((f"gateway_source_connected{{{GATE}}}", "{{source}}"),), "short", states=CONNECTED,
                  alerts=("SourceDisconnected", "SourceFlapping")),
        ),
        (
            Panel("lines", "How old is a value on arrival?", "From source timestamp to PUBACK, median and 95th "
                  "percentile; it includes the server's sampling and publishing.",
                  quantiles("gateway_delay_seconds", "source", GATE), "s", alerts=("DelayHigh",)),
            Panel("lines", "How late is the gateway itself?", "99th percentile of the event loop's lateness.",
                  quantiles("gateway_event_loop_lag_seconds", "instance", GATE, (0.99,)),
                  "s", steps=((None, "green"), (0.1, "orange"), (0.5, "red")), alerts=("EventLoopLate",)),
            Panel("lines", "How far are the clocks apart?", "The server's clock less the gateway's.",
                  ((f"gateway_source_clock_offset_seconds{{{GATE}}}", "{{source}}"),), "s", least=None,
                  alerts=("ClockSkew",)),
        ),
        (
            Panel("bars", "Why were connections lost?", "Servers and brokers lost over the time shown, by cause.",
                  ((f"sort_desc(sum by (cause) (increase(gateway_source_disconnects_total{{{GATE}}}[$__range])) + "
                    f"sum by (cause) (increase(gateway_sink_disconnects_total{{{GATE}}}[$__range])))", "{{cause}}"),),
                  "short", 6, steps=ZERO_IS_GOOD, alerts=("SourceFlapping", "SinkFlapping")),
            Panel("lines", "Are all variables subscribed?", "Variables by state; failed ones are retried.",
                  ((f"sum by (source, state) (gateway_source_monitored_items{{{GATE}}})", "{{source}} {{state}}"),
                   (f"sum by (source) (gateway_source_refused_lookups{{{GATE}}})", "{{source}} look-ups refused"),
                   (f"sum by (source) (gateway_source_empty_selections{{{GATE}}})", "{{source}} rules without match")),
                  "short", 6, alerts=("VariablesFailed", "AddressSpaceRefused")),
            Panel("bars", "Which certificate ends first?", "Time until our certificates end, and those that servers "
                  "and brokers showed when they were last connected.",
                  (("sort(min by (source, sink, certificate) (("
                    f"gateway_source_certificate_expires_timestamp_seconds{{{GATE}}} or "
                    f"gateway_sink_certificate_expires_timestamp_seconds{{{GATE}}}) > 0) - time())",
                    "{{source}}{{sink}} {{certificate}}"),), "s", 6, steps=ENDS,
                  alerts=("CertificateExpires30d", "CertificateExpires7d")),
            Panel("lines", "How much processor does it take?", "Share of one core that the process used.",
                  ((f'rate(process_cpu_seconds_total{{job="gateway",{GATE}}}[$__rate_interval])', "{{instance}}"),),
                  "percentunit", 6),
        ),
        (
            Panel("lines", "What became of commands?", "Commands per second that got their outcome.",
                  ((f"sum by (outcome) (rate(gateway_commands_total{{{GATE}}}[$__rate_interval]))", "{{outcome}}"),),
                  "ops", alerts=("CommandOutcomeUnknown",), nothing="no commands",
                  colors=(("done", "green"), ("refused", "yellow"), ("failed", "orange"), ("unknown", "red"))),
            Panel("bars", "Why were commands refused?", "Refused over the time shown, by reason.",
                  ((f"sort_desc(sum by (reason) (increase(gateway_command_refusals_total{{{GATE}}}[$__range])) > 0)",
                    "{{reason}}"),), "short", alerts=("CommandsRefused",), nothing="none refused"),
            Panel("lines", "How long does a command take?", "From its arrival to its outcome, median and 95th "
                  "percentile.", quantiles("gateway_command_seconds", "operation", GATE), "s", nothing="no commands",
                  alerts=("CommandJournalFull", "CommandJournalStopped")),
        ),
    ),
    (executed(f",{GATE}"),),
)  # fmt: skip
DELIVERY = Board(
    "delivery", "Delivery and backlog", (("instance", "gateway_ready"),),
    (
        (
            Panel("states", "Which brokers are connected?", "Red while a broker is away; values wait on disk.",
                  ((f"gateway_sink_connected{{{GATE}}}", "{{sink}}"),), "short", 12, 6, states=CONNECTED,
                  alerts=("SinkDisconnected", "SinkFlapping")),
            Panel("lines", "Is the backlog growing?", "Values on disk for each broker.",
                  ((f"gateway_outbox_values{{{GATE}}}", "{{sink}}"),), "short", 12, 6,
                  alerts=("BacklogGrowing", "BacklogTimeToFull")),
        ),
        (
            Panel("lines", "How much is delivered?", "Values per second that the broker acknowledged.",
                  ((f"rate(gateway_values_delivered_total{{{GATE}}}[$__rate_interval])", "{{sink}}"),), "ops"),
            Panel("lines", "How quickly does the broker answer?", "From publish to PUBACK, median and 95th percentile.",
                  quantiles("gateway_sink_ack_seconds", "sink", GATE), "s", alerts=("AckLatencyHigh",)),
            Panel("lines", "How full is the disk?", "Share of outbox.max_bytes that is in use.",
                  ((f"gateway_outbox_bytes{{{GATE}}} / gateway_outbox_capacity_bytes{{{GATE}}}", "{{instance}}"),),
                  "percentunit", steps=((None, "green"), (0.5, "orange"), (0.8, "red")), most=1,
                  alerts=("BacklogTimeToFull",)),
        ),
        (
            Panel("lines", "How long do values wait?", "Age of the oldest message in the outbox.",
                  ((f"gateway_outbox_oldest_age_seconds{{{GATE}}}", "{{instance}}"),), "s",
                  steps=((None, "green"), (60, "orange"), (900, "red")), alerts=("OldestMessageTooOld",)),
            Panel("lines", "How much is sent again?", "Messages per second sent again after a session broke: the "
                  "broker may have received them before.",
                  ((f"rate(gateway_sink_messages_repeated_total{{{GATE}}}[$__rate_interval])", "{{sink}}"),), "ops"),
            Panel("lines", "Is publishing held back?", "Share of the time in which a backlog waited for "
                  "replay.max_rate.",
                  ((f"rate(gateway_sink_throttled_seconds_total{{{GATE}}}[$__rate_interval])", "{{sink}}"),),
                  "percentunit", most=1, alerts=("ThrottledByQuota",)),
        ),
        (
            Panel("lines", "What does it cost?", "Units a cloud would charge for, per day at this rate.",
                  ((f"86400 * sum by (sink, unit) (rate(gateway_sink_cloud_units_total{{{GATE}}}[$__rate_interval]))",
                    "{{sink}} {{unit}}"),), "short"),
            Panel("lines", "How much traffic is it?", "Payload bytes per second that the broker acknowledged.",
                  ((f"rate(gateway_sink_payload_bytes_total{{{GATE}}}[$__rate_interval])", "{{sink}}"),), "Bps"),
            Panel("stat", "What does the broker refuse?", "Messages refused for now, and dead letters, on disk.",
                  ((f"gateway_sink_refused_messages{{{GATE}}}", "refused for now"),
                   (f"gateway_sink_dead_letter_messages{{{GATE}}}", "dead letters")), "short", steps=ZERO_IS_GOOD,
                  alerts=("RefusedByBroker",)),
        ),
    ),
)  # fmt: skip
FLEET = Board(
    "fleet", "Fleet of gateways", (("site", "gateway_ready"),),
    (
        (
            Panel("table", "Which gateways are there?", "Version and Python of each.",
                  ((f"gateway_build_info{{{SITE}}}", "{{instance}}"),), "short", 12, 7,
                  columns=(("instance", "Gateway"), ("site", "Site"), ("version", "Version"), ("python", "Python")),
                  alerts=("GatewayDown",)),
            Panel("states", "Which are ready?", "Green while every server and broker of the gateway is connected.",
                  ((f"gateway_ready{{{SITE}}}", "{{instance}}"),), "short", 12, 7, states=READY,
                  alerts=("GatewayDown", "GatewayRestarts")),
        ),
        (
            Panel("lines", "How much does each carry?", "Values received per second.",
                  ((f"site:gateway_values:rate1m{{{SITE}}}", "{{instance}}"),), "ops"),
            Panel("lines", "How much memory does each take?", "Resident memory of the gateway's process.",
                  ((f'process_resident_memory_bytes{{job="gateway",{SITE}}}', "{{instance}}"),), "bytes"),
            Panel("stat", "How old is the oldest value?", "Age of the oldest message in each outbox.",
                  ((f"gateway_outbox_oldest_age_seconds{{{SITE}}}", "{{instance}}"),), "s",
                  steps=((None, "green"), (60, "orange"), (900, "red")), alerts=("OldestMessageTooOld",)),
        ),
        (
            Panel("lines", "How much waits in the field?", "Values on disk of all gateways and brokers.",
                  ((f"sum by (instance) (gateway_outbox_values{{{SITE}}})", "{{instance}}"),), "short", stacked=True,
                  alerts=("BacklogGrowing",)),
            Panel("stat", "Was every configuration taken?", "0 if the last change of a configuration was refused.",
                  ((f"gateway_config_last_reload_success{{{SITE}}}", "{{instance}}"),), "short", 8, 8, UP, 1,
                  ((0, "refused", "red"), (1, "taken", "green")), alerts=("ConfigurationRefused",)),
            Panel("stat", "How long has each been up?", "Time since the gateway was started.",
                  ((f"time() - gateway_start_time_seconds{{{SITE}}}", "{{instance}}"),), "s",
                  alerts=("GatewayRestarts",)),
        ),
    ),
)  # fmt: skip
BOARDS = (PLANT, MACHINE, GATEWAY, DELIVERY, FLEET)
