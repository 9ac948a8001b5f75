"""The stack of docker/compose.yaml as a user starts it, in real containers: values, OEE, a broker away, nothing lost.

Needs root and a Docker engine; where there is no registry, a laboratory that makes stand-ins for the base images is
looked for beside the repository (or where `CONTAINER_LAB` says).  Grafana has no stand-in and is left out.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.brokers import free_port

ROOT = Path(__file__).parents[2]
LAB = Path(os.environ.get("CONTAINER_LAB", ROOT.parent / "shared" / "tools" / "container-lab"))
SERVICES = ("secrets", "mosquitto", "factory-munich", "factory-seattle", "gateway", "prometheus")
STAND_INS = {
    "PYTHON_IMAGE": "python:3.11-slim",
    "MOSQUITTO_IMAGE": "eclipse-mosquitto:2",
    "PROMETHEUS_IMAGE": "prom/prometheus:latest",
}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Stack:
    """The services of the compose file, under a project name and ports of their own."""

    def __init__(self, environment: dict[str, str]) -> None:
        ports = {name: free_port() for name in ("MQTT_PORT", "GATEWAY_PORT", "PROMETHEUS_PORT")}
        self.prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"
        self._environment = {**os.environ, **STAND_INS, **environment, **{k: str(v) for k, v in ports.items()}}
        self._project = f"cf-test-{os.getpid()}"

    def compose(self, *arguments: str, within_s: float = 300.0) -> str:
        command = ["docker-compose", "-f", str(ROOT / "docker" / "compose.yaml"), "-p", self._project, *arguments]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=within_s, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def figure(self, expr: str) -> float | None:
        """The first number of an expression, if there is one."""
        url = f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        try:
            with OPENER.open(url, timeout=5) as answer:
                result = json.load(answer)["data"]["result"]
        except OSError:
            return None
        return float(result[0]["value"][1]) if result else None

    def wait_figure(self, expr: str, good: Callable[[float], bool], within_s: float) -> float:
        deadline = time.monotonic() + within_s
        while True:
            found = self.figure(expr)
            if found is not None and good(found):
                return found
            assert time.monotonic() < deadline, f"{expr} is {found} after {within_s:g} s"
            time.sleep(1)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    if os.geteuid() != 0 or not LAB.exists():
        pytest.skip("needs root and the container laboratory")
    subprocess.run([str(LAB), "up"], check=True, timeout=600, stdout=subprocess.DEVNULL)
    line = subprocess.run([str(LAB), "env"], check=True, capture_output=True, text=True).stdout
    name, _, value = line.strip().removeprefix("export ").partition("=")
    made = Stack({name: value})
    wheels = ROOT / "docker" / "wheels"
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "-c",
        "constraints.txt",
        "-w",
        str(wheels),
        "setuptools",
        "wheel",
        ".",
    ]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True)
    for ours in wheels.glob("connected_factory-*"):
        ours.unlink()
    try:
        made.compose("build", "factory-munich", "gateway", within_s=600)
        made.compose("up", "-d", *SERVICES)
        yield made
    finally:
        made.compose("down", "-v", "-t", "5")
        shutil.rmtree(wheels, ignore_errors=True)


def test_two_plants_live_and_their_oee_is_there_within_a_minute(stack: Stack) -> None:
    stack.wait_figure("min(gateway_ready)", lambda ready: ready == 1, 60)
    stack.wait_figure("count(line:factory_oee:ratio_1h > 0)", lambda lines: lines == 2, 60)
    stack.wait_figure("sum(gateway_values_delivered_total)", lambda values: values > 200, 60)


def test_the_viewer_reads_and_nobody_gets_in_without_a_name(stack: Stack) -> None:
    read = 'mosquitto_sub -u viewer -P "$(cat /secrets/viewer)" -t "factory/#" -C 1 -W 20'
    assert '"seq"' in stack.compose("exec", "-T", "mosquitto", "sh", "-c", read)
    nameless = "mosquitto_sub -t '#' -C 1 -W 5 2>&1 || true"
    assert "authoris" in stack.compose("exec", "-T", "mosquitto", "sh", "-c", nameless)


def test_a_broker_pulled_and_put_back_costs_no_value(stack: Stack) -> None:
    stack.compose("stop", "mosquitto")
    stack.wait_figure("min(gateway_sink_connected)", lambda up: up == 0, 40)
    stack.wait_figure("sum(gateway_outbox_values)", lambda values: values > 50, 60)
    stack.compose("start", "mosquitto")
    stack.wait_figure("min(gateway_sink_connected)", lambda up: up == 1, 60)
    stack.wait_figure("sum(gateway_outbox_values)", lambda values: values < 50, 60)
    assert stack.figure("sum(gateway_values_dropped_total)") == 0
    assert stack.figure("max(abs(gateway_books_imbalance_values))") == 0


def test_no_service_may_do_more_than_it_needs(stack: Stack) -> None:
    for service in ("gateway", "mosquitto", "factory-munich"):
        told = stack.compose(
            "exec", "-T", service, "sh", "-c", "id -u; grep CapEff /proc/self/status; touch /x || echo no"
        )
        uid, capabilities, refused = told.split("\n")[:3]
        assert uid != "0"
        assert capabilities.split()[1].strip("0") == ""
        assert refused == "no"
