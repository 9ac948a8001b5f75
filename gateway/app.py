"""The composition root: what exists, for how long, in which order it ends.

Entered: the outboxes, HTTP, the way to the broker, then the sources.  Left in the opposite order: the sources stop
first, the outbox gets a grace time to empty, then the broker is left; what remains is on disk.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from platform import python_version

import structlog

from gateway.config import BrokerConfig, Config, SourceConfig
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, SinkMetrics, SourceMetrics
from gateway.metrics.tags import TagGauges
from gateway.mqtt import credentials
from gateway.mqtt.connect import check, open_sink
from gateway.mqtt.presence import Presence, hash_of, presence_of
from gateway.mqtt.sink import Sink
from gateway.mqtt.tls import expires_s
from gateway.notify import notify
from gateway.opcua import open_source
from gateway.outbox import Outbox, open_outbox
from gateway.outbox.inspect import forget
from gateway.pauses import spare_the_collector
from gateway.payload.choose import announcement_for, describes_types, format_for, keep_alives_for, network_envelope
from gateway.payload.parts import Packets
from gateway.payload.pubsub import StatusPresence
from gateway.pipeline.announce import announce
from gateway.pipeline.collect import collect
from gateway.pipeline.forward import Shelves, forward
from gateway.pipeline.keep_alive import keeping_alive
from gateway.shaping import Shaper
from gateway.web import serve_http

DISTRIBUTION = "connected-factory"
GOODBYE_S = 2.0
"""How long leaving the brokers may take."""
LOOK_EVERY_S = 0.25
"""How often the event loop is looked at."""
SET_ASIDE = ("refused", "dead-letters")
"""Folders below that of the outbox, with an outbox in each for every broker."""
SHARE_OF_REFUSED = 8
"""Refused messages and dead letters may each take this part of the outbox's size."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway, for whoever shows it."""

    config: Config
    metrics: Metrics
    tags: TagGauges
    outbox: Outbox
    shelves: tuple[Shelves, ...]
    sources: tuple[Link, ...]
    brokers: tuple[Link, ...]
    http: Link
    packets: Packets = field(default_factory=Packets)

    @property
    def links(self) -> tuple[Link, ...]:
        """The peers that must be there for values to flow."""
        return (*self.sources, *self.brokers)

    @property
    def stored_values(self) -> int:
        """Values on disk for the broker that is furthest behind."""
        return max(shelves.stored_values for shelves in self.shelves)

    @property
    def stream_prefix(self) -> str:
        """What the names of this gateway's streams begin with."""
        return f"{self.config.name}.{self.outbox.epoch}"


async def run(
    config: Config, stop: asyncio.Event, on_running: Callable[[Gateway], None] = lambda gateway: None
) -> None:
    """Carry values until `stop` is set, then end in order.  Raises `ConfigError` for what can never work."""
    log = structlog.get_logger("gateway")
    metrics = Metrics()
    brokers = config.all_brokers
    check(brokers)
    metrics.started.set_to_current_time()
    metrics.config_taken(hash_of(config))
    metrics.build.info({"version": version(DISTRIBUTION), "python": python_version()})
    async with _outbox(config, metrics) as outbox, AsyncExitStack() as stack:
        await asyncio.to_thread(_forget_brokers, config)
        gateway = Gateway(
            config=config,
            metrics=metrics,
            tags=TagGauges(config, metrics.left_out.labels("tags")),
            outbox=outbox,
            shelves=tuple([await stack.enter_async_context(_shelves(config, b, outbox, metrics)) for b in brokers]),
            sources=tuple(_source_link(source, metrics) for source in config.sources),
            brokers=tuple(_broker_link(broker, metrics) for broker in brokers),
            http=Link("http", f"{config.http.host}:{config.http.port}"),
        )
        _show(gateway)
        on_running(gateway)
        log.info("started", name=config.name, sources=len(config.sources), stored_values=gateway.stored_values)
        await _serve(gateway, stop)
        log.info("stopped", stored_values=gateway.stored_values)


