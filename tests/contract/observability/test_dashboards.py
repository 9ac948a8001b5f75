"""The dashboards: made by code, by the rules, and every query of them answered by a real Prometheus over a real run.

No Grafana runs here; `make grafana-check` is for those who have docker.
"""

import json
import math
import re
import runpy
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.brokers import Process, free_port, mosquitto, program_of, wait_listening
from tests.support.programs import ROOT, SOURCE, Factory, Gateway, running, wait_until

FOLDER = ROOT / "docker" / "grafana"
RULES = ROOT / "docker" / "prometheus" / "rules"
BOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def panels() -> list[tuple[str, dict[str, object]]]:
    found = []
    for path in BOARDS:
        found += [(path.stem, panel) for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]]
    return found


def queries() -> list[tuple[str, str]]:
    found = []
    for board, panel in panels():
        targets = panel["targets"]
        assert isinstance(targets, list)
        found += [(f"{board}: {panel['title']}", target["expr"]) for target in targets]
    return found


def test_the_files_are_those_the_code_makes() -> None:
    with warnings.catch_warnings():  # the SDK would rather have a schema that Grafana reads from version 12 on
        warnings.simplefilter("ignore", DeprecationWarning)
        made = runpy.run_path(str(FOLDER / "make.py"))
    assert {path.stem for path in BOARDS} == {board.name for board in made["BOARDS"]}
    for board in made["BOARDS"]:
        assert (FOLDER / "dashboards" / f"{board.name}.json").read_text(encoding="utf-8") == made["made"](board)


