"""The SDK of OpenTelemetry: its data types from ours, and its exporters.  Everything here blocks, and runs in a thread.

Series keep the names and figures of `/metrics`; they are those of one look at the registry.
"""

import logging
import math
import os
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from prometheus_client import Metric as Family

from gateway.telemetry.lines import Line
from gateway.telemetry.spans import Span

SCOPE = InstrumentationScope("gateway")
TIMEOUT_S = 5.0
"""How long one export may take, with all its tries."""
UNITS = {"seconds": "s", "bytes": "By", "ratio": "1", "values": "{value}", "messages": "{message}"}
SEVERITIES = {
    "debug": SeverityNumber.DEBUG, "info": SeverityNumber.INFO, "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR, "critical": SeverityNumber.FATAL,
}  # fmt: skip
Labels = tuple[tuple[str, str], ...]


class Exporter:
    """Sends to one collector."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], ca: str | None, name: str, version: str) -> None:
        self._said = _Said()
        library = logging.getLogger("opentelemetry")
        library.handlers[:], library.propagate = (
            [self._said],
            False,
        )  # we log the edges; and lines about lines never end
        self._resource = Resource.create({
            "service.name": "connected-factory-gateway", "service.version": version, "service.instance.id": name,
            "host.name": socket.gethostname(), "process.pid": os.getpid(),
        })  # fmt: skip
        base, secret = endpoint.rstrip("/"), dict(headers)
        self._metrics = OTLPMetricExporter(f"{base}/v1/metrics", ca, headers=secret, timeout=TIMEOUT_S)
        self._logs = OTLPLogExporter(f"{base}/v1/logs", ca, headers=secret, timeout=TIMEOUT_S)
        self._spans = OTLPSpanExporter(f"{base}/v1/traces", ca, headers=secret, timeout=TIMEOUT_S)

    def send_metrics(self, families: Iterable[Family], began_ns: int, now_ns: int) -> str:
        """Send the series.  Returns why that failed; nothing when it worked."""
        metrics = [each for family in families for each in metrics_of(family, began_ns, now_ns)]
        data = MetricsData([ResourceMetrics(self._resource, [ScopeMetrics(SCOPE, metrics, "")], "")])
        return self._why(self._metrics.export(data) is MetricExportResult.SUCCESS)

    def send_logs(self, lines: Sequence[Line]) -> str:
        """Send lines of the log.  Returns why that failed."""
        records = [ReadableLogRecord(_record(line), self._resource, SCOPE) for line in lines]
        return self._why(self._logs.export(records) is LogRecordExportResult.SUCCESS)

    def send_spans(self, spans: Sequence[Span]) -> str:
        """Send spans.  Returns why that failed."""
        found = [self._readable(span) for span in spans]
        return self._why(self._spans.export(found) is SpanExportResult.SUCCESS)

    def close(self) -> None:
        """Give up what is being sent, and send nothing more."""
        for exporter in (self._metrics, self._logs, self._spans):
            exporter.shutdown()

    def _why(self, is_sent: bool) -> str:
        said = self._said.lines
        reason = "" if is_sent else (said[-1] if said else "the collector did not take it")
        said.clear()
        return reason

    def _readable(self, span: Span) -> ReadableSpan:
        def context(span_id: int) -> SpanContext:
            return SpanContext(span.trace, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        return ReadableSpan(
            span.name, context(span.id), context(span.parent) if span.parent else None, self._resource,
            dict(span.attributes), kind=SpanKind.PRODUCER if span.sends else SpanKind.INTERNAL,
            start_time=span.began_ns, end_time=span.ended_ns, instrumentation_scope=SCOPE,
        )  # fmt: skip


class _Said(logging.Handler):
    """The last words of the library on why it failed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[str] = deque(maxlen=1)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage()[:500])


def _record(line: Line) -> LogRecord:
    return LogRecord(
        timestamp=line.at_ns, observed_timestamp=line.at_ns, severity_text=line.level,
        severity_number=SEVERITIES.get(line.level, SeverityNumber.INFO), body=line.event, attributes=dict(line.fields),
    )  # fmt: skip


def metrics_of(family: Family, began_ns: int, now_ns: int) -> Iterator[Metric]:
    """A family of Prometheus as OpenTelemetry has it: cumulative, named as on `/metrics`.  What is NaN is left out."""
    if family.type == "histogram":
        points = list(_histograms(family, began_ns, now_ns))
        data: Sum | Gauge | Histogram = Histogram(points, AggregationTemporality.CUMULATIVE)
        if points:
            yield Metric(family.name, family.documentation, _unit(family.name), data)
        return
    by_name: dict[str, list[NumberDataPoint]] = {}
    for sample in family.samples:
        if not sample.name.endswith("_created") and not math.isnan(sample.value):
            point = NumberDataPoint(dict(sample.labels), began_ns, now_ns, float(sample.value))
            by_name.setdefault(sample.name, []).append(point)
    for name, points_of_name in by_name.items():
        is_sum = family.type == "counter"
        data = Sum(points_of_name, AggregationTemporality.CUMULATIVE, True) if is_sum else Gauge(points_of_name)
        yield Metric(name, family.documentation, _unit(family.name), data)


def _unit(name: str) -> str:
    return UNITS.get(name.removesuffix("_total").rpartition("_")[2], "")


@dataclass(slots=True)
class _Buckets:
    bounds: list[float]
    below: list[int]
    total: float = 0.0


def _histograms(family: Family, began_ns: int, now_ns: int) -> Iterator[HistogramDataPoint]:
    found: dict[Labels, _Buckets] = {}
    for sample in family.samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        buckets = found.setdefault(labels, _Buckets([], []))
        if sample.name.endswith("_bucket"):
            buckets.bounds.append(float(sample.labels["le"]))
            buckets.below.append(round(sample.value))
        elif sample.name.endswith("_sum"):
            buckets.total = sample.value
    for labels, buckets in found.items():
        counts = [below - before for below, before in zip(buckets.below, [0, *buckets.below], strict=False)]
        yield HistogramDataPoint(
            dict(labels), began_ns, now_ns, buckets.below[-1], buckets.total, counts,
            [bound for bound in buckets.bounds if math.isfinite(bound)], math.nan, math.nan,
        )  # fmt: skip
