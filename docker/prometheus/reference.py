"""The reference of all series: `python docker/prometheus/reference.py` writes docker/prometheus/METRICS.md.

The table is built from the series that the programs register, so it cannot disagree with them.  A test fails when the
file is out of date.
"""

from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from gateway.config import Config
from gateway.metrics import Metrics as GatewayMetrics
from gateway.metrics.group import GroupMetrics
from gateway.metrics.tags import TagGauges
from simulators.metrics import Metrics as FactoryMetrics
from simulators.metrics import RunStatus

TARGET = Path(__file__).parent / "METRICS.md"
ROW = "| `{}` | {} | {} | {} |"


def gateway() -> CollectorRegistry:
    """Every family of the gateway with at least one child, so that its labels show."""
    metrics = GatewayMetrics()
    metrics.for_source("x")
    metrics.for_sink("x")
    metrics.delays("x")["x"]
    metrics.refused.labels("x", "x")
    metrics.commands.bind("x", "x", "x")
    metrics.commands.show_journal(float, float)
    metrics.build.info({"version": "", "python": ""})
    metrics.config_hash.info({"hash": ""})
    GroupMetrics(metrics.registry).led_by("x")
    return metrics.registry


def tags() -> CollectorRegistry:
    """The page of chosen tags."""
    select = ({"node": "i=1", "metric": True, "fields": {"site": "x"}},)
    raw = {"sources": [{"name": "x", "url": "opc.tcp://x", "insecure": True, "select": select}],
           "broker": {"url": "mqtt://x"}, "payload": {"topic": "{site}"}}  # fmt: skip
    return TagGauges(Config.model_validate(raw), GatewayMetrics().left_out.labels("tags")).registry


def factory() -> CollectorRegistry:
    return FactoryMetrics((), lambda: RunStatus(0, 0, 0, 0, 0, 0, 0, 0, 0)).registry


def _labels(family: Metric) -> str:
    found = {label for sample in family.samples for label in sample.labels} - {"le"}
    return " ".join(f"`{label}`" for label in sorted(found))


def _row(family: Metric) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    return ROW.format(family.name + suffix, family.type, _labels(family), family.documentation)


def table(registry: CollectorRegistry) -> str:
    families = sorted(registry.collect(), key=lambda family: family.name)
    rows = [_row(family) for family in families if not family.name.startswith("process_")]
    return "\n".join(["| series | kind | labels | meaning |", "| --- | --- | --- | --- |", *rows])


def text() -> str:
    return (
        "# Metrics\n\nWritten by docker/prometheus/reference.py. Labels come from the configuration or small fixed "
        "sets.\n\n## The gateway\n\nAlso the usual `process_*`. Those of `gateway_group_` are there in a "
        "group alone.\n\n"
        f"{table(gateway())}\n\n## Chosen tags\n\nOn their own page, `/metrics/tags`: the numbers of selections "
        "with `metric: true`, as consumers get them. The labels are `source`, `tag`, `unit` and the fields of the "
        "configuration.\n\n"
        f"{table(tags())}\n\nMachines and lines whose variables have a `role` are there under the names of the "
        "simulators (below), with the labels `machine` and `line`: parts, line parts and seconds, state and element "
        "seconds, present state, ideal and measured cycle time, failures, energy.\n\n## The simulators\n\n"
        "`machine` is `line/machine`; "
        f"`state` and `verdict` and `element` are fixed sets.\n\n{table(factory())}\n"
    )


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
