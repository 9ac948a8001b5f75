"""The sources and brokers of a running gateway: each begins, changes and ends alone, and no other is touched by it.

All of it is done by the task that runs the gateway, so that what is opened is closed where it was opened.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version

import structlog

from gateway.config import BrokerConfig, Config, OutboxConfig, SourceConfig
from gateway.delivery import Presence, Session
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, SinkMetrics, SourceMetrics
from gateway.metrics.tags import TagGauges
from gateway.opcua import open_source
from gateway.outbox import Outbox, open_outbox
from gateway.outbox.inspect import forget, forget_empty
from gateway.payload.choose import encoder_for, format_of, with_version
from gateway.payload.format import Encoder
from gateway.payload.presence import hash_of, presence_of
from gateway.payload.splitting import Packets
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.pipeline.collect import Intake, collect
from gateway.pipeline.forward import forward
from gateway.pipeline.keep_alive import keeping_alive
from gateway.run.sink_kinds import kind_of
from gateway.shaping import Shaper

DISTRIBUTION = "connected-factory"
GOODBYE_S = 2.0
"""How long leaving a broker may take."""
REFUSED, DEAD_LETTERS = "refused", "dead-letters"
"""Folders below that of the outbox, with an outbox in each for every broker."""
SHARE_OF_REFUSED = 8
"""Refused messages and dead letters may each take this part of the outbox's size."""


@dataclass(slots=True)
class Gateway:
    """A running gateway, for whoever shows it.  What is in it changes with the configuration."""

    config: Config
    metrics: Metrics
    tags: TagGauges
    outbox: Outbox
    http: Link
    packets: Packets = field(default_factory=Packets)
    queues: dict[str, BrokerQueue] = field(default_factory=dict)
    """By broker."""
    sources: dict[str, Link] = field(default_factory=dict)
    brokers: dict[str, Link] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    """The peers that must be there for values to flow."""
    losers: list[Outbox] = field(default_factory=list)
    """What may lose messages after they were stored."""

    @property
    def stored_values(self) -> int:
        """Values on disk for the broker that is furthest behind."""
        return max(queue.stored_values for queue in self.queues.values())

    @property
    def stream_prefix(self) -> str:
        """What the names of this gateway's streams begin with."""
        return f"{self.config.name}.{self.outbox.epoch}"

    def refresh(self) -> None:
        """After a peer came or went."""
        self.links[:] = (*self.sources.values(), *self.brokers.values())
        self.losers[:] = (self.outbox, *(queue.refused for queue in self.queues.values()))


