"""One sink: everything that belongs to one broker, from its session to its places on the disk and its metric labels.

Its places on the disk are opened first, and stay open while sessions come and go.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import partial

import structlog

from gateway.config import BrokerConfig, Config, OutboxConfig
from gateway.delivery import Presence, Session, SinkKind
from gateway.errors import ConfigError, Unavailable
from gateway.link import Link
from gateway.metrics import SinkMetrics
from gateway.outbox import open_outbox
from gateway.outbox.inspect import forget, forget_empty
from gateway.payload.choose import format_of, with_needs_of_format
from gateway.payload.format import SessionForm
from gateway.payload.layout import route_of
from gateway.payload.presence import presence_of
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.pipeline.delivered import Delivered
from gateway.pipeline.forward import forward
from gateway.run.gateway import Gateway, client_id_of, count_drop, counted_link, own_version
from gateway.run.health import health_of
from gateway.run.life import Life, live
from gateway.run.sink_kinds import kind_of

GOODBYE_S = 2.0
"""How long the goodbye to a broker may take, in seconds."""
REFUSED, DEAD_LETTERS = "refused", "dead-letters"
"""Folders below that of the outbox, each with an outbox per broker."""
SHARE_OF_REFUSED = 8
"""Refused messages and dead letters may each take one eighth of the outbox's size."""


KindOf = Callable[[BrokerConfig], SinkKind]


class SinkUnit:
    """Created by `sink_unit`."""

    def __init__(
        self, gateway: Gateway, bounds: OutboxConfig, broker: BrokerConfig, route: str, kind_of: KindOf
    ) -> None:
        self.name = broker.name
        self._first_route = route
        self._kind_of = kind_of
        self._gateway = gateway
        self._bounds = bounds
        self._broker = broker
        self._is_new = broker.name not in gateway.outbox.readers
        self._is_over = self._is_new
        """Whether its place in the outbox is given up at the end."""
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = asyncio.Event()
        self._open: tuple[BrokerQueue, Life] | None = None
        self._has_begun = False
        self._goodbye = asyncio.Event()

    def begin(self) -> None:
        """Connect and deliver, through every failure."""
        self._has_begun, self._is_over = True, False
        self._deliver()

    async def connect_again(self, broker: BrokerConfig) -> None:
        """Change to another connection, with a goodbye on the present one."""
        await self._end_delivery()
        self._broker = broker
        self._deliver()

    def keep_within(self, bounds: OutboxConfig) -> None:
        """Change the bounds of its places on the disk."""
        self._bounds = bounds
        if self._open is not None:
            queue, _ = self._open
            refused, dead = _beside(bounds, self.name)
            queue.refused.keep_within(refused)
            queue.dead.keep_within(dead)

    def leave(self, *, for_good: bool = False) -> None:
        """Say goodbye, without waiting.  Unacknowledged messages stay on the disk.

        `for_good`: it is not configured any more, so its place in the outbox is given up.
        """
        self._is_over = self._is_over or for_good
        self._goodbye.set()
        self._left.set()

    def hurry(self) -> None:
        """Wait for the broker no longer."""
        if self._open is not None:
            _, life = self._open
            life.cancel()

    async def wait_open(self) -> None:
        """Wait until its places are open.  Raises `ConfigError` or `Unavailable` when they cannot be opened."""
        await self._opened

    async def live(self) -> None:
        """Keep the places open until it leaves, whatever fails inside."""
        await live(self._keep_open, self._failed, self._gateway.backoff, f"places of {self.name}")

    async def _keep_open(self) -> None:
        try:
            async with (
                _places(self._gateway, self._bounds, self._broker, self._first_route) as queue,
                asyncio.TaskGroup() as tasks,
            ):
                self._open = queue, Life(tasks, f"forward to {self.name}", self._gateway.backoff)
                if self._has_begun:  # otherwise wait until everything new is open
                    self._deliver()
                if not self._opened.done():
                    self._opened.set_result(None)
                await self._left.wait()
                await self._end_delivery()
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(_refusal(self.name, error))
        finally:
            self._open = None

    def _deliver(self) -> None:
        if self._open is None:
            return  # it starts when its places are open again
        gateway, broker, (queue, life) = self._gateway, self._broker, self._open
        metrics = gateway.metrics.for_sink(self.name)
        kind = self._kind_of(broker)
        queue.retry_refused_s, queue.replay, queue.expiry_s = broker.retry_refused, broker.replay, broker.expiry
        metrics.own_certificate_expires.set_function(partial(kind.certificate_expires_s, broker))
        metrics.broker_certificate_expires.set(math.nan)
        link = counted_link(self.name, broker.url, metrics)
        link.on_held = partial(_count_held, metrics)
        metrics.credential_expires.set_function(partial(_credential_ends_s, kind, broker, link))
        gateway.brokers[self.name], gateway.queues[self.name] = link, queue
        gateway.refresh()
        if broker.max_packet is not None:
            gateway.routing.limit(self.name, broker.max_packet)
        self._goodbye = asyncio.Event()
        connect = partial(_connected, gateway, broker, kind, link, metrics, gateway.session_form(self.name))
        life.begin(partial(forward, queue, connect, link, gateway.backoff, self._goodbye), link.down)

    async def _end_delivery(self) -> None:
        if self._open is not None:
            _, life = self._open
            self._goodbye.set()
            link = self._gateway.brokers.get(self.name)
            await life.end(GOODBYE_S if link is not None and link.is_up else 0.0)

    def _failed(self, reason: str, cause: str) -> None:
        if (link := self._gateway.brokers.get(self.name)) is not None:
            link.down(reason, cause)

    async def give_up(self) -> None:
        """Free its place in the outbox for good, and log how many values were not delivered."""
        gateway = self._gateway
        if not self._is_over or self.name not in gateway.outbox.readers:
            return
        gateway.brokers.pop(self.name, None)
        queue = gateway.queues.pop(self.name, None)
        gateway.refresh()
        if queue is not None and self.name not in gateway.config.routes:
            log = structlog.get_logger("gateway").bind(broker=self.name)
            log.warning("a broker was removed from the configuration", values_not_delivered=queue.stored_values)
        await gateway.outbox.forget(self.name)
        gateway.metrics.sink_ends(self.name)
        gateway.routing.forget(self.name)


