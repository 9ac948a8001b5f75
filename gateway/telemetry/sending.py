"""The loop that sends to the collector: metrics at each interval, lines and spans once a second.

One export at a time runs in a thread of its own, so a collector that is away or slow holds nothing up, and what waits
for it is bounded.  That it is away is logged once, and once that it is back.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Protocol, TypeVar

import structlog
from prometheus_client import Metric as Family

from gateway.cancellation import unless_asked
from gateway.config import Config
from gateway.config.opentelemetry import OpenTelemetryConfig
from gateway.errors import ConfigError
from gateway.in_thread import in_thread
from gateway.metrics import Metrics
from gateway.telemetry.lines import Line, taking_lines
from gateway.telemetry.spans import Span
from gateway.telemetry.traces import Traces
from gateway.telemetry.waiting import Waiting

EVERY_S = 1.0
AT_ONCE = 512
"""How many lines or spans one request has."""
LAST_S = 2.0
"""How long the end may take to send what is left."""
DISTRIBUTION = "connected-factory"
T = TypeVar("T")


class Exports(Protocol):
    """Sends, and says why that failed; all of it blocks."""

    def send_metrics(self, families: Iterable[Family], began_ns: int, now_ns: int) -> str: ...

    def send_logs(self, lines: list[Line]) -> str: ...

    def send_spans(self, spans: list[Span]) -> str: ...

    def close(self) -> None: ...


@asynccontextmanager
async def telling(config: Config, metrics: Metrics) -> AsyncIterator[Traces | None]:
    """Send what the configuration asks for while inside, and what is left at the end within two seconds.

    Yields what looks at batches on their way, if that is asked for.  Raises `ConfigError` without the SDK, or for a
    secret that cannot be read.
    """
    told = config.opentelemetry
    if told is None:
        yield None
        return
    exporter = await in_thread(partial(_exporter, told, config.name), "read the collector's secrets")
    sending = Sending(told, exporter, metrics)
    async with asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(unless_asked(sending.go_on), name="send telemetry")
        with ExitStack() as stack:
            if told.logs:
                stack.enter_context(taking_lines(sending.lines))
            yield Traces(told.traces, sending.spans.put) if told.traces else None
        loop.cancel()
    await sending.end()


def _exporter(told: OpenTelemetryConfig, name: str) -> Exports:
    try:  # nothing of the SDK is imported by a gateway that sends nothing
        from gateway.telemetry.export import Exporter
    except ModuleNotFoundError as error:
        problem = f"opentelemetry: {error.name} is not installed: pip install 'connected-factory[otel]'"
        raise ConfigError([problem]) from error
    headers = {key: secret.read() for key, secret in told.headers.items()}
    return Exporter(told.endpoint, headers, str(told.ca) if told.ca else None, name, version(DISTRIBUTION))


class Sending:
    """What waits, and the collector it goes to."""

    def __init__(self, told: OpenTelemetryConfig, exporter: Exports, metrics: Metrics) -> None:
        self._told = told
        self._exporter = exporter
        self._metrics = metrics
        self._began_ns = time.time_ns()
        self._failing: set[str] = set()
        """The signals that the collector did not take last."""
        self._away_since_s = 0.0
        self.lines: Waiting[Line] = Waiting(told.queue, metrics.telemetry_dropped.labels("logs").inc)
        self.spans: Waiting[Span] = Waiting(told.queue, metrics.telemetry_dropped.labels("traces").inc)

    async def go_on(self) -> None:
        """Send until cancelled."""
        due_s = 0.0
        while True:
            if self._told.metrics and time.monotonic() >= due_s:
                due_s = time.monotonic() + self._told.interval
                await self._send_metrics()
            await self._send_rest()
            await asyncio.sleep(min(EVERY_S, self._told.interval))

    async def end(self) -> None:
        """Send what is left, within a bounded time."""
        try:
            async with asyncio.timeout(LAST_S):
                if self._told.metrics:
                    await self._send_metrics()
                await self._send_rest()
        except TimeoutError:
            structlog.get_logger("gateway.telemetry").info("the collector did not take the last figures in time")
        finally:
            self._exporter.close()

    async def _send_metrics(self) -> None:
        families = list(self._metrics.registry.collect())
        send = partial(self._exporter.send_metrics, families, self._began_ns, time.time_ns())
        await self._sent("metrics", send)

    async def _send_rest(self) -> None:
        await self._drain("logs", self.lines, self._exporter.send_logs)
        await self._drain("traces", self.spans, self._exporter.send_spans)

    async def _drain(self, signal: str, waiting: Waiting[T], send: Callable[[list[T]], str]) -> None:
        while taken := waiting.take(AT_ONCE):
            is_sent = False
            try:
                is_sent = await self._sent(signal, partial(send, taken))
            finally:  # also when cancelled: rather twice than never
                if not is_sent:
                    waiting.give_back(taken)
            if not is_sent:
                return

    async def _sent(self, signal: str, send: Callable[[], str]) -> bool:
        """Whether it was sent.  Counts it, and logs when the collector goes or comes back."""
        why = await in_thread(send, f"send {signal}")
        self._metrics.telemetry_exports.labels(signal, "failed" if why else "sent").inc()
        log = structlog.get_logger("gateway.telemetry").bind(address=self._told.endpoint)
        if why and not self._failing:
            self._away_since_s = time.monotonic()
            log.warning("the collector does not take all", signal=signal, reason=why, next="the newest waits for it")
        was_failing = bool(self._failing)
        self._failing = self._failing | {signal} if why else self._failing - {signal}
        if was_failing and not self._failing:
            log.info("the collector takes all again", after_s=round(time.monotonic() - self._away_since_s, 1))
        return not why
