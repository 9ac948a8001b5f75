"""The composition root: what exists, for how long, in which order it ends.

Entered: the outboxes, HTTP, the way to the broker, then the sources.  Left in the opposite order: the sources stop
first, the outbox gets a grace time to empty, then the broker is left; what remains is on disk.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from platform import python_version

import structlog
from prometheus_client import Counter, Gauge

from gateway.config import Config, OutboxConfig, SourceConfig
from gateway.link import Backoff, Link
from gateway.metrics import Metrics
from gateway.mqtt.connect import open_sink
from gateway.opcua import open_source
from gateway.outbox import open_outbox
from gateway.payload.json import JsonFormat
from gateway.pipeline.announce import announce
from gateway.pipeline.collect import collect
from gateway.pipeline.forward import Shelves, forward
from gateway.web import serve_http

SHARE_OF_REFUSED = 8
"""Refused messages and dead letters may each take this part of the outbox's size."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, for whoever shows it."""

    config: Config
    metrics: Metrics
    shelves: Shelves
    sources: tuple[Link, ...]
    broker: Link
    http: Link

    @property
    def stored_values(self) -> int:
        return self.shelves.outbox.values + self.shelves.refused.values


async def run(
    config: Config, stop: asyncio.Event, on_running: Callable[[Gateway], None] = lambda gateway: None
) -> None:
    """Carry values until `stop` is set, then end in order.  Raises `ConfigError` for what can never work."""
    log = structlog.get_logger("gateway")
    metrics = Metrics()
    metrics.build.info({"version": version("connected-factory"), "python": python_version()})
    async with _shelves(config, metrics) as shelves:
        gateway = Gateway(
            config=config,
            metrics=metrics,
            shelves=shelves,
            sources=tuple(_source_link(source, metrics) for source in config.sources),
            broker=_broker_link(config, metrics),
            http=Link("http", f"{config.http.host}:{config.http.port}"),
        )
        _show_shelves(gateway)
        on_running(gateway)
        log.info("started", name=config.name, sources=len(config.sources), stored_values=gateway.stored_values)
        await _serve(gateway, stop)
        log.info("stopped", stored_values=gateway.stored_values)


async def _serve(gateway: Gateway, stop: asyncio.Event) -> None:
    config = gateway.config
    async with asyncio.TaskGroup() as downstream:
        links = (*gateway.sources, gateway.broker)
        http = serve_http(config.http, gateway.metrics.registry, links, gateway.http, lambda address: None)
        below = [
            downstream.create_task(http, name="http"),
            downstream.create_task(_forward(gateway), name="forward"),
            downstream.create_task(_announce(gateway), name="announce"),
        ]
        async with asyncio.TaskGroup() as upstream:
            above = [
                upstream.create_task(_collect(gateway, source, link), name=f"collect {source.name}")
                for source, link in zip(config.sources, gateway.sources, strict=True)
            ]
            await stop.wait()
            for task in above:
                task.cancel()
        if gateway.broker.is_up:
            with suppress(TimeoutError):
                await asyncio.wait_for(gateway.shelves.outbox.wait_empty(), config.stop_grace)
        for task in below:
            task.cancel()


def _stream_prefix(gateway: Gateway) -> str:
    return f"{gateway.config.name}.{gateway.shelves.outbox.epoch}"


async def _announce(gateway: Gateway) -> None:
    shelves = gateway.shelves
    await announce((shelves.outbox, shelves.refused), shelves.outbox, _stream_prefix(gateway), gateway.config.name)


async def _collect(gateway: Gateway, source: SourceConfig, link: Link) -> None:
    config, outbox = gateway.config, gateway.shelves.outbox
    metrics = gateway.metrics.for_source(source.name)
    form = JsonFormat(
        stream_prefix=_stream_prefix(gateway),
        topic=config.payload.topic,
        gateway=config.name,
        max_values=config.payload.max_values,
        server_time=config.payload.server_time,
    )
    await collect(
        source.name, partial(open_source, source, metrics, link), form, outbox, link, metrics, _backoff(config)
    )


async def _forward(gateway: Gateway) -> None:
    config = gateway.config
    connect = partial(open_sink, config.broker, gateway.broker, config.name)
    await forward(gateway.shelves, connect, gateway.broker, _backoff(config))


@asynccontextmanager
async def _shelves(config: Config, metrics: Metrics) -> AsyncIterator[Shelves]:
    aside = OutboxConfig(
        **{
            **config.outbox.model_dump(),
            "max_bytes": max(2 * config.outbox.segment_bytes, config.outbox.max_bytes // SHARE_OF_REFUSED),
            "when_full": "drop_oldest",
        }
    )
    name = config.broker.name
    count_drop = partial(_count_drop, metrics)
    refused_config = aside.model_copy(update={"path": config.outbox.path / "refused"})
    dead_config = aside.model_copy(update={"path": config.outbox.path / "dead-letters"})
    async with (
        open_outbox(
            config.outbox, readers=(name,), on_drop=count_drop, on_commit=metrics.commit_seconds.observe
        ) as outbox,
        open_outbox(refused_config, readers=(name,), on_drop=count_drop, numbered=False) as refused,
        open_outbox(dead_config, numbered=False) as dead,
    ):
        metrics.recovered.inc(outbox.recovered_values + refused.recovered_values)
        yield Shelves(name, outbox, refused, dead, metrics, config.broker.retry_refused)


def _count_drop(metrics: Metrics, reader: str, reason: str, values: int) -> None:
    metrics.dropped.labels(reason).inc(values)


def _backoff(config: Config) -> Backoff:
    return Backoff(config.reconnect.first, config.reconnect.most)


def _source_link(source: SourceConfig, metrics: Metrics) -> Link:
    bound = metrics.for_source(source.name)
    return Link(source.name, source.url, partial(_count_edge, bound.connected, bound.connects))


def _broker_link(config: Config, metrics: Metrics) -> Link:
    bound = metrics.for_sink(config.broker.name)
    return Link(config.broker.name, config.broker.url, partial(_count_edge, bound.connected, bound.connects))


def _count_edge(connected: Gauge, connects: Counter, link: Link) -> None:
    connected.set(link.is_up)
    if link.is_up:
        connects.inc()


def _show_shelves(gateway: Gateway) -> None:
    """Figures that are looked up when somebody asks, not kept."""
    metrics, outbox, refused = gateway.metrics, gateway.shelves.outbox, gateway.shelves.refused
    metrics.stored_values.set_function(lambda: gateway.stored_values)
    metrics.stored_messages.set_function(lambda: outbox.messages + refused.messages)
    metrics.stored_bytes.set_function(lambda: outbox.bytes + refused.bytes)
    metrics.outbox_capacity.set(gateway.config.outbox.max_bytes)
    metrics.oldest_age.set_function(lambda: outbox.oldest_age_s)
    metrics.ready.set_function(lambda: all(link.is_up for link in (*gateway.sources, gateway.broker)))
