"""Each alert fires when it should, and at no other time: judged by promtool over made-up series."""

import json
import re
import runpy
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli import cli
from tests.support.brokers import program_of
from tests.support.panels import panels

FOLDER = Path(__file__).parents[3] / "docker" / "prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
Series = dict[str, str]
G = 'instance="gateway",site="contoso"'
SOURCE = f'{{source="munich",{G}}}'
SINK = f'{{sink="broker",{G}}}'


@dataclass(frozen=True)
class Case:
    """Series that set an alert off, series just as bad as may be, and series that go back and forth."""

    alert: str
    fires: Series
    quiet: Series
    flaps: Series


def _flat(value: float) -> str:
    return f"{value}+0"


def _level(alert: str, name: str, labels: str, bad: float, good: float) -> Case:
    series = name + labels
    turns = " ".join(str(v) for v in [good, good, good, bad] * 60)
    return Case(alert, {series: f"{_flat(bad)}x240"}, {series: f"{_flat(good)}x240"}, {series: turns})


def _count(alert: str, name: str, labels: str, most: int = 0) -> Case:
    """A counter: it fires after a step by more than `most` and holds; what it may rise by and a reset are quiet."""
    series = name + labels
    step = f"0x180 {most + 2}x60"
    return Case(alert, {series: step}, {series: f"0x180 {most}x60"}, {series: "5x180 0x60"})


def _histogram(alert: str, name: str, labels: str, slow_le: float, fast_le: float) -> Case:
    def series(all_below: float) -> Series:
        inner = labels[1:-1]
        return {
            f'{name}_bucket{{le="{le}",{inner}}}': ("0+10x240" if bound >= all_below else "0x240")
            for le, bound in (
                (f"{fast_le:g}", fast_le), (f"{slow_le / 1.01:g}", slow_le / 1.01), (f"{slow_le:g}", slow_le),
                ("+Inf", float("inf")),
            )
        }  # fmt: skip

    return Case(alert, series(slow_le), series(fast_le), series(fast_le))


