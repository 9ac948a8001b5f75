"""The dashboards of plants and machines.

Output and power of a plant are per hour of its own time (`recording.yml`): a plant simulated ten times faster does not
make more parts an hour.
"""

from docker.grafana.panel import (
    CALM,
    FIRING,
    RATIO,
    SITE,
    ZERO_IS_GOOD,
    Board,
    Column,
    Panel,
    States,
    each,
    linked,
    marks,
)

MACHINE_STATES: States = (
    (1, "working", "green"), (2, "setup", "light-blue"), (3, "starved", "yellow"), (4, "blocked", "orange"),
    (5, "held", "purple"), (6, "down", "red"), (7, "maintenance", "blue"), (8, "off", "#5a5f6b"),
)  # fmt: skip
LINE = f'{SITE},line=~"$line"'
MACHINES = f'{LINE},machine=~"$machine"'
LOST = ((None, "green"), (0.05, "orange"), (0.15, "red"))
TO_LINE = (("The machines of ${__field.labels.line}", linked("machine", line="${__field.labels.line}")),)
TO_MACHINE = (("The machine ${__field.labels.machine}", linked("machine", machine="${__field.labels.machine}")),)


def losses(where: str) -> tuple[tuple[str, str], ...]:
    """Shares of machine time that was not work, the greatest first."""
    every = f"scalar(sum(increase(factory_state_seconds_total{{{where}}}[$__range])))"
    lost = f'increase(factory_state_seconds_total{{state!="working",{where}}}[$__range])'
    return ((f"sort_desc(sum by (state) ({lost}) / {every})", "{{state}}"),)


PLANT = Board(
    "plant", "Plant overview", (("site", "factory_parts_total"), ("line", "factory_parts_total")),
    (
        (
            Panel("gauge", "How well does each line do?", "OEE of the last hour, of summed time elements (ISO 22400): "
                  "the share of the planned time in which good parts were made at the planned speed.",
                  (each("line", f"line:factory_oee:ratio_1h{{{LINE}}}", "max"),), "percentunit", 8, 7, RATIO,
                  1, alerts=("OEELow",), links=TO_LINE),
            Panel("stat", "How many good parts an hour?", "Good parts that leave each line, per hour of the plant's "
                  "own time.", (each("line", f"line:factory_good_parts:per_hour_5m{{{LINE}}}", "max"),),
                  "count:parts/h", 6, 7, links=TO_LINE),
            Panel("stat", "How much is scrap?", "Share of the parts that left the line in the last hour as scrap.",
                  (each("line", f"1 - line:factory_quality:ratio_1h{{{LINE}}}", "max"),), "percentunit", 5, 7,
                  ((None, "green"), (0.05, "orange"), (0.1, "red")), 1, links=TO_LINE),
            Panel("stat", "How much wants attention?", "Alerts that fire now, listed below; there should be none.",
                  ((f"count({FIRING}) or vector(0)", "alerts"),), "count:alerts", 5, 7, ZERO_IS_GOOD,
                  states=((0, "all is well", "green"),)),
        ),
        (
            Panel("states", "What is each machine doing?", "One bar per machine; colours are states, working is green.",
                  (each("machine", f"machine:factory_state:index{{{LINE}}}", "max"),), "short", 24, 9,
                  states=MACHINE_STATES, links=TO_MACHINE),
        ),
        (
            Panel("lines", "How does OEE develop?", "The hour before each instant; dashed, the lowest machine of the "
                  "line.",
                  (each("line", f"line:factory_oee:ratio_1h{{{LINE}}}", "max"),
                   (f"min by (line) (line:factory_oee:min_1h{{{LINE}}})", "{{line}}, its lowest")),
                  "percentunit", 12, 8, RATIO, 1, filled=False, beside=True, dashed=" lowest$", alerts=("OEELow",),
                  links=TO_LINE),
            Panel("lines", "How much do the lines make?", "Good parts per hour of the plant's own time, over five "
                  "minutes.", (each("line", f"line:factory_good_parts:per_hour_5m{{{LINE}}}", "max"),),
                  "count:parts/h", 12, 8, filled=False, beside=True, links=TO_LINE),
        ),
        (
            Panel("bars", "Which machines hold a line back?", "OEE of each machine, the lowest first.",
                  ((f"sort(max by (machine) (machine:factory_oee:ratio_1h{{{LINE}}}))", "{{machine}}"),),
                  "percentunit", 8, 10, RATIO, 1, links=TO_MACHINE),
            Panel("bars", "Where is time lost?", "Share of all machine time that was not work, by state, over the time "
                  "shown, the greatest first.", losses(LINE), "percentunit", 8, 10, LOST),
            Panel("lines", "How much power is drawn?", "Electrical power of all machines of a line.",
                  (each("line", f"machine:factory_power:watts_1m{{{LINE}}}"),), "watt", 8, 10, filled=False,
                  links=TO_LINE),
        ),
        (
            Panel("table", "What wants attention?", "Alerts that fire now. The runbook has a section for each: "
                  "${runbook}",
                  ((f"sum by (alertname, severity, site, instance, source, sink, machine) ({FIRING})",
                    "{{alertname}}"),), "short", 24, 6,
                  columns=(Column("severity", "Severity"), Column("alertname", "Alert"), Column("site", "Site"),
                           Column("instance", "Gateway", link=linked("gateway", instance="${__value.text}")),
                           Column("source", "Server"), Column("sink", "Broker"),
                           Column("machine", "Machine", link=linked("machine", machine="${__value.text}"))),
                  sort=("Alert", False), nothing="Nothing: all is well."),
        ),
    ),
    marks(SITE),
)  # fmt: skip


