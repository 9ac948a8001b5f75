"""Every recording rule gives the figure it should, none without data, and the same when what it reads restarts."""

from pathlib import Path

import pytest
import yaml

from simulators.flow import Factory
from simulators.metrics import Metrics, RunStatus
from simulators.plant import load
from tests.support.prometheus import judge

RULES = Path(__file__).parents[3] / "docker" / "prometheus" / "rules" / "recording.yml"
PLANTS = Path(__file__).parents[3] / "config" / "plants"
F = 'job="factory",site="contoso",instance="f"'
LINE = f'{{{F},line="l"}}'


def machine(name: str, **labels: str) -> str:
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    return f'{{{F},line="l",machine="l/{name}"{more}}}'


def counter(per_step: float, restart: bool) -> str:
    """121 samples; with a restart it begins again from 0 half way."""
    return f"0+{per_step}x60 0+{per_step}x59" if restart else f"0+{per_step}x120"


def factory(restart: bool) -> dict[str, str]:
    """Two machines: `a` is available 80 % and fast 75 %, `b` all of it; 90 % and 100 % good; 60 s per step."""
    figures = {
        "a": {"pbt": 60, "apt": 48, "ideal": 36, "good": 9, "scrap": 1, "working": 48, "down": 12, "joules": 1200},
        "b": {"pbt": 60, "apt": 60, "ideal": 60, "good": 18, "scrap": 0, "working": 60, "down": 0, "joules": 2400},
    }
    series = {}
    for name, figure in figures.items():
        for element in ("pbt", "apt", "ideal"):
            series[f"factory_element_seconds_total{machine(name, element=element)}"] = counter(figure[element], restart)
        for verdict in ("good", "scrap"):
            series[f"factory_parts_total{machine(name, verdict=verdict)}"] = counter(figure[verdict], restart)
        for state in ("working", "down"):
            series[f"factory_state_seconds_total{machine(name, state=state)}"] = counter(figure[state], restart)
        series[f"factory_energy_joules_total{machine(name)}"] = counter(figure["joules"], restart)
        series[f"factory_ideal_cycle_seconds{machine(name)}"] = "6+0x120"
        series[f"factory_cycle_seconds_sum{machine(name)}"] = counter(70, restart)
        series[f"factory_cycle_seconds_count{machine(name)}"] = counter(10, restart)
    for number, state in enumerate(("working", "setup", "starved", "blocked", "held", "down", "maintenance", "off")):
        series[f"factory_machine_state{machine('a', state=state)}"] = f"{int(number == 5)}+0x120"
        series[f"factory_machine_state{machine('b', state=state)}"] = f"{int(number == 0)}+0x120"
    for what, each in (("entered", 12), ("good", 9), ("scrap", 1)):
        series[f'factory_line_parts_total{{{F},line="l",what="{what}"}}'] = counter(each, restart)
    series[f'factory_line_seconds_total{{{F},line="l"}}'] = counter(60, restart)
    belt = machine("belt", verdict="good")
    return series | {f"factory_parts_total{belt}": "0+0x120"}  # makes no parts: no ratio


G = 'site="contoso",instance="g"'


def gateway(restart: bool) -> dict[str, str]:
    """60 values received and delivered a second by two servers, 10 % bad; PUBACKs and delays all in one bucket."""
    series = {
        f'gateway_values_received_total{{source="{name}",{G}}}': counter(1800, restart) for name in ("m", "s")
    } | {f'gateway_values_delivered_total{{sink="k",{G}}}': counter(3600, restart)}
    for quality, each in (("good", 90), ("uncertain", 4), ("bad", 6)):
        series[f'gateway_source_values_total{{source="m",quality="{quality}",{G}}}'] = counter(each, restart)
    for name, labels in (("sink_ack", 'sink="k"'), ("delay", 'source="m",sink="k"')):
        for le, each in (("1", 0), ("2", 20), ("+Inf", 20)):
            series[f'gateway_{name}_seconds_bucket{{le="{le}",{labels},{G}}}'] = counter(each, restart)
    return series