HEARD = f"gateway_source_last_response_timestamp_seconds{SOURCE}"
CONNECTED = f"gateway_source_connected{SOURCE}"
ENDS = "gateway_source_certificate_expires_timestamp_seconds"
SHOWN_ENDS = "gateway_sink_certificate_expires_timestamp_seconds"
BROKERS_CERTIFICATE = '{sink="broker",certificate="broker",instance="gateway",site="contoso"}'
CERTIFICATE = '{source="munich",certificate="own",instance="gateway",site="contoso"}'
DAY = 86400
QUALITY = '{{source="munich",quality="{}",instance="gateway",site="contoso"}}'
BUSY = {f"gateway_source_values_total{QUALITY.format('good')}": "0+80x240"}
GROUP_LOG = 'gateway_group_log_bytes{{what="{}",instance="gateway",site="contoso"}}'
JOURNAL = 'gateway_command_journal_bytes{{what="{}",instance="gateway",site="contoso"}}'
CASES = [
    _count("CommandOutcomeUnknown", "gateway_commands_total", f'{{operation="write",outcome="unknown",{G}}}'),
    _count("CommandsRefused", "gateway_command_refusals_total", f'{{reason="out_of_range",{G}}}', 20),
    _level("CommandJournalStopped", "gateway_command_journal_writable", f"{{{G}}}", 0, 1),
    Case(
        "CommandJournalFull",
        {JOURNAL.format("held"): "90x240", JOURNAL.format("capacity"): "100x240"},
        {JOURNAL.format("held"): "70x240", JOURNAL.format("capacity"): "100x240"},
        {JOURNAL.format("held"): " ".join(["70", "90"] * 120), JOURNAL.format("capacity"): "100x240"},
    ),
    _level("GroupWorkWithoutMember", "gateway_group_works_without_member", f"{{{G}}}", 1, 0),
    Case(
        "GroupLogFilling",
        {GROUP_LOG.format("held"): "80x240", GROUP_LOG.format("capacity"): "100x240"},
        {GROUP_LOG.format("held"): "60x240", GROUP_LOG.format("capacity"): "100x240"},
        {GROUP_LOG.format("held"): " ".join(["60", "80"] * 120), GROUP_LOG.format("capacity"): "100x240"},
    ),
    _level("GatewayDown", "up", '{job="gateway",instance="gateway"}', 0, 1),
    Case(
        "GatewayRestarts",
        {f"gateway_start_time_seconds{{{G}}}": "1x180 2 3 4 5 6 6x55"},
        {f"gateway_start_time_seconds{{{G}}}": "1x180 2 3 4 4x57"},
        {f"gateway_start_time_seconds{{{G}}}": "1x240"},
    ),
    _level("SourceDisconnected", "gateway_source_connected", SOURCE, 0, 1),
    _level("SinkDisconnected", "gateway_sink_connected", SINK, 0, 1),
    Case(
        "SourceSilent",
        {HEARD: "1000x240", CONNECTED: "1x240"},
        {HEARD: "1+30x240", CONNECTED: "1x240"},
        {HEARD: "0x240", CONNECTED: "1x240"},
    ),
    _count("PeerFault", "gateway_source_disconnects_total", f'{{source="munich",cause="bug",{G}}}'),
    _count("PeerFault", "gateway_source_connect_failures_total", f'{{source="munich",cause="bug",{G}}}'),
    _count("PeerFault", "gateway_sink_disconnects_total", f'{{sink="broker",cause="bug",{G}}}'),
    _count("PeerFault", "gateway_sink_connect_failures_total", f'{{sink="broker",cause="bug",{G}}}'),
    _count("SourceFlapping", "gateway_source_connects_total", SOURCE, 4),
    _count("SinkFlapping", "gateway_sink_connects_total", SINK, 4),
    Case(
        "BacklogGrowing",
        {f"gateway_outbox_values{SINK}": "0+100x240"},
        {f"gateway_outbox_values{SINK}": "20000x240"},
        {f"gateway_outbox_values{SINK}": " ".join(["5000", "5200"] * 120)},
    ),
    Case(
        "BacklogTimeToFull",
        {f"gateway_outbox_bytes{{{G}}}": "0+100x240", f"gateway_outbox_capacity_bytes{{{G}}}": "50000x240"},
        {f"gateway_outbox_bytes{{{G}}}": "0+100x240", f"gateway_outbox_capacity_bytes{{{G}}}": "1000000x240"},
        {f"gateway_outbox_bytes{{{G}}}": "90000x240", f"gateway_outbox_capacity_bytes{{{G}}}": "120000x240"},
    ),
    _level("OldestMessageTooOld", "gateway_outbox_oldest_age_seconds", f"{{{G}}}", 1000, 800),
    _level("OldestMessageDaysOld", "gateway_outbox_oldest_age_seconds", f"{{{G}}}", 7 * DAY, 5 * DAY),
    _count("PeerFault", "gateway_sink_disconnects_total", f'{{cause="bug",sink="broker",{G}}}'),
    _count("DataLoss", "gateway_values_dropped_total", '{sink="broker",reason="expired",instance="gateway"}'),
    _level("ConservationViolated", "gateway_books_imbalance_values", SINK, 3, 0),
    _count("NotificationGaps", "gateway_source_sequence_gaps_total", SOURCE),
    _count("ServerQueueOverflow", "gateway_source_queue_overflows_total", SOURCE),
    _count("ValuesUndecodable", "gateway_source_undecodable_total", SOURCE),
    _level("VariablesFailed", "gateway_source_monitored_items", f'{{state="failed",source="munich",{G}}}', 2, 0),
    _level("AddressSpaceRefused", "gateway_source_refused_lookups", SOURCE, 1, 0),
    Case(
        "BadQualityRatio",
        BUSY | {f"gateway_source_values_total{QUALITY.format('bad')}": "0+20x240"},
        BUSY | {f"gateway_source_values_total{QUALITY.format('bad')}": "0+5x240"},
        BUSY | {f"gateway_source_values_total{QUALITY.format('bad')}": "0x192 40x45"},
    ),
    _level("ClockSkew", "gateway_source_clock_offset_seconds", SOURCE, -6, -4),
    _histogram("AckLatencyHigh", "gateway_sink_ack_seconds", SINK, 5.0, 1.0),
    _histogram("DelayHigh", "gateway_delay_seconds", f'{{source="munich",sink="broker",{G}}}', 60.0, 10.0),
    _level("ConfigurationRefused", "gateway_config_last_reload_success", f"{{{G}}}", 0, 1),
    Case(
        "ThrottledByQuota",
        {f"gateway_sink_throttled_seconds_total{SINK}": "0+6x240"},
        {f"gateway_sink_throttled_seconds_total{SINK}": "0+2x240"},
        {f"gateway_sink_throttled_seconds_total{SINK}": "0x192 120x45"},
    ),
    Case(
        "ThrottledByQuota",
        {f'gateway_sink_refusals_total{{sink="broker",reason="quota_exceeded",{G}}}': "0+1x240"},
        {f'gateway_sink_refusals_total{{sink="broker",reason="not_authorized",{G}}}': "0+1x240"},
        {f'gateway_sink_refusals_total{{sink="broker",reason="quota_exceeded",{G}}}': "0x190 3x45"},
    ),
    Case(
        "CredentialNotRenewed",
        {f"gateway_sink_credential_expires_timestamp_seconds{SINK}": "6000x240"},
        {f"gateway_sink_credential_expires_timestamp_seconds{SINK}": "7000x240"},
        {f"gateway_sink_credential_expires_timestamp_seconds{SINK}": "9000x194 6000 9000x44"},
    ),
    _level("SeriesLeftOut", "gateway_series_left_out", f'{{page="tags",{G}}}', 3, 0),
    _level("RefusedByBroker", "gateway_sink_refused_messages", SINK, 2, 0),
    _level("CertificateExpires30d", ENDS, CERTIFICATE, 20 * DAY, 40 * DAY),
    _level("CertificateExpires7d", SHOWN_ENDS, BROKERS_CERTIFICATE, 5 * DAY, 10 * DAY),
    _histogram("EventLoopLate", "gateway_event_loop_lag_seconds", f"{{{G}}}", 1.0, 0.1),
    Case(
        "OEELow",
        {
            'factory_element_seconds_total{element="apt",machine="l/m",line="l"}': "0+10x240",
            'factory_element_seconds_total{element="pbt",machine="l/m",line="l"}': "0+30x240",
            'factory_element_seconds_total{element="ideal",machine="l/m",line="l"}': "0+9x240",
            'factory_parts_total{verdict="good",machine="l/m",line="l"}': "0+2x240",
        },
        {
            'factory_element_seconds_total{element="apt",machine="l/m",line="l"}': "0+28x240",
            'factory_element_seconds_total{element="pbt",machine="l/m",line="l"}': "0+30x240",
            'factory_element_seconds_total{element="ideal",machine="l/m",line="l"}': "0+27x240",
            'factory_parts_total{verdict="good",machine="l/m",line="l"}': "0+2x240",
        },
        {
            'factory_element_seconds_total{element="apt",machine="l/m",line="l"}': "0x240",
            'factory_element_seconds_total{element="pbt",machine="l/m",line="l"}': "0x240",
            'factory_element_seconds_total{element="ideal",machine="l/m",line="l"}': "0x240",
            'factory_parts_total{verdict="good",machine="l/m",line="l"}': "0x240",
        },
    ),
]  # fmt: skip
ALWAYS = "Watchdog"
AT = "98m"  # the series have a sample every 30 s for two hours; what steps does so at 90 minutes
BAD_FOR_A_MOMENT_AT = "97m30s"
AWAKE = {'up{job="gateway",instance="alive"}': "1x240"}