def of_machines(series: str, how: str = "max") -> tuple[str, str]:
    """The query of one column of the machines' table."""
    return f"{how} by (site, machine) ({series})", ""


RATIOS = (("oee", "OEE"), ("availability", "Availability"), ("effectiveness", "Effectiveness"), ("quality", "Quality"))
MACHINE = Board(
    "machine", "Machine and OEE",
    (("site", "factory_parts_total"), ("line", "factory_parts_total"), ("machine", "factory_parts_total")),
    (
        (
            Panel("table", "How does each machine do?", "Of the last hour: OEE is availability (production time by "
                  "planned busy time), times effectiveness (ideal time of what was made by production time), times "
                  "quality (good parts by all). Breakdowns are those of the time shown. A click on the site leads to "
                  "its gateways.",
                  (*(of_machines(f"machine:factory_{name}:ratio_1h{{{MACHINES}}}") for name, _ in RATIOS),
                   of_machines(f"machine:factory_cycle_seconds:mean_5m{{{MACHINES}}}"),
                   of_machines(f"factory_ideal_cycle_seconds{{{MACHINES}}}"),
                   of_machines(f"increase(factory_failures_total{{{MACHINES}}}[$__range])", "sum"),
                   of_machines(f"machine:factory_power:watts_1m{{{MACHINES}}}", "sum")),
                  "short", 24, 12, alerts=("OEELow",), sort=("Machine", False),
                  columns=(Column("machine", "Machine", link=linked("machine", machine="${__value.text}")),
                           *(Column(f"Value #{chr(ord('A') + n)}", title, "percentunit", RATIO)
                             for n, (_, title) in enumerate(RATIOS)),
                           Column("Value #E", "Cycle", "s"), Column("Value #F", "Ideal cycle", "s"),
                           Column("Value #G", "Breakdowns", "short", decimals=0),
                           Column("Value #H", "Power", "watt"),
                           Column("site", "Site", link=linked("gateway", site="${__value.text}")))),
        ),
        (
            Panel("states", "When did it stand still, and why?", "One bar per machine; what it does at each instant.",
                  (each("machine", f"machine:factory_state:index{{{MACHINES}}}", "max"),), "short", 24, 9,
                  states=MACHINE_STATES, links=TO_MACHINE),
        ),
        (
            Panel("lines", "Where does the time go?", "Share of time in each state; all of it together is 100 %.",
                  ((f"sum by (state) (rate(factory_state_seconds_total{{{MACHINES}}}[$__rate_interval])) / "
                    f"scalar(sum(rate(factory_state_seconds_total{{{MACHINES}}}[$__rate_interval])))",
                    "{{state}}"),), "percentunit", 12, 8, CALM, 1, stacked=True, beside=True,
                  colors=tuple((name, color) for _, name, color in MACHINE_STATES)),
            Panel("bars", "Which losses are the greatest?", "Share of the time shown, by state, the greatest first: "
                  "the Pareto of losses.", losses(MACHINES), "percentunit", 12, 8, LOST),
        ),
        (
            Panel("lines", "How long is a cycle, beside its ideal?", "Mean work time of a part by the work time that "
                  "OEE compares it with: 100 % is as fast as planned.",
                  (each("machine", f"machine:factory_cycle_seconds:mean_5m{{{MACHINES}}} / "
                        f"on (site, instance, machine) factory_ideal_cycle_seconds{{{MACHINES}}}", "max"),),
                  "percentunit", 12, 10, ((None, "green"), (1.0, "orange")), filled=False, beside=True,
                  links=TO_MACHINE),
            Panel("lines", "How much power does it draw?", "Electrical power of each machine.",
                  (each("machine", f"machine:factory_power:watts_1m{{{MACHINES}}}", "max"),), "watt", 12, 10,
                  filled=False, beside=True, links=TO_MACHINE),
        ),
    ),
    marks(SITE, ',machine=~"|$machine"'),
)  # fmt: skip
