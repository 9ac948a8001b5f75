"""A collector for tests: OTLP over HTTP, decoded with the published protobuf classes."""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS: Mapping[str, Any] = {
    "/v1/metrics": ExportMetricsServiceRequest, "/v1/logs": ExportLogsServiceRequest,
    "/v1/traces": ExportTraceServiceRequest,
}  # fmt: skip


def plain(pairs: Iterable[KeyValue]) -> dict[str, str | int | float | bool]:
    """Attributes as a dictionary."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in pairs}


@dataclass
class Collector:
    """What came."""

    port: int = 0
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    logs: list[ExportLogsServiceRequest] = field(default_factory=list)
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self, path: str, data: bytes, headers: Mapping[str, str]) -> None:
        request = KINDS[path].FromString(data)
        getattr(self, path.rpartition("/")[2]).append(request)
        self.headers.append(dict(headers))

    @property
    def lines(self) -> list[LogRecord]:
        """Every line of the log."""
        return [r for q in self.logs for each in q.resource_logs for s in each.scope_logs for r in s.log_records]

    @property
    def spans(self) -> list[Span]:
        """Every span."""
        return [span for q in self.traces for each in q.resource_spans for s in each.scope_spans for span in s.spans]

    @property
    def samples(self) -> dict[str, float]:
        """The newest figures, as the page of Prometheus names them: buckets, sum and count for a histogram."""
        found: dict[str, float] = {}
        for each in self.metrics[-1].resource_metrics:
            for metric in (metric for scope in each.scope_metrics for metric in scope.metrics):
                for point in (*metric.sum.data_points, *metric.gauge.data_points):
                    found[named(metric.name, plain(point.attributes))] = point.as_double
                for point in metric.histogram.data_points:
                    labels, below = plain(point.attributes), 0
                    for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
                        below += count
                        le = "+Inf" if bound == float("inf") else repr(bound)
                        found[named(f"{metric.name}_bucket", {**labels, "le": le})] = below
                    found[named(f"{metric.name}_sum", labels)] = point.sum
                    found[named(f"{metric.name}_count", labels)] = point.count
        return found


def named(name: str, labels: Mapping[str, object]) -> str:
    """A series as the page of Prometheus writes it."""
    inner = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    return f"{name}{{{inner}}}" if inner else name


@contextmanager
def collector(port: int = 0) -> Iterator[Collector]:
    """A collector on a loopback port."""
    found = Collector()

    class Take(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            data = gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data
            found.take(self.path, data, dict(self.headers.items()))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Take)
    server.daemon_threads = True
    found.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
