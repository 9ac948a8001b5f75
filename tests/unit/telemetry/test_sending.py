"""What goes to a collector is what `/metrics` and the log say, and one that is away holds nothing up."""

import asyncio
import logging
import math
import re
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from gateway.config import Config, OpenTelemetryConfig
from gateway.errors import ConfigError
from gateway.metrics import Metrics
from gateway.model import Message
from gateway.pipeline.delivered import Delivered
from gateway.pipeline.routing import Encoded, SourceRoutes
from gateway.telemetry.export import Exporter
from gateway.telemetry.lines import Line
from gateway.telemetry.sending import Sending, telling
from gateway.telemetry.spans import Span
from gateway.telemetry.traces import Traces
from gateway.telemetry.waiting import Waiting
from tests.support.composition import Composition
from tests.support.otlp import collector, plain
from tests.support.ports import free_port

PACKAGE = Path(__file__).parents[3] / "gateway"
NOW_NS = 1_800_000_000 * 10**9


def run(body: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(body, 60))


async def until(holds: Callable[[], object]) -> None:
    """Look until it does; what is looked at has no event."""
    for _ in range(3000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never did")


def told(port: int, **changes: object) -> OpenTelemetryConfig:
    return OpenTelemetryConfig.model_validate({"endpoint": f"http://127.0.0.1:{port}", "interval": "100ms", **changes})


def configured(port: int, **changes: object) -> Config:
    source = {"name": "a", "url": "opc.tcp://h", "insecure": True, "select": [{"node": "i=1"}]}
    raw = {"sources": [source], "broker": {"url": "mqtt://h"}, "payload": {"topic": "t"}}
    return Config.model_validate(raw | {"opentelemetry": told(port, **changes).model_dump()})


def alive() -> Metrics:
    """Series of every kind, with something in them."""
    metrics = Metrics()
    metrics.for_source("press").received.inc(41)
    metrics.build.info({"version": "1.2", "python": "3.11"})
    metrics.for_sink("broker")
    metrics.ready.set_function(lambda: True)  # as the readings of the gateway are
    for seconds in (0.0004, 0.02, 7.0):
        metrics.loop_lag.observe(seconds)
    return metrics


def test_the_series_of_a_collector_are_those_of_the_page() -> None:
    metrics = alive()
    with collector() as found:
        exporter = Exporter(found.url, {"authorization": "Bearer x"}, None, "edge-1", "1.2.3")
        assert exporter.send_metrics(metrics.registry.collect(), NOW_NS, NOW_NS + 1) == ""
        text = generate_latest(metrics.registry).decode()
    page = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[:1] != "#"}
    wanted = {name: value for name, value in page.items() if not math.isnan(value)}
    moving = {name for name in wanted if name.startswith("process_")}
    assert len(wanted) > 100
    assert {n: v for n, v in found.samples.items() if n not in moving} == {
        n: v for n, v in wanted.items() if n not in moving
    }
    assert moving <= found.samples.keys()
    resource = plain(found.metrics[0].resource_metrics[0].resource.attributes)
    assert {"service.name": "connected-factory-gateway", "service.instance.id": "edge-1",
            "service.version": "1.2.3"}.items() <= resource.items()  # fmt: skip
    assert found.headers[0]["authorization"] == "Bearer x"


def test_lines_and_spans_keep_what_they_say() -> None:
    line = Line(NOW_NS, "warning", "not connected", {"source": "press", "after_s": 1.5, "is_new": True})
    spans = [Span(7, 1, 0, "batch", NOW_NS, NOW_NS + 9), Span(7, 2, 1, "publish", NOW_NS, NOW_NS + 5, sends=True)]
    with collector() as found:
        exporter = Exporter(found.url, {}, None, "edge-1", "1")
        assert (exporter.send_logs([line]), exporter.send_spans(spans)) == ("", "")
        exporter.close()
    (record,) = found.lines
    assert (record.body.string_value, record.severity_text, record.severity_number) == ("not connected", "warning", 13)
    assert (record.time_unix_nano, plain(record.attributes)) == (NOW_NS, dict(line.fields))
    batch, publish = found.spans
    assert publish.parent_span_id == batch.span_id
    assert publish.trace_id == batch.trace_id
    assert (publish.kind, publish.end_time_unix_nano - publish.start_time_unix_nano) == (4, 5)


def test_of_what_waits_the_newest_is_kept_and_the_others_are_counted() -> None:
    lost: list[int] = []
    waiting: Waiting[int] = Waiting(3, lost.append)
    for n in range(5):
        waiting.put(n)
    assert (waiting.take(2), sum(lost)) == ([2, 3], 2)
    waiting.put(5)
    waiting.put(6)
    waiting.give_back([2, 3])
    assert (waiting.take(9), sum(lost)) == ([4, 5, 6], 4)


