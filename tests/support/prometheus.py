"""A Prometheus of its own for tests and pictures, with the rules and jobs of the stack, on a free loopback port."""

import json
import math
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml

from docker.grafana.render import ask
from docker.grafana.render.ask import Series
from tests.support.brokers import Process, program_of
from tests.support.mqtt_certificates import SecureBroker, secure_mosquitto
from tests.support.ports import free_port
from tests.support.programs import ROOT, SINK, SOURCE, Factory, Gateway, running, wait_until

RULES = ROOT / "docker" / "prometheus" / "rules"
NO_SITES: Mapping[str, str] = MappingProxyType({})
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Prometheus(Process):
    """A server of its own, with the rules of the stack."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ready(self) -> bool:
        """It listens before it answers: 503 until its storage is open."""
        try:
            with _OPENER.open(f"{self.url}/-/ready", timeout=30):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False

    def ask(self, expr: str) -> list[Series]:
        """The instant vector of an expression; a query that is wrong raises."""
        return ask.instant(self.url, expr)

    def figure(self, expr: str) -> float:
        """The one number of an expression, NaN when it has none."""
        found = self.ask(expr)
        return found[0].last if found else math.nan

    def target(self, job: str) -> str:
        """Where it scrapes a job."""
        with _OPENER.open(f"{self.url}/api/v1/targets", timeout=30) as answer:
            active = json.load(answer)["data"]["activeTargets"]
        return str(next(target["scrapeUrl"] for target in active if target["labels"]["job"] == job))

    @property
    def rules(self) -> list[dict[str, str]]:
        """Every rule it took, as it tells of them."""
        with _OPENER.open(f"{self.url}/api/v1/rules", timeout=30) as answer:
            return [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]


def judge(folder: Path, series: Mapping[str, str], wanted: Mapping[str, Mapping[str, float]], at: str = "118m") -> None:
    """Let promtool evaluate rules over a sample a minute, and compare to three digits what they give at a time.

    `series`: samples by name with labels, as promtool writes them; `wanted`: by expression, value by labels.
    """
    checks = [
        {
            "expr": f"round({record}, 0.001)",
            "eval_time": at,
            "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
        }
        for record, samples in wanted.items()
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": checks,
    }
    path = folder / "test.yml"
    document = {"rule_files": [str(RULES / "recording.yml")], "evaluation_interval": "1m", "tests": [test]}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run(
        [program_of("promtool"), "test", "rules", str(path)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Stack:
    """Simulators, broker, gateway and Prometheus, running for real."""

    prometheus: Prometheus
    secure: SecureBroker
    gateway: Gateway
    factory: Factory

    @property
    def broker(self) -> Process:
        """The broker's process."""
        return self.secure.process


@contextmanager
def prometheus(
    folder: Path, gateways: Mapping[str, int], factories: Mapping[str, int], sites: Mapping[str, str] = NO_SITES,
    every_s: int = 1,
) -> Iterator[Prometheus]:  # fmt: skip
    """Scraping regularly the ports of gateways and factories, by the name that becomes `instance`.

    `sites` has the site of an instance that is not at `contoso`.
    """
    config = yaml.safe_load((RULES.parent / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": f"{every_s}s", "evaluation_interval": f"{every_s}s"}
    config["rule_files"] = [str(RULES / "*.yml")]
    for job, ports in zip(config["scrape_configs"], (gateways, factories, gateways), strict=True):
        del job["dns_sd_configs"], job["relabel_configs"]
        job["static_configs"] = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"site": sites.get(name, "contoso"), "instance": name}}
            for name, port in ports.items()
        ]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    command = [
        program_of("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    server = Prometheus(command, (port,), folder / "prometheus.log")
    try:
        wait_until(lambda: server.ready, "Prometheus to be ready")
        yield server
    finally:
        server.end()


@contextmanager
def stack_of(
    folder: Path, plant: Path, *options: str, broker: str = "", sink: Mapping[str, object] = MappingProxyType({}),
    told: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[Stack]:  # fmt: skip
    """Everything running, with its first figures.

    `options` are the simulators', `broker` is one more line for mosquitto, `sink` what the gateway's broker is told,
    `told` the gateway.
    """
    port = free_port()
    with ExitStack() as enter:
        mqtt = enter.enter_context(secure_mosquitto(folder, broker))
        factory = enter.enter_context(running(Factory(folder, "--metrics-port", str(port), *options, plant=plant)))
        factory.wait_said("serving")
        source = {**SOURCE, "url": factory.url, "publishing_interval": "250ms"}
        changes = {"sources": [source], "broker": {**SINK, **mqtt.sink, **sink}, **told}
        gateway = enter.enter_context(running(Gateway(folder, factory.url, "", **changes)))
        gateway.wait_ready()
        server = enter.enter_context(prometheus(folder, {"gateway": gateway.http_port}, {"factory": port}))
        wait_until(
            lambda: (
                server.figure("line:factory_oee:ratio_1h") > 0
                and server.figure("count(rate(gateway_values_delivered_total[5s]))") > 0
            ),
            "the first figures",
        )
        yield Stack(server, mqtt, gateway, factory)