def alerts() -> list[str]:
    (group,) = yaml.safe_load((FOLDER / "rules" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule["alert"] for rule in group["rules"]]


def judge(folder: Path, wanted: list[tuple[str, Series, bool]], at: str = AT) -> None:
    """Let promtool say for each alert and its series whether it fires at a time as wanted.

    Each alert is judged with the rules that it needs and no other: otherwise most of the time would go into alerts that
    nobody asks about.
    """
    files = []
    for alert in dict.fromkeys(alert for alert, *_ in wanted):
        same: dict[tuple[tuple[str, str], ...], list[dict[str, object]]] = {}
        for _, series, fires in (each for each in wanted if each[0] == alert):
            check: dict[str, object] = {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0',
                "eval_time": at,
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
            same.setdefault(tuple(series.items()), []).append(check)
        tests = [
            {
                "interval": "30s",
                "input_series": [{"series": name, "values": values} for name, values in series],
                "promql_expr_test": checks,
            }
            for series, checks in same.items()
        ]
        path = folder / f"{alert}.yml"
        path.write_text(json.dumps({"rule_files": [str(_alone(alert, folder))], "tests": tests}), encoding="utf-8")
        files.append(path)
    done = subprocess.run(
        [program_of("promtool"), "test", "rules", *map(str, files)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def _groups() -> list[dict[str, Any]]:
    return [group for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]


def _alone(alert: str, folder: Path) -> Path:
    """The rules that this alert needs."""
    rules = [rule for group in _groups() for rule in group["rules"]]
    needed = [rule for rule in rules if rule.get("alert") == alert]
    for rule in needed:  # grows
        needed += [each for each in rules if each.get("record", "-") in rule["expr"] and each not in needed]
    groups = [group | {"rules": [rule for rule in group["rules"] if rule in needed]} for group in _groups()]
    path = folder / f"rules-{alert}.yml"
    path.write_text(json.dumps({"groups": [group for group in groups if group["rules"]]}), encoding="utf-8")
    return path


def test_every_alert_fires(tmp_path: Path) -> None:
    judge(tmp_path, [(case.alert, case.fires, True) for case in CASES])


def test_no_alert_fires_just_inside_its_threshold(tmp_path: Path) -> None:
    judge(tmp_path, [(case.alert, AWAKE | case.quiet, False) for case in CASES])


def test_no_alert_fires_on_a_momentary_fault(tmp_path: Path) -> None:
    judge(tmp_path, [(case.alert, AWAKE | case.flaps, False) for case in CASES], BAD_FOR_A_MOMENT_AT)


def test_without_data_only_the_alert_for_a_missing_gateway_fires(tmp_path: Path) -> None:
    """And the one that always fires, so that its absence is noticed."""
    judge(tmp_path, [(alert, {"unrelated": "1x240"}, alert in ("GatewayDown", ALWAYS)) for alert in alerts()])


@pytest.mark.parametrize(("at", "fires"), [("89m", False), ("91m", True), ("95m", True), ("99m", True)])
def test_a_loss_fires_at_once_and_for_the_whole_window(at: str, fires: bool, tmp_path: Path) -> None:
    losses = ("DataLoss", "NotificationGaps")
    judge(tmp_path, [(case.alert, case.fires, fires) for case in CASES if case.alert in losses], at)


def test_every_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} | {ALWAYS} == set(alerts())


def sections() -> dict[str, str]:
    """The runbook's sections by title."""
    parts = (FOLDER / "RUNBOOK.md").read_text(encoding="utf-8").split("\n## ")[1:]
    return {title: text for title, _, text in (part.partition("\n") for part in parts)}


def test_every_alert_links_to_a_runbook_section_with_instructions() -> None:
    (group,) = yaml.safe_load((FOLDER / "rules" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    anchors = {title.lower(): text for title, text in sections().items()}
    for rule in group["rules"]:
        template, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        path = re.sub(r"^{{ with \$externalLabels.runbook }}{{ \. }}{{ else }}(.*){{ end }}$", r"\1", template)
        assert (FOLDER.parents[1] / path).is_file()
        assert "{{ $value }}" not in rule["annotations"]["summary"], "say it rounded, with its unit"
        for word in ("**Means**", "**At stake**", "**Look**", "**Do**"):
            assert word in anchors[anchor], f"{rule['alert']} does not say {word}"
    assert set(sections()) == set(alerts())


def test_the_runbook_names_only_existing_things() -> None:
    text = " ".join(" ".join(sections().values()).split())
    series = (FOLDER / "METRICS.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"`(gateway_\w+)`", text)):
        assert f"`{name}`" in series, name
    for command in set(re.findall(r"`gateway ([a-z]+(?: [a-z]+)?)", text)):
        words = command.split() if command.split()[0] in ("cert", "outbox") else command.split()[:1]
        done = CliRunner().invoke(cli, [*words, "--help"])
        assert done.exit_code == 0, command
    titles = {str(panel["title"]) for _, panel in panels()}
    assert set(re.findall(r"\*([A-Z][^*]*\?)\*", text)) <= titles
    for other in set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", text)):
        assert other in alerts(), other


def test_the_rule_file_is_generated_from_its_table() -> None:
    made = runpy.run_path(str(FOLDER / "rules.py"))["text"]()
    assert (FOLDER / "rules" / "alerts.yml").read_text(encoding="utf-8") == made


def test_promtool_accepts_the_rules() -> None:
    subprocess.run([program_of("promtool"), "check", "rules", *map(str, RULES)], check=True, timeout=240)