@asynccontextmanager
async def sink_unit(
    gateway: Gateway, bounds: OutboxConfig, broker: BrokerConfig, route: str, kind_of: KindOf = kind_of
) -> AsyncIterator[SinkUnit]:
    """A sink with open places that can begin.  One that never began leaves nothing behind.

    `route` is the route of a new sink.  Raises `ConfigError` or `Unavailable` when its places cannot be opened.
    """
    unit, problem = SinkUnit(gateway, bounds, broker, route, kind_of), None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(unit.live(), name=f"places of {broker.name}")
        try:
            await unit.wait_open()
        except (ConfigError, Unavailable) as error:
            problem = error  # raised below, outside of the exception group
        else:
            try:
                yield unit
            finally:
                unit.leave()
    await unit.give_up()
    if problem is not None:
        raise problem


def _refusal(broker: str, error: BaseException) -> ConfigError | Unavailable:
    """Why the places of a broker could not be opened."""
    if isinstance(error, ConfigError | Unavailable):
        return error
    log = structlog.get_logger("gateway").bind(broker=broker)
    log.error("a fault of the gateway itself: the places of a broker are not opened", exc_info=error)
    return ConfigError([f"{broker}: its places on the disk cannot be opened: {type(error).__name__}: {error}"])


def forget_brokers(config: Config) -> None:
    """Remove the refused messages of brokers that are not configured any more.  Their dead letters stay, for people."""
    names = [broker.name for broker in config.all_brokers]
    forget(config.outbox.path / REFUSED, names)
    forget_empty(config.outbox.path / DEAD_LETTERS, names)


def _count_held(metrics: SinkMetrics, wait_s: float) -> None:
    metrics.throttled.inc()