@pytest.mark.parametrize(("board", "panel"), panels(), ids=lambda x: x if isinstance(x, str) else x["title"])
def test_a_panel_keeps_the_rules(board: str, panel: dict[str, object]) -> None:
    defaults = panel["fieldConfig"]["defaults"]  # type: ignore[index]  # JSON
    assert str(panel["title"]).endswith("?")
    assert len(str(panel["description"])) > 20
    assert defaults["unit"]
    assert defaults["noValue"]
    assert defaults["thresholds"]["steps"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:  # type: ignore[attr-defined]  # JSON
        assert target["legendFormat"]
        assert not re.search(r"rate\([^[]*\[(?!\$__rate_interval)", target["expr"])
        assert "$" in target["expr"] or "ALERTS" in target["expr"]


def test_every_dashboard_can_be_asked_for_its_parts() -> None:
    for path in BOARDS:
        board = json.loads(path.read_text(encoding="utf-8"))
        assert board["uid"] == f"cf-{path.stem}"
        variables = board["templating"]["list"]
        assert variables[0]["type"] == "datasource"
        assert all(v["includeAll"] and v["multi"] for v in variables[1:])


class Prometheus(Process):
    """A server of its own, with the rules of the stack."""

    @property
    def ready(self) -> bool:
        """It listens before it answers: 503 until its storage is open."""
        try:
            with OPENER.open(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def ask(self, expr: str) -> list[dict[str, object]]:
        """The instant vector of an expression; a query that is wrong raises."""
        data = urllib.parse.urlencode({"query": expr}).encode()
        with OPENER.open(f"http://127.0.0.1:{self.port}/api/v1/query", data, timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
        assert isinstance(result, list)
        return result

    def figure(self, expr: str) -> float:
        """The one number of an expression, NaN when it has none."""
        found = self.ask(expr)
        return float(found[0]["value"][1]) if found else math.nan  # type: ignore[index]  # JSON


class Stack:
    """Simulators, broker, gateway and Prometheus, running for real."""

    def __init__(self, prometheus: Prometheus, broker: Process, gateway: Gateway) -> None:
        self.prometheus, self.broker, self.gateway = prometheus, broker, gateway


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    metrics_port = free_port()
    plant = ROOT / "config" / "plant.yaml"
    with (
        mosquitto(folder) as broker,
        running(
            Factory(folder, "--security", "None", "--speed", "10", "--metrics-port", str(metrics_port), plant=plant)
        ) as factory,
    ):
        factory.wait_said("serving")
        source = {**SOURCE, "url": factory.url, "publishing_interval": "250ms"}
        with running(Gateway(folder, factory.url, broker.url, sources=[source])) as gateway:
            gateway.wait_ready()
            prometheus = started(folder, gateway.http_port, metrics_port)
            try:
                wait_until(
                    lambda: prometheus.figure("line:factory_oee:ratio_1h") > 0 and prometheus.figure(
                        'count(rate(gateway_values_delivered_total[5s]))') > 0, "the first figures", 40,
                )  # fmt: skip
                yield Stack(prometheus, broker, gateway)
            finally:
                prometheus.end()


def started(folder: Path, gateway_port: int, factory_port: int) -> Prometheus:
    config = yaml.safe_load((RULES.parent / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(RULES / "*.yml")]
    for job, port in zip(config["scrape_configs"], (gateway_port, factory_port), strict=True):
        del job["dns_sd_configs"], job["relabel_configs"]
        labels = {"site": "contoso", "instance": job["job_name"]}
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    command = [
        program_of("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    prometheus = Prometheus(command, (port,), folder / "prometheus.log")
    wait_until(lambda: prometheus.ready, "Prometheus to be ready")
    return prometheus


def filled(expr: str) -> str:
    """A panel's expression as Grafana would send it with every variable at *All*."""
    return re.sub(r"\$(line|machine|instance|site)\b", ".*", expr.replace("$__rate_interval", "10s"))


def finite(result: dict[str, object]) -> bool:
    return math.isfinite(float(result["value"][1]))  # type: ignore[index]  # JSON


@pytest.mark.slow
def test_every_query_of_every_panel_has_a_finite_answer(stack: Stack) -> None:
    def wrong() -> list[str]:
        found = []
        for title, expr in queries():
            answer = stack.prometheus.ask(filled(expr))
            if not any(map(finite, answer)) or any(float(r["value"][1]) < -60 for r in answer):  # type: ignore[index]
                found.append(f"{title}: {filled(expr)} is {answer}")
        return found

    def answered() -> bool:
        wrong_ones = wrong()
        return not wrong_ones

    try:
        wait_until(answered, "every panel to have an answer", 40)
    except AssertionError:
        pytest.fail("\n".join(wrong()))


@pytest.mark.slow
def test_every_rule_is_taken_and_evaluated_without_an_error(stack: Stack) -> None:
    with OPENER.open(f"http://127.0.0.1:{stack.prometheus.port}/api/v1/rules", timeout=10) as answer:
        rules = [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
    assert len(rules) > 30
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"} == {}
    for rule in rules:
        if rule["type"] == "recording":
            assert stack.prometheus.ask(rule["name"]), rule["name"]


@pytest.mark.slow
def test_ratios_are_ratios_and_the_books_balance(stack: Stack) -> None:
    for kind in ("availability", "effectiveness", "quality", "oee"):
        expr = f"min(machine:factory_{kind}:ratio_1h)"
        # The first rates of a young server are extrapolated from two scrapes.
        wait_until(lambda expr=expr: 0 < stack.prometheus.figure(expr) <= 1.2, f"{expr} to be a ratio", 60)  # type: ignore[misc]
    assert stack.prometheus.figure("max(abs(gateway_books_imbalance_values))") == 0


@pytest.mark.slow
def test_promtool_finds_nothing_wrong_with_the_live_series(stack: Stack) -> None:
    with OPENER.open(f"http://127.0.0.1:{stack.gateway.http_port}/metrics", timeout=5) as answer:
        text = answer.read()
    done = subprocess.run(
        [program_of("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.slow
def test_a_broker_that_is_pulled_moves_the_panels_it_should_move(stack: Stack) -> None:
    expr = {title: filled(expr) for title, expr in queries()}
    figure = stack.prometheus.figure
    assert figure(expr["delivery: Which brokers are connected?"]) == 1
    stack.broker.kill()
    wait_until(lambda: figure(expr["delivery: Which brokers are connected?"]) == 0, "the panel to show it")
    wait_until(lambda: figure(expr["delivery: Is the backlog growing?"]) > 50, "the backlog to show")
    assert figure(expr["gateway: Is all connected?"]) == 0
    assert stack.gateway.metrics['gateway_sink_disconnects_total{cause="cut",sink="broker"}'] == 1
    assert stack.gateway.metrics['gateway_sink_connect_failures_total{cause="refused",sink="broker"}'] > 0
    stack.broker.restart()
    wait_listening(stack.broker.port, stack.broker.process)
    wait_until(lambda: figure(expr["delivery: Which brokers are connected?"]) == 1, "the panel to show it is back")
    wait_until(lambda: figure(expr["delivery: Is the backlog growing?"]) < 50, "the backlog to drain")
    assert figure(expr["gateway: Do the books balance?"]) == 0
    assert stack.gateway.total("gateway_sink_connects_total") == 2
    assert stack.gateway.total("gateway_source_connects_total") == 1
