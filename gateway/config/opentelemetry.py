"""OpenTelemetry: metrics, logs and traces of the gateway itself, sent to a collector."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.config.quantities import Seconds, Strict, url_of
from gateway.config.secret import Secret


class OpenTelemetryConfig(Strict):
    """Where the gateway's own metrics, logs and traces are sent, by OTLP over HTTP with protobuf.

    A collector that is away holds nothing up: the newest `queue` lines and spans wait for it, the others are counted.
    """

    endpoint: Annotated[str, url_of("http", "https")]
    """The collector: `http://127.0.0.1:4318`.  `/v1/metrics`, `/v1/logs` and `/v1/traces` are appended."""
    headers: Mapping[str, Secret] = {}
    """Headers of each request, such as `authorization`, and where their values are."""
    ca: Path | None = None
    """The authorities that certificates of the collector are checked with, as a PEM file (default: those of the
    machine)."""
    interval: Seconds = 15.0
    """How often metrics are sent; lines and spans are sent once a second."""
    metrics: bool = True
    """Send the series of `/metrics`, with the same names and figures."""
    logs: bool = True
    """Send the lines of the log."""
    traces: Annotated[int, Field(ge=0)] = 1000
    """Send how long one of so many batches took at each hop: encoded, stored, waiting, acknowledged.  0: of none."""
    queue: Annotated[int, Field(ge=10, le=100_000)] = 2048
    """How many lines, and how many spans, wait for a collector that is away."""