async def _serve(gateway: Gateway, stop: asyncio.Event) -> None:
    config = gateway.config
    async with asyncio.TaskGroup() as downstream:
        pages = {"/metrics": gateway.metrics.registry, "/metrics/tags": gateway.tags.registry}
        http = serve_http(config.http, pages, gateway.links, gateway.http, lambda address: None)
        losers = (gateway.outbox, *(shelves.refused for shelves in gateway.shelves))
        told = announcement_for(config)
        telling = announce(losers, gateway.outbox, gateway.stream_prefix, config.name, told)
        below = [
            downstream.create_task(http, name="http"),
            downstream.create_task(telling, name="announce"),
            downstream.create_task(_watch_loop(gateway.metrics), name="event loop lag"),
            downstream.create_task(spare_the_collector(gateway.links), name="spare the collector"),
        ]
        leave = asyncio.Event()
        forwarding = [
            downstream.create_task(_forward(gateway, broker, shelves, link, leave), name=f"forward to {broker.name}")
            for broker, shelves, link in zip(config.all_brokers, gateway.shelves, gateway.brokers, strict=True)
        ]
        async with asyncio.TaskGroup() as upstream:
            above = [
                upstream.create_task(_collect(gateway, source, link), name=f"collect {source.name}")
                for source, link in zip(config.sources, gateway.sources, strict=True)
            ]
            await stop.wait()
            notify("STOPPING=1")
            for task in above:
                task.cancel()
        if any(link.is_up for link in gateway.brokers):
            with suppress(TimeoutError):
                await asyncio.wait_for(gateway.outbox.wait_empty(), config.stop_grace)
            leave.set()
            await asyncio.wait(forwarding, timeout=GOODBYE_S)
        for task in (*forwarding, *below):
            task.cancel()


async def _collect(gateway: Gateway, source: SourceConfig, link: Link) -> None:
    config, outbox = gateway.config, gateway.outbox
    metrics = gateway.metrics.for_source(source.name)
    form = format_for(config, source.name, gateway.stream_prefix, gateway.packets)
    shaper = Shaper(source) if source.is_shaped else None
    async with keeping_alive(keep_alives_for(form), outbox, link, config.payload.pubsub.keep_alive):
        await collect(
            source.name,
            partial(open_source, source, metrics, link, enumerations=describes_types(config.payload.format)),
            gateway.tags.watching(source, form, lambda: link.is_up),
            outbox,
            link,
            metrics,
            _backoff(config),
            shaper,
        )


async def _forward(gateway: Gateway, broker: BrokerConfig, shelves: Shelves, link: Link, leave: asyncio.Event) -> None:
    config = gateway.config
    if broker.max_packet is not None:
        gateway.packets.learn(broker.name, broker.max_packet)
    connect = partial(_connected, gateway, broker, link)
    await forward(shelves, connect, link, _backoff(config), leave)


@asynccontextmanager
async def _connected(gateway: Gateway, broker: BrokerConfig, link: Link) -> AsyncIterator[Sink]:
    """A session, from which the formats learn how long a message may be."""
    async with open_sink(broker, link, gateway.config.name, _presence(gateway, broker)) as sink:
        most = sink.limits.maximum_packet_bytes
        if gateway.packets.learn(broker.name, most) and most < gateway.config.payload.max_bytes:
            log = structlog.get_logger("gateway").bind(broker=broker.name)
            log.info("messages are split to what the broker takes", most_bytes=most)
        yield sink


def _presence(gateway: Gateway, broker: BrokerConfig) -> Presence | None:
    """What says at this broker whether the gateway is there."""
    config = gateway.config
    if config.payload.format == "opcua-pubsub" and broker.presence.topic is not None:
        return StatusPresence(network_envelope(config))
    return presence_of(
        broker.presence, config.name, version(DISTRIBUTION), hash_of(config), lambda: sorted(gateway.outbox.streams)
    )