class Tasks:
    """Tasks of one group by name, each of which can be ended alone."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks[name] = self._group.create_task(work, name=name)

    async def end(self, name: str, grace_s: float = 0.0) -> None:
        """Cancel it if it does not end by itself within the grace; return when it has ended."""
        task = self._tasks.pop(name)
        if grace_s:
            await asyncio.wait([task], timeout=grace_s)
        task.cancel()
        await asyncio.wait([task])

    async def wait(self, names: Sequence[str], grace_s: float) -> None:
        """Wait until these have ended, but no longer than the grace."""
        await asyncio.wait([self._tasks[name] for name in names], timeout=grace_s)

    def cancel(self) -> None:
        """Cancel them all, and do not wait."""
        for task in self._tasks.values():
            task.cancel()


class Peers:
    """Begins and ends sources in one group of tasks, and brokers in another."""

    def __init__(self, gateway: Gateway, above: Tasks, below: Tasks, stack: AsyncExitStack) -> None:
        self._gateway = gateway
        self._above = above
        self._below = below
        self._stack = stack
        self._intakes: dict[str, Intake] = {}
        self._leave: dict[str, asyncio.Event] = {}
        self._opened: dict[str, AsyncExitStack] = {}

    # -- sources

    def begin_source(self, source: SourceConfig) -> None:
        gateway, name = self._gateway, source.name
        config, metrics = gateway.config, gateway.metrics.for_source(name)
        link = gateway.sources[name] = Link(name, source.url, partial(_edge, metrics), partial(_failure, metrics))
        encoder, form = self._encoder(name), format_of(config.payload)
        watch = gateway.tags.watching(source, lambda: link.is_up)
        intake = self._intakes[name] = Intake(name, encoder, gateway.outbox, metrics, _shaper(source), watch=watch)
        connect = partial(open_source, source, metrics, link, describe=form.describes_types)
        gateway.refresh()

        async def work() -> None:
            every_s = form.keep_alive_s(config.payload) if form.keep_alive_s is not None else None
            async with keeping_alive(encoder, gateway.outbox, link, every_s):
                await collect(intake, connect, link, backoff_of(config))

        self._above.begin(f"collect {name}", work())

    async def change_source(self, source: SourceConfig) -> None:
        """Other shaping or another payload, on the connection that there is."""
        gateway = self._gateway
        link = gateway.sources[source.name]
        watch = gateway.tags.watching(source, lambda: link.is_up)
        await self._intakes[source.name].change(self._encoder(source.name), _shaper(source), watch)

    def _encoder(self, source: str) -> Encoder:
        """What makes the messages of a source."""
        gateway = self._gateway
        return encoder_for(
            gateway.config, source, gateway.stream_prefix, gateway.packets, lambda: gateway.outbox.latest_ns
        )

    async def leave_source(self, name: str) -> None:
        """Disconnect; the server keeps the subscription for whoever comes back."""
        await self._above.end(f"collect {name}")
        self._gateway.tags.forget(name)
        del self._intakes[name], self._gateway.sources[name]
        self._gateway.refresh()

    # -- brokers

    async def open_broker(self, config: Config, broker: BrokerConfig) -> None:
        """Its places on the disk.  Raises `ConfigError` when they cannot be had."""
        opened = AsyncExitStack()
        self._stack.push_async_exit(opened)
        gateway = self._gateway
        queue = await opened.enter_async_context(_queue(config, broker, gateway.outbox, gateway.metrics))
        self._opened[broker.name] = opened
        gateway.queues[broker.name] = queue

    def begin_broker(self, broker: BrokerConfig) -> None:
        """Deliver to a broker whose places are open."""
        gateway, name = self._gateway, broker.name
        queue, metrics = gateway.queues[name], gateway.metrics.for_sink(name)
        queue.retry_refused_s, queue.replay, queue.expiry_s = broker.retry_refused, broker.replay, broker.expiry
        kind = kind_of(broker)
        metrics.own_certificate_expires.set_function(partial(kind.certificate_expires_s, broker))
        metrics.broker_certificate_expires.set(math.nan)
        metrics.credential_expires.set_function(partial(kind.credential_expires_s, broker))
        link = gateway.brokers[name] = Link(name, broker.url, partial(_edge, metrics), partial(_failure, metrics))
        leave = self._leave[name] = asyncio.Event()
        gateway.refresh()
        if broker.max_packet is not None:
            gateway.packets.learn(name, broker.max_packet)
        connect = partial(_connected, gateway, broker, link, metrics)
        self._below.begin(f"forward to {name}", forward(queue, connect, link, backoff_of(gateway.config), leave))

    async def leave_broker(self, name: str) -> None:
        """With a goodbye where it is connected; what it has not acknowledged stays on disk."""
        self._leave.pop(name).set()
        await self._below.end(f"forward to {name}", GOODBYE_S if self._gateway.brokers[name].is_up else 0.0)
        del self._gateway.brokers[name]
        self._gateway.refresh()

    async def say_goodbye(self) -> None:
        """Leave all brokers at once."""
        for leave in self._leave.values():
            leave.set()
        await self._below.wait([f"forward to {name}" for name in self._leave], GOODBYE_S)

    async def forget_broker(self, name: str) -> None:
        """It will not come back: its place in the outbox is given up, and told how many values it had not got."""
        queue = self._gateway.queues.pop(name)
        self._gateway.refresh()
        log = structlog.get_logger("gateway").bind(broker=name)
        log.warning("a broker was taken out of the configuration", values_not_delivered=queue.stored_values)
        await self._opened.pop(name).aclose()
        await self._gateway.outbox.forget(name)
        self._gateway.metrics.sink_ends(name)
        self._gateway.packets.forget(name)

    def keep_within(self, config: Config) -> None:
        """Other bounds of the outbox and of the places beside it."""
        self._gateway.outbox.keep_within(config.outbox)
        for name, queue in self._gateway.queues.items():
            refused, dead = _beside(config.outbox, name)
            queue.refused.keep_within(refused)
            queue.dead.keep_within(dead)


def backoff_of(config: Config) -> Backoff:
    return Backoff(config.reconnect.first, config.reconnect.most)


def count_drop(metrics: Metrics, broker: str, reason: str, values: int) -> None:
    metrics.dropped.labels(broker, reason).inc(values)


def _shaper(source: SourceConfig) -> Shaper | None:
    return Shaper(source) if source.is_shaped else None


@asynccontextmanager
async def _connected(
    gateway: Gateway, broker: BrokerConfig, link: Link, metrics: SinkMetrics
) -> AsyncIterator[Session]:
    """A session, from which the formats learn how long a message may be."""
    kind, wanted = kind_of(broker), with_version(broker, gateway.config.payload)
    async with kind.open_sink(wanted, link, gateway.config.name, _presence(gateway, broker)) as sink:
        metrics.broker_certificate_expires.set(sink.certificate_ends_s)
        most = sink.most_bytes
        if gateway.packets.learn(broker.name, most) and most < gateway.config.payload.max_bytes:
            log = structlog.get_logger("gateway").bind(broker=broker.name)
            log.info("messages are split to what the broker takes", most_bytes=most)
        yield sink


def _presence(gateway: Gateway, broker: BrokerConfig) -> Presence | None:
    """What says at this broker whether the gateway is there."""
    config = gateway.config
    own = format_of(config.payload).presence
    if own is not None and broker.presence.topic is not None:
        return own(config.payload, config.name)
    streams: Callable[[], list[str]] = lambda: sorted(gateway.outbox.streams)  # noqa: E731 - as of then
    return presence_of(
        broker.presence, config.name, version(DISTRIBUTION), lambda: hash_of(gateway.config), streams,
        config.payload.rules,
    )  # fmt: skip


def _beside(outbox: OutboxConfig, broker: str) -> tuple[OutboxConfig, OutboxConfig]:
    """Where and within what bounds what a broker refused is kept: for now, and for good."""
    size = max(2 * outbox.segment_bytes, outbox.max_bytes // SHARE_OF_REFUSED)
    aside = outbox.model_copy(update={"max_bytes": size, "when_full": "drop_oldest"})
    refused, dead = (aside.model_copy(update={"path": outbox.path / kind / broker}) for kind in (REFUSED, DEAD_LETTERS))
    return refused, dead


def forget_brokers(config: Config) -> None:
    """What was refused for now by brokers that are not configured any more takes no disk; their dead letters, which
    are for people, stay."""
    names = [broker.name for broker in config.all_brokers]
    forget(config.outbox.path / REFUSED, names)
    forget_empty(config.outbox.path / DEAD_LETTERS, names)


@asynccontextmanager
async def _queue(config: Config, broker: BrokerConfig, outbox: Outbox, metrics: Metrics) -> AsyncIterator[BrokerQueue]:
    """The places of one broker beside the outbox: what it refused for now, and what it will never take."""
    refused_config, dead_config = _beside(config.outbox, broker.name)
    on_drop = partial(count_drop, metrics)
    async with (
        open_outbox(refused_config, readers=(broker.name,), on_drop=on_drop, numbered=False) as refused,
        open_outbox(dead_config, numbered=False) as dead,
    ):
        yield BrokerQueue(
            broker.name, outbox, refused, dead, metrics, broker.retry_refused, broker.replay, broker.expiry
        )


def _edge(bound: SourceMetrics | SinkMetrics, link: Link) -> None:
    bound.connected.set(link.is_up)
    if link.is_up:
        bound.connects.inc()


def _failure(bound: SourceMetrics | SinkMetrics, link: Link, cause: str) -> None:
    (bound.disconnects if link.is_up else bound.connect_failures)[cause].inc()
