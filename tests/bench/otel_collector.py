"""Our telemetry through a collector of others: `python -m tests.bench.otel_collector`.

`rotel` (PyPI, a collector in a wheel) goes into an environment of its own below `var/collector`, made at first use.  It
takes what our exporter sends and hands it on to a receiver that decodes it with the published classes: every series of
the page, a line and two spans must come out as they went in.  Exit code 1 when something differs.
"""

import math
import subprocess
import sys
import time
import venv
from pathlib import Path

from prometheus_client import generate_latest

from gateway.metrics import Metrics
from gateway.telemetry.export import Exporter
from gateway.telemetry.lines import Line
from gateway.telemetry.spans import Span
from tests.support.otlp import Collector, collector, plain
from tests.support.ports import free_port
from tests.support.programs import wait_until

ROOT = Path(__file__).parents[2]
HOME = ROOT / "var" / "collector"


def program() -> Path:
    """The collector, installed where it is missing."""
    if not list(HOME.glob("lib/python3*/site-packages/rotel/rotel-agent")):
        venv.create(HOME, with_pip=True)
        pip = [str(HOME / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--pre"]
        subprocess.run([*pip, "rotel==0.0.1a15"], check=True)
    return next(HOME.glob("lib/python3*/site-packages/rotel/rotel-agent"))


def sent(url: str) -> tuple[dict[str, float], Line, list[Span]]:
    """What our exporter was given, all of it taken."""
    metrics, now_ns = Metrics(), time.time_ns()
    metrics.for_source("press").received.inc(41)
    metrics.for_sink("broker")
    for seconds in (0.0004, 0.02, 7.0):
        metrics.loop_lag.observe(seconds)
    line = Line(now_ns, "warning", "not connected", {"source": "press", "after_s": 1.5, "is_new": True})
    spans = [Span(7, 1, 0, "batch", now_ns, now_ns + 9), Span(7, 2, 1, "publish", now_ns, now_ns + 5, sends=True)]
    exporter = Exporter(url, {}, None, "edge-1", "1.2.3")
    text = generate_latest(metrics.registry).decode()
    whys = [exporter.send_metrics(metrics.registry.collect(), now_ns, now_ns + 1), exporter.send_logs([line])]
    assert [why for why in (*whys, exporter.send_spans(spans)) if why] == []
    page = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[:1] != "#"}
    return {n: v for n, v in page.items() if not math.isnan(v) and not n.startswith("process_")}, line, spans


def differences(came: Collector, page: dict[str, float], line: Line, spans: list[Span]) -> list[str]:
    """What did not come out as it went in."""
    found = [f"{n} is {came.samples.get(n)}, not {v}" for n, v in page.items() if came.samples.get(n) != v]
    (record,) = came.lines
    if (record.body.string_value, plain(record.attributes)) != (line.event, dict(line.fields)):
        found.append(f"the line is {record}")
    if [span.name for span in came.spans] != [span.name for span in spans]:
        found.append(f"the spans are {came.spans}")
    return found


def main() -> int:
    port = free_port()
    with collector() as came:
        command = [
            str(program()), "start", "--otlp-http-endpoint", f"127.0.0.1:{port}", "--exporter", "otlp",
            "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}", "--otlp-exporter-endpoint", came.url,
            "--otlp-exporter-protocol", "http", "--batch-timeout", "100ms",
        ]  # fmt: skip
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            time.sleep(2)  # until it listens; it does not say so
            page, line, spans = sent(f"http://127.0.0.1:{port}")
            wait_until(lambda: bool(came.metrics and came.logs and came.traces), "it to hand on", 30)
            found = differences(came, page, line, spans)
        finally:
            running.terminate()
            running.wait(10)
    print("\n".join(found) or f"{len(page)} series, a line and {len(spans)} spans came through rotel as they were sent")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
