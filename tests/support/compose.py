"""The stack of docker/compose.yaml in real containers, under a project name and ports of its own.

Needs root and the container laboratory: it starts a private engine and makes stand-ins for the base images where there
is no registry.  It is looked for beside the repository, or where `CONTAINER_LAB` says.
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
from contextlib import contextmanager
from pathlib import Path

from tests.support.nats_cluster import nats_server
from tests.support.ports import free_port
from tests.support.programs import ROOT

LAB = Path(os.environ.get("CONTAINER_LAB", ROOT.parent / "shared" / "tools" / "container-lab"))
SERVICES = ("secrets", "mosquitto", "gateway-certificate", "factory-munich", "factory-seattle", "gateway", "prometheus")
"""All services outside of profiles, except Grafana, for which there is no stand-in."""
STAND_INS = {
    "PYTHON_IMAGE": "python:3.11-slim",
    "MOSQUITTO_IMAGE": "eclipse-mosquitto:2",
    "PROMETHEUS_IMAGE": "prom/prometheus:latest",
    "NATS_IMAGE": "cf-test/nats",
    "BUILD_NETWORK": "host",
}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Stack:
    """The services of the compose file."""

    def __init__(self, environment: dict[str, str]) -> None:
        ports = {name: free_port() for name in ("MQTT_PORT", "MQTTS_PORT", "GATEWAY_PORT", "PROMETHEUS_PORT")}
        self.prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"
        self.mqtt = f"mqtt://127.0.0.1:{ports['MQTT_PORT']}"
        self.up_at_s = 0.0
        """When `up` was called (monotonic)."""
        self.environment = {**os.environ, **STAND_INS, **environment, **{k: str(v) for k, v in ports.items()}}
        self._project = f"cf-test-{os.getpid()}"

    def compose(self, *arguments: str, within_s: float = 300.0, **environment: str) -> str:
        file = str(ROOT / "docker" / "compose.yaml")
        return self._run(["docker-compose", "-f", file, "-p", self._project, *arguments], within_s, environment)

    def inside(self, service: str, script: str) -> str:
        """The output of a shell command in a container."""
        return self.compose("exec", "-T", service, "sh", "-c", script)

    def inspect(self, service: str) -> dict[str, dict[str, object]]:
        """The engine's description of a service's container."""
        container = self.compose("ps", "-q", service).strip()
        found = json.loads(self.docker("inspect", container))[0]
        assert isinstance(found, dict)
        return found

    def docker(self, *arguments: str, within_s: float = 60.0) -> str:
        return self._run(["docker", *arguments], within_s, {})

    def _run(self, command: list[str], within_s: float, environment: dict[str, str]) -> str:
        done = subprocess.run(
            command, env=self.environment | environment, capture_output=True, text=True, timeout=within_s, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """Pause a service, so that its work does not disturb the measured moment."""
        self.compose("pause", service)
        try:
            yield
        finally:
            self.compose("unpause", service)

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

    def wait_healthy(self, service: str, within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while True:
            health = self.inspect(service)["State"].get("Health")
            assert isinstance(health, dict), f"{service} has no health check"
            if health["Status"] == "healthy":
                return
            assert time.monotonic() < deadline, f"{service} is not healthy: {health}"
            time.sleep(1)


def laboratory() -> Stack:
    """The engine of the laboratory, up, with its base images; nothing of the stack runs in it."""
    subprocess.run([str(LAB), "up"], check=True, timeout=900, stdout=subprocess.DEVNULL)
    line = subprocess.run([str(LAB), "env"], check=True, capture_output=True, text=True).stdout
    name, _, value = line.strip().removeprefix("export ").partition("=")
    return Stack({name: value})


@contextmanager
def stack_up() -> Iterator[Stack]:
    """The stack, built from this tree and up; all of it is taken down and its volumes removed at the end."""
    stack = laboratory()
    try:
        with wheels():
            stack.compose("build", "factory-munich", "gateway", within_s=600)
        stack.up_at_s = time.monotonic()
        stack.compose("up", "-d", *SERVICES)
        yield stack
    finally:
        stack.compose("--profile", "two-sites", "--profile", "chaos", "--profile", "cluster", "down", "-v", "-t", "5")


def make_nats_image(stack: Stack, folder: Path) -> None:
    """The stand-in for the image of NATS: the server that the tests use."""
    shutil.copy(nats_server(), folder / "nats-server")
    text = "FROM debian:bookworm-slim\nCOPY nats-server /usr/bin/\n"
    (folder / "Dockerfile").write_text(text, encoding="utf-8")
    stack.docker("build", "-q", "-t", STAND_INS["NATS_IMAGE"], str(folder), within_s=300)


@contextmanager
def wheels() -> Iterator[None]:
    """The libraries of the images, for a build that reaches no package index."""
    folder = ROOT / "docker" / "wheels"
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    try:
        for what in (("-r", "docker/requirements.txt"), ("-c", "constraints.txt", "setuptools")):
            subprocess.run([*fetch, *what], cwd=ROOT, check=True, timeout=300, capture_output=True)
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