def test_a_collector_that_is_away_blocks_nothing_and_gets_the_newest_when_it_is_there() -> None:
    async def body() -> None:
        port, metrics = free_port(), Metrics()
        loop, longest_s = asyncio.get_running_loop(), 0.0
        async with telling(configured(port, queue=10, traces=1), metrics) as traces:
            assert traces is not None
            failed = metrics.telemetry_exports.labels("metrics", "failed")
            for n in range(40):
                logging.getLogger("gateway.test").warning("line %s", n)
            while not failed.value:
                before_s = loop.time()
                await asyncio.sleep(0.01)
                longest_s = max(longest_s, loop.time() - before_s)
            assert metrics.telemetry_dropped.labels("logs").value >= 30
            with collector(port) as found:
                sent = [metrics.telemetry_exports.labels(signal, "sent") for signal in ("logs", "metrics")]
                await until(lambda: all(count.value for count in sent))
            said = [record.body.string_value for record in found.lines]
            assert "line 39" in said
            assert "line 0" not in said
        assert longest_s < 2.5  # an export takes five seconds to give up

    run(body())


def test_what_is_left_at_the_end_is_sent_and_a_collector_that_stays_away_holds_the_end_up_for_two_seconds() -> None:
    async def body() -> None:
        with collector() as found:
            async with telling(configured(found.port, interval="1h"), Metrics()):
                logging.getLogger("gateway.test").error("the last words")
            assert [record.body.string_value for record in found.lines] == ["the last words"]
        began_s = time.monotonic()
        async with telling(configured(free_port()), Metrics()):
            pass
        assert time.monotonic() - began_s < 10

    run(body())


def test_a_gateway_that_sends_nothing_imports_nothing_of_it() -> None:
    importing = re.compile(r"^(?:from|import) (?:opentelemetry|gateway\.telemetry\.export)\b", re.MULTILINE)
    found = [path.name for path in PACKAGE.rglob("*.py") if importing.search(path.read_text(encoding="utf-8"))]
    assert found == ["export.py"]


def test_without_the_sdk_the_configuration_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gateway.telemetry.export", None)

    async def body() -> None:
        with pytest.raises(ConfigError, match=r"connected-factory\[otel\]"):
            async with telling(configured(1), Metrics()):
                pass

    run(body())


def test_a_gateway_without_traces_has_the_loops_of_one_that_knows_of_none(tmp_path: Path) -> None:
    composition = Composition(tmp_path)

    async def body() -> None:
        with collector() as found:
            async with telling(configured(found.port, traces=0), Metrics()) as traces:
                assert traces is None
        async with composition.running():
            gateway = composition.gateway
            assert type(gateway.routes_of("s")) is SourceRoutes
            assert gateway.on_stored == gateway.count_left_out
            assert [type(queue._delivered) for queue in gateway.queues.values()] == [Delivered, Delivered]

    run(body())


def test_a_traced_batch_is_seen_at_every_hop_and_the_others_at_none() -> None:
    spans: list[Span] = []
    traces = Traces(3, spans.append, now_ns=iter(range(10, 10**6, 10)).__next__)
    seen = [traces.next_is_traced for _ in range(7)]
    assert [n for n, traced in enumerate(seen) if traced] == [0, 3, 6]
    message = Message(topic="f/a", payload=b"x", stream="s", seq=5, values=2, source="press")
    traces.encoded("press", 0, 2, (("s", 5),))
    stored: list[Encoded] = []
    traces.stored(stored.append)(Encoded([message]))
    traces.acknowledged(message, time.monotonic())
    traces.acknowledged(message.__class__(topic="f/b", payload=b"", stream="s", seq=6, values=1), time.monotonic())
    assert stored == [Encoded([message])]
    assert [span.name for span in spans] == ["encode", "store", "batch", "wait", "publish"]
    assert {span.trace for span in spans} == {spans[2].trace}
    assert {span.parent for span in spans if span.name != "batch"} == {spans[2].id}
    assert all(span.began_ns <= span.ended_ns for span in spans)


def test_sending_ends_in_order_when_nothing_came() -> None:
    async def body() -> None:
        with collector() as found:
            exporter = Exporter(found.url, {}, None, "e", "1")
            await Sending(told(found.port, metrics=False), exporter, Metrics()).end()
            assert (found.metrics, found.logs, found.traces) == ([], [], [])

    run(body())