A, B = machine("a"), machine("b")
WANTED: dict[str, dict[str, float]] = {
    "machine:factory_availability:ratio_1h": {A: 0.8, B: 1},
    "machine:factory_effectiveness:ratio_1h": {A: 0.75, B: 1},
    "machine:factory_quality:ratio_1h": {A: 0.9, B: 1},  # the belt made nothing: no ratio
    "machine:factory_oee:ratio_1h": {A: 0.54, B: 1},
    "line:factory_availability:ratio_1h": {LINE: 0.9},  # 108 / 120: of sums, not a mean of ratios
    "line:factory_effectiveness:ratio_1h": {LINE: 0.889},
    "line:factory_quality:ratio_1h": {LINE: 0.9},  # of what leaves the line
    "line:factory_oee:ratio_1h": {LINE: 0.72},
    "line:factory_oee:min_1h": {LINE: 0.54},
    "line:factory_good_parts:per_hour_5m": {LINE: 540},
    "machine:factory_cycle_seconds:mean_5m": {A: 7, B: 7},
    "machine:factory_power:watts_1m": {A: 20, B: 40},
    "machine:factory_state:index": {A: 6, B: 1},
    "site:gateway_values:rate1m": {f"{{{G}}}": 60},
    "sink:gateway_delivered_values:rate1m": {f'{{sink="k",{G}}}': 60},
    "sink:gateway_ack_seconds:p95_5m": {f'{{sink="k",{G}}}': 1.95},
    "source:gateway_delay_seconds:p95_5m": {f'{{source="m",sink="k",{G}}}': 1.95},
    "source:gateway_bad_values:ratio_5m": {f'{{source="m",{G}}}': 0.1},
}


def test_every_recording_rule_has_a_case() -> None:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    assert {rule["record"] for group in groups for rule in group["rules"]} == set(WANTED)


def test_every_recording_rule_gives_the_expected_figure(tmp_path: Path) -> None:
    judge(tmp_path, factory(False) | gateway(False), WANTED)


@pytest.mark.parametrize("at", ["59m", "75m", "118m"])
def test_a_counter_reset_does_not_change_a_ratio(at: str, tmp_path: Path) -> None:
    ratios = {record: samples for record, samples in WANTED.items() if "ratio" in record or "min" in record}
    judge(tmp_path, factory(True) | gateway(True), ratios, at)


def test_without_data_a_recording_rule_gives_no_figure(tmp_path: Path) -> None:
    judge(tmp_path, {"unrelated": "1x120"}, {record: {} for record in WANTED})


def test_a_standing_machine_has_no_figure_instead_of_a_wrong_one(tmp_path: Path) -> None:
    still = {name: "5+0x120" for name in factory(False) if "_total" in name or "cycle_seconds_" in name}
    quiet = [record for record in WANTED if record.startswith(("machine", "line")) and "state" not in record]
    judge(tmp_path, still, {record: {} for record in quiet})


@pytest.mark.parametrize("name", ["end-of-line", "machining-cell", "body-shop"])
def test_recorded_figures_of_a_line_equal_those_of_its_simulator(name: str, tmp_path: Path) -> None:
    """Rework, parallel machines, branches and several products: the rules give what the simulator knows."""
    factory = Factory(load(PLANTS / f"{name}.yaml"), seed=3, keeping=False)
    metrics = Metrics(factory.machines, lambda: RunStatus(factory.now_s, 60, 60, 0, 0, 0, 0, 0, 0), lines=factory.lines)
    series: dict[str, list[float]] = {}
    for step in range(121):  # a sample a minute at 60 times real time
        if step:
            factory.run(3600.0 * step)
        for family in metrics.registry.collect():
            for sample in family.samples:
                if sample.name in ("factory_line_parts_total", "factory_line_seconds_total"):
                    labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
                    series.setdefault(f"{sample.name}{{{labels}}}", []).append(sample.value)
    line = factory.lines[0]

    def gained(what: str, steps: int) -> float:
        """How many parts within the last minutes before the 118th."""
        counts = series[f'factory_line_parts_total{{line="{line.name}",what="{what}"}}']
        return counts[118] - counts[118 - steps]

    good, scrap = gained("good", 60), gained("scrap", 60)
    per_hour = gained("good", 5) / 5
    assert scrap > 0
    assert good > 0
    wanted = {
        "line:factory_good_parts:per_hour_5m": {f'{{line="{line.name}"}}': round(per_hour, 3)},
        "line:factory_quality:ratio_1h": {f'{{line="{line.name}"}}': round(good / (good + scrap), 3)},
    }
    judge(tmp_path, {key: " ".join(f"{value:g}" for value in values) for key, values in series.items()}, wanted)
