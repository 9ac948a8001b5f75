"""Every query of every panel and rule, answered by a real Prometheus over a real run; and faults move panels."""

import subprocess
import urllib.request
from datetime import timedelta

import pytest

from tests.support.brokers import program_of, wait_listening
from tests.support.panels import LIVE, query, variables, wait_answers
from tests.support.programs import wait_until
from tests.support.prometheus import Stack

pytestmark = pytest.mark.slow
DAY_S = 86_400


def test_every_query_of_every_panel_has_a_finite_and_plausible_answer(stack: Stack) -> None:
    wait_answers(stack.prometheus.url, LIVE, 120)


def test_every_dashboard_variable_has_values(stack: Stack) -> None:
    for title, series, label in variables():
        found = {each.labels.get(label, "") for each in stack.prometheus.ask(series)}
        assert found - {""}, f"{title}: {label} of {series}"


def test_every_rule_is_accepted_and_evaluated_without_an_error(stack: Stack) -> None:
    rules = stack.prometheus.rules
    assert len(rules) > 45
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
    for rule in rules:
        if rule["type"] == "recording":
            assert stack.prometheus.ask(rule["name"]), rule["name"]


def test_ratios_are_between_0_and_1_and_the_counters_balance(stack: Stack) -> None:
    for kind in ("availability", "effectiveness", "quality", "oee"):
        expr = f"min(machine:factory_{kind}:ratio_1h)"
        # The first rates of a young server are extrapolated from two scrapes.
        wait_until(lambda expr=expr: 0 < stack.prometheus.figure(expr) <= 1.2, f"{expr} to be a ratio")  # type: ignore[misc]
    assert stack.prometheus.figure("max(abs(gateway_books_imbalance_values))") == 0


@pytest.mark.parametrize("program", ["gateway", "factory"])
def test_promtool_finds_nothing_wrong_with_the_live_series(program: str, stack: Stack) -> None:
    with urllib.request.urlopen(stack.prometheus.target(program), timeout=30) as answer:
        text = answer.read()
    done = subprocess.run(
        [program_of("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_a_breakdown_changes_the_state_and_availability_panels(stack: Stack) -> None:
    figure = stack.prometheus.figure
    state = query("plant: What is each machine doing?").replace('line=~".*"', 'machine="line-1/press"')
    wait_until(lambda: figure(state) == 6, "the press to be shown as down")
    wait_until(lambda: figure(state) == 1, "the press to be shown as working")
    available = 'machine:factory_availability:ratio_1h{machine="line-1/press"}'
    wait_until(lambda: 0.5 < figure(available) < 0.8, "4 of 6 seconds of work to show")
    lost = query("machine: Which losses are the greatest?")
    found = {series.labels["state"]: series.last for series in stack.prometheus.ask(lost)}
    assert found["down"] > 0.05 > found["maintenance"]


def test_a_disconnected_broker_changes_its_panels(stack: Stack) -> None:
    figure = stack.prometheus.figure
    connected, backlog = query("delivery: Which brokers are connected?"), query("delivery: Is the backlog growing?")
    delivered = query("delivery: How much is delivered?")
    wait_until(lambda: figure(connected) == 1, "the panel to show the broker")
    sinks, sources = (stack.gateway.total(f"gateway_{kind}_connects_total") for kind in ("sink", "source"))
    stack.broker.kill()
    wait_until(lambda: figure(connected) == 0, "the panel to show it")
    wait_until(lambda: figure(backlog) > 50, "the backlog to show")
    wait_until(lambda: figure(delivered) == 0, "the deliveries to stop")
    assert figure(query("gateway: Is all connected?")) == 0
    assert stack.gateway.metrics['gateway_sink_disconnects_total{cause="cut",sink="broker"}'] == 1
    assert stack.gateway.metrics['gateway_sink_connect_failures_total{cause="refused",sink="broker"}'] > 0
    stack.broker.restart()
    wait_listening(stack.broker.port, stack.broker.process)
    wait_until(lambda: figure(connected) == 1, "the panel to show it is back")
    wait_until(lambda: figure(backlog) < 50, "the backlog to drain")
    wait_until(lambda: figure(delivered) > 0, "the deliveries to go on")
    assert figure(query("gateway: Do the books balance?")) == 0
    assert stack.gateway.total("gateway_sink_connects_total") == sinks + 1
    assert stack.gateway.total("gateway_source_connects_total") == sources


def test_a_stopped_server_changes_its_panels(stack: Stack) -> None:
    figure = stack.prometheus.figure
    connected, comes_in = query("gateway: Which servers are connected?"), query("gateway: How much comes in?")
    wait_until(lambda: figure(connected) == 1, "the panel to show the server")
    stack.factory.restart()
    wait_until(lambda: figure(connected) == 0, "the panel to show it")
    wait_until(lambda: figure(connected) == 1, "the panel to show it is back")
    wait_until(lambda: figure(comes_in) > 0, "values to come in again")
    lost = query("gateway: Why were connections lost?")
    wait_until(lambda: max((s.last for s in stack.prometheus.ask(lost)), default=0) > 0, "the loss to show")
    assert figure(query("gateway: Do the books balance?")) == 0


def test_a_certificate_close_to_its_end_changes_its_panel(stack: Stack) -> None:
    ends = query("gateway: Which certificate ends first?")
    assert stack.prometheus.figure(ends) > 80 * DAY_S
    stack.secure.renew(timedelta(days=5))
    stack.broker.restart()
    wait_until(lambda: 0 < stack.prometheus.figure(ends) < 6 * DAY_S, "the panel to show it", 60)
