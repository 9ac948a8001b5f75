"""A gateway that runs tells a collector what its page, its log and its batches say."""

import pytest

from tests.support.otlp import Collector, plain
from tests.support.programs import wait_until
from tests.support.prometheus import Stack

pytestmark = pytest.mark.slow
HOPS = {"batch", "encode", "store", "wait", "publish"}


def test_a_collector_gets_metrics_lines_and_the_hops_of_batches(stack: Stack, telemetry: Collector) -> None:
    received = 'gateway_values_received_total{source="line-1"}'
    wait_until(lambda: bool(telemetry.metrics) and telemetry.samples.get(received, 0) > 100, "figures to come")
    assert telemetry.samples.keys() >= {n for n in stack.gateway.metrics if n.startswith("gateway_values_delivered")}
    assert {"started", "connected"} <= {record.body.string_value for record in telemetry.lines}

    def traced() -> dict[bytes, set[str]]:
        found: dict[bytes, set[str]] = {}
        for span in telemetry.spans:
            found.setdefault(span.trace_id, set()).add(span.name)
        return found

    wait_until(lambda: HOPS in traced().values(), "a batch at every hop")
    published = next(span for span in telemetry.spans if span.name == "publish")
    told = plain(published.attributes)
    assert told["messaging.system"] == "mqtt"
    assert 0 < published.end_time_unix_nano - published.start_time_unix_nano < 60 * 10**9
    batches = sum(len(hops) >= 3 for hops in traced().values())
    assert batches < stack.gateway.total("gateway_source_notifications_total") / 5  # one in twenty