def _credential_ends_s(kind: SinkKind, broker: BrokerConfig, link: Link) -> float:
    """Unix time at which the login ends: of what we logged in with, or of what the file says now."""
    made = broker.credentials is not None
    return link.credential_ends_s if made else kind.credential_expires_s(broker)


@asynccontextmanager
async def _connected(
    gateway: Gateway, broker: BrokerConfig, kind: SinkKind, link: Link, metrics: SinkMetrics, form: SessionForm | None
) -> AsyncIterator[Session]:
    """A session that also tells the formats how long a message may be."""
    payload, client_id = gateway.payload_for(broker.name), client_id_of(gateway.config, broker)
    wanted = with_needs_of_format(broker, payload)
    presence = form.presence if form is not None else _presence(gateway, broker)
    desk = gateway.desk if gateway.desk is not None and gateway.desk.is_taken_from(broker.name) else None
    topics = desk.filters(broker.name) if desk is not None else ()
    await gateway.confirm(f"broker/{broker.name}")
    if form is not None:
        await form.prepare()
    async with kind.open_sink(wanted, link, client_id, presence, form.late if form is not None else None) as sink:
        metrics.broker_certificate_expires.set(sink.certificate_ends_s)
        most = sink.most_bytes
        if gateway.routing.limit(broker.name, most) and most < payload.max_bytes:
            log = structlog.get_logger("gateway").bind(broker=broker.name)
            log.info("messages are split to the size that the broker accepts", most_bytes=most)
        link.on_limits = lambda: gateway.routing.limit(broker.name, sink.most_bytes)
        async with nullcontext(sink) if form is None else form.around(sink, link, topics) as session:
            if desk is None:
                yield session
                return
            async with desk.serving(broker.name, session) as shared:
                yield shared


def _presence(gateway: Gateway, broker: BrokerConfig) -> Presence | None:
    """The presence message for this broker."""
    config, payload = gateway.config, gateway.payload_for(broker.name)
    own = format_of(payload).presence
    if own is not None and broker.presence.topic is not None:
        return own(payload, config.name)

    def streams() -> list[str]:
        route = gateway.outbox.reader(broker.name).route
        return sorted(stream for stream in gateway.outbox.streams if route_of(stream) == route)

    def commands() -> Mapping[str, object]:
        desk = gateway.desk
        return desk.names if desk is not None and desk.is_taken_from(broker.name) else {}

    return presence_of(
        broker.presence, config.name, own_version(), lambda: gateway.configuration_hash, streams,
        payload.rules, commands, partial(health_of, gateway),
    )  # fmt: skip


def _beside(outbox: OutboxConfig, broker: str) -> tuple[OutboxConfig, OutboxConfig]:
    """Folders and bounds for the messages that a broker refused: for now, and for good."""
    size = max(2 * outbox.segment_bytes, outbox.max_bytes // SHARE_OF_REFUSED)
    aside = outbox.model_copy(update={"max_bytes": size, "when_full": "drop_oldest"})
    refused, dead = (aside.model_copy(update={"path": outbox.path / kind / broker}) for kind in (REFUSED, DEAD_LETTERS))
    return refused, dead


@asynccontextmanager
async def _places(
    gateway: Gateway, bounds: OutboxConfig, broker: BrokerConfig, route: str
) -> AsyncIterator[BrokerQueue]:
    """The places of one broker: in the outbox, in the refused outbox, and among the dead letters."""
    refused_config, dead_config = _beside(bounds, broker.name)
    on_drop = partial(count_drop, gateway.metrics)
    async with (
        open_outbox(refused_config, readers=(broker.name,), on_drop=on_drop, numbered=False) as refused,
        open_outbox(dead_config, numbered=False) as dead,
    ):
        gateway.outbox.reader(broker.name, route)  # creates it with its route
        yield BrokerQueue(
            broker.name, gateway.outbox, refused, dead, gateway.metrics, broker.retry_refused, broker.replay,
            broker.expiry, gateway.traces.delivered if gateway.traces else Delivered,
        )  # fmt: skip