def _outbox(config: Config, metrics: Metrics) -> AbstractAsyncContextManager[Outbox]:
    return open_outbox(
        config.outbox,
        readers=tuple(broker.name for broker in config.all_brokers),
        on_drop=partial(_count_drop, metrics),
        on_commit=metrics.commit_seconds.observe,
    )


@asynccontextmanager
async def _shelves(config: Config, broker: BrokerConfig, outbox: Outbox, metrics: Metrics) -> AsyncIterator[Shelves]:
    """The places of one broker beside the outbox: what it refused for now, and what it will never take."""
    size = max(2 * config.outbox.segment_bytes, config.outbox.max_bytes // SHARE_OF_REFUSED)
    aside = config.outbox.model_copy(update={"max_bytes": size, "when_full": "drop_oldest"})
    refused_config, dead_config = (
        aside.model_copy(update={"path": config.outbox.path / kind / broker.name}) for kind in SET_ASIDE
    )
    count_drop = partial(_count_drop, metrics)
    async with (
        open_outbox(refused_config, readers=(broker.name,), on_drop=count_drop, numbered=False) as refused,
        open_outbox(dead_config, numbered=False) as dead,
    ):
        yield Shelves(broker.name, outbox, refused, dead, metrics, broker.retry_refused, broker.replay, broker.expiry)


def _forget_brokers(config: Config) -> None:
    """What was set aside for brokers that are not configured any more takes no disk; the outbox forgets its reader."""
    for kind in SET_ASIDE:
        forget(config.outbox.path / kind, [broker.name for broker in config.all_brokers])


async def _watch_loop(metrics: Metrics) -> None:
    """Observe for ever by how much the event loop is late, and feed the watchdog."""
    loop = asyncio.get_running_loop()
    notify("READY=1")
    while True:
        notify("WATCHDOG=1")
        due_s = loop.time() + LOOK_EVERY_S
        await asyncio.sleep(LOOK_EVERY_S)
        metrics.loop_lag.observe(max(0.0, loop.time() - due_s))


def _count_drop(metrics: Metrics, broker: str, reason: str, values: int) -> None:
    metrics.dropped.labels(broker, reason).inc(values)


def _backoff(config: Config) -> Backoff:
    return Backoff(config.reconnect.first, config.reconnect.most)


def _source_link(source: SourceConfig, metrics: Metrics) -> Link:
    bound = metrics.for_source(source.name)
    return Link(source.name, source.url, partial(_count_edge, bound), partial(_count_failure, bound))


def _broker_link(broker: BrokerConfig, metrics: Metrics) -> Link:
    bound = metrics.for_sink(broker.name)
    return Link(broker.name, broker.url, partial(_count_edge, bound), partial(_count_failure, bound))


def _count_edge(bound: SourceMetrics | SinkMetrics, link: Link) -> None:
    bound.connected.set(link.is_up)
    if link.is_up:
        bound.connects.inc()


def _count_failure(bound: SourceMetrics | SinkMetrics, link: Link, cause: str) -> None:
    (bound.disconnects if link.is_up else bound.connect_failures)[cause].inc()


def _show(gateway: Gateway) -> None:
    """Figures that are looked up when somebody asks, not kept."""
    metrics, outbox = gateway.metrics, gateway.outbox
    metrics.stored_bytes.set_function(
        lambda: outbox.bytes + sum(s.refused.bytes + s.dead.bytes for s in gateway.shelves)
    )
    metrics.outbox_capacity.set(gateway.config.outbox.max_bytes)
    for broker, shelves in zip(gateway.config.all_brokers, gateway.shelves, strict=True):
        shelves.metrics.certificate_expires.set_function(partial(expires_s, broker.tls.certificate))
        shelves.metrics.credential_expires.set_function(partial(credentials.expires_s, broker.password))
    metrics.oldest_age.set_function(lambda: outbox.oldest_age_s)
    metrics.ready.set_function(lambda: all(link.is_up for link in gateway.links))
