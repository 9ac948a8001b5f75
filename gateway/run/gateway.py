"""The shared state of all peers of a running gateway, and the list of these peers."""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from typing import Protocol

from gateway.commands.arrival import Things
from gateway.commands.codec import endpoints_of
from gateway.commands.desk import Desk
from gateway.commands.ways import Boxes, SourceLog
from gateway.config import BrokerConfig, Config, PayloadConfig, Route
from gateway.errors import ConfigError
from gateway.happened import Happened
from gateway.link import Backoff, Link
from gateway.metrics import Metrics, SinkMetrics, SourceMetrics
from gateway.metrics.tags import TagGauges
from gateway.model import Gap, Loss
from gateway.operations import Operations
from gateway.outbox import TOO_MUCH_LEFT, Buffer
from gateway.payload.choose import encoder_for, format_of
from gateway.payload.format import Encoder, Place, Remembering, SessionContext, SessionForm
from gateway.payload.layout import prefix_of
from gateway.payload.presence import hash_of
from gateway.pipeline.broker_queue import BrokerQueue
from gateway.pipeline.routing import Encoded, Routing, SourceRoutes
from gateway.pipeline.standing import Standing
from gateway.pipeline.tap import Tap
from gateway.run.added import Added
from gateway.run.admission import Admission
from gateway.run.history import History
from gateway.run.kept_losses import KeptLosses, row_of_gap, row_of_loss
from gateway.run.taking import Reload
from gateway.telemetry.traces import Traces

DISTRIBUTION = "connected-factory"


@cache
def own_version() -> str:
    """The version of this gateway.  Read once: each reading parses the whole README with the metadata."""
    return version(DISTRIBUTION)


def client_id_of(config: Config, broker: BrokerConfig) -> str:
    """The default client id at a broker.  With several brokers it contains the broker's name, since two of them may be
    the same broker."""
    return config.name if len(config.all_brokers) == 1 else f"{config.name}-{broker.name}"


def things_of(config: Config) -> Things:
    """What each broker calls this gateway."""
    found: dict[str, dict[str, str]] = {}
    for broker in config.all_brokers:
        who = broker.who(client_id_of(config, broker))
        found[broker.name] = {"thing": who.device, "product": who.product}
    return found


async def _no_commands(config: Config) -> None:
    """Where nobody keeps a journal for them."""


class PlaceInGroup(Place, Protocol):
    """Where a broker of this member is in the log, and what its format has learned from it."""

    @property
    def memory(self) -> Remembering | None: ...

    def remember(self, memory: Remembering) -> None:
        """Learn from now on with another one, from the oldest record on."""


class Membership(Protocol):
    """What of the configuration this gateway runs, as a member of a group: `source/<name>` and `broker/<name>`."""

    @property
    def boxes(self) -> Boxes: ...

    @property
    def logs(self) -> Mapping[str, SourceLog]:
        """Of the sources that this member has."""

    @property
    def places(self) -> Mapping[str, "PlaceInGroup"]:
        """Of the brokers that this member has."""

    remember: Callable[[str], Remembering | None]
    """Makes what the format of a route must know of its records."""

    def memories_of(self, source: str) -> MutableMapping[str, Remembering] | None:
        """By route, what the log says of a source that this member has.  None: it has not."""

    @property
    def name(self) -> str: ...

    @property
    def owned(self) -> Collection[str]: ...

    @property
    def others(self) -> Mapping[str, Mapping[str, object]]:
        """What each member, this one included, showed of itself last: with `holds` and `since`, by work."""

    async def confirm(self, work: str) -> None:
        """Raises `Unavailable` when a work belongs to another member, or nobody can say."""

    async def take_part(
        self,
        wanted: Callable[[], Mapping[str, str]],
        apply: Callable[[], Awaitable[None]],
        reload: Callable[[], None],
    ) -> None: ...

    async def tell_reload(self) -> None:
        """Let all other members take their configuration anew.  Raises `Unavailable`."""


@dataclass(slots=True)
class Gateway:
    """A running gateway.  Its content changes with the configuration."""

    config: Config
    metrics: Metrics
    tags: TagGauges
    outbox: Buffer
    http: Link
    queues: dict[str, BrokerQueue] = field(default_factory=dict)
    """By broker."""
    sources: dict[str, Link] = field(default_factory=dict)
    brokers: dict[str, Link] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    """The peers that must be connected for values to flow."""
    losers: list[Buffer] = field(default_factory=list)
    """The outboxes that may lose stored messages."""
    desk: Desk | None = None
    """Receives commands.  None: none were configured at the start."""
    begin_commands: Callable[[Config], Awaitable[None]] = _no_commands
    """Opens the desk for a configuration that names commands, where it is not open.  Raises `ConfigError`."""
    group: tuple[Membership, Link] | None = None
    """The group that it is a member of, and the link to it."""
    selected: tuple[Added, ...] = ()
    """Selections that were made at run time, as they are on the disk."""
    configured: Config = field(init=False)
    """As the file has it, without them."""
    standing: dict[str, Standing] = field(default_factory=dict)
    """How the tags of each source stand."""
    losses: KeptLosses = field(init=False)
    """What was not delivered in the last day."""
    taps: list[Tap] = field(default_factory=list)
    """Those who look at what passes inside."""
    connected: dict[str, Operations] = field(default_factory=dict)
    """What may be asked of the sources that are connected."""
    reload: Reload | None = None
    """Where a changed configuration comes from.  None: it cannot change."""
    admission: Admission = field(default_factory=Admission)
    """Who connects to a server now."""
    refused: tuple[float, str] | None = None
    """Unix time at which the last changed configuration was refused, and why.  None: it was taken, or none came."""
    happened: Happened = field(default_factory=Happened)
    """The newest lines of the log."""
    history: History = field(default_factory=History)
    """The last ten minutes."""
    traces: Traces | None = None
    """Looks at one batch in so many on its way.  None: nobody does."""
    routing: Routing = field(init=False)
    _hashed: tuple[Config, str] | None = None
    _shared: dict[str, tuple[PayloadConfig, object]] = field(default_factory=dict)
    """By route: what the encoders and sessions of its format share, and for which payload."""

    def __post_init__(self) -> None:
        self.configured = self.config
        self.losses = KeptLosses(self.config.outbox.path)
        self.routing = Routing(*_routes_of(self.config), self._encoder)
        if self.group is not None:
            self.group[0].remember = lambda route: self._memory(self.payload_of(route))

    def take(self, config: Config) -> None:
        """Put a configuration into use.  In the same instant all sources encode for its routes, and every existing
        broker follows its own."""
        self.config = config
        if self.desk is not None:
            self.desk.configure(config.commands, endpoints_of(config.sources), things_of(config))
        self.routing.change(*_routes_of(config))
        for broker, route in config.routes.items():
            if broker in self.outbox.readers:
                self.outbox.follow(broker, route.name)

    def check_routes(self, config: Config) -> None:
        """Raises `ConfigError` when a broker cannot change to its route in a configuration."""
        routes = {broker: route.name for broker, route in config.routes.items() if broker in self.outbox.readers}
        problems = [
            f"{broker}: {TOO_MUCH_LEFT}"
            for broker, route in routes.items()
            if not self.outbox.may_follow(broker, route)
        ]
        if problems:
            raise ConfigError(problems)

    def payload_for(self, broker: str) -> PayloadConfig:
        """The payload for a broker; for one that is leaving, the gateway's."""
        route = self.config.routes.get(broker)
        return route.payload if route is not None else self.config.payload

    def payload_of(self, route: str) -> PayloadConfig:
        """The payload of a route; for one that is gone, the gateway's."""
        return next((each.payload for each in self.routing.routes if each.name == route), self.config.payload)

    def routes_of(self, source: str) -> SourceRoutes:
        """The encoders of a source."""
        return self.traces.routes(source, self.routing) if self.traces else SourceRoutes(source, self.routing)

    @property
    def on_stored(self) -> Callable[[Encoded], None]:
        """What is done with messages in the instant in which they are durable."""
        return self.traces.stored(self.count_left_out) if self.traces else self.count_left_out

    def count_left_out(self, encoded: Encoded) -> None:
        """Book durable values for the brokers that did not ask for them (`not routed`)."""
        for broker in self.outbox.readers:
            left_out = encoded.values - encoded.chosen.get(self.outbox.reader(broker).route, 0)
            if left_out:
                self.metrics.not_routed.labels(broker).inc(left_out)

    def count_too_large(self, encoded: Encoded) -> None:
        """What does not fit the outbox is lost to those that asked for it."""
        self.count_left_out(encoded)
        for broker in self.outbox.readers:
            count_drop(self.metrics, broker, "too_large", encoded.chosen.get(self.outbox.reader(broker).route, 0))

    def _encoder(self, route: Route, source: str) -> Encoder:
        prefix = prefix_of(self.stream_prefix, route.name)
        shared = self._shared_of(route) if self.group is None else self._memory_of(route, source, self.group[0])
        return encoder_for(self.config, source, prefix, lambda: self.outbox.latest_ns, route.payload, shared)

    def _shared_of(self, route: Route) -> object:
        shares = format_of(route.payload).shares
        if shares is None:
            return None
        payload, found = self._shared.get(route.name, (None, None))
        if payload != route.payload:
            found = shares(route.payload, self.config.name, self.config.outbox.path, route.brokers)
            self._shared[route.name] = route.payload, found
        return found

    def _memory(self, payload: PayloadConfig) -> Remembering | None:
        make = format_of(payload).remembers
        return make(payload, self.config.name) if make is not None else None

    def _memory_of(self, route: Route, source: str, member: Membership) -> Remembering | None:
        """What the log says of a source; of what had another form, nothing."""
        memories = member.memories_of(source)
        found = memories.get(route.name) if memories is not None else None
        if found is None or found.payload != route.payload:
            found = self._memory(route.payload)
            if memories is not None and found is not None:
                memories[route.name] = found
        return found

    def session_form(self, broker: str) -> SessionForm | None:
        """The form of the sessions with a broker, if its format has one."""
        route = self.config.routes.get(broker)
        form = format_of(route.payload).session if route is not None else None
        if route is None or form is None:
            return None
        folder, figures = self.config.outbox.path, partial(self._figures, broker)
        place = self.group[0].places.get(broker) if self.group is not None else None
        if place is None:
            shared = self._shared_of(route)
        else:
            shared = place.memory
            if place.memory is None or place.memory.payload != route.payload:
                made = shared = self._memory(route.payload)
                assert made is not None
                place.remember(made)
        return form(SessionContext(route.payload, self.config.name, broker, folder, shared, figures, place))

    def _figures(self, broker: str) -> dict[str, int]:
        """See `SessionContext`."""
        queue, place = self.queues.get(broker), self.group[0].places.get(broker) if self.group is not None else None
        up = sum(link.is_up for link in self.sources.values())
        return {
            "Gateway/Sources": len(self.sources if self.group is None else self.config.sources),
            "Gateway/Sources Connected": place.memory.sources_alive if place is not None and place.memory else up,
            "Gateway/Backlog": queue.stored_values if queue is not None else 0,
        }

    def note_loss(self, loss: Loss) -> None:
        """Remember a loss for people who look."""
        self.losses.note(row_of_loss(time.time(), loss))

    def standing_of(self, source: str) -> Standing:
        """The same object for as long as the source is configured."""
        if source not in self.standing:
            self.standing[source] = Standing(on_gap=partial(self._note_gap, source))
        return self.standing[source]

    def _note_gap(self, source: str, at_s: float, gap: Gap, names: tuple[str, ...]) -> None:
        self.losses.note(row_of_gap(at_s, source, gap, names))

    def dropped(self) -> dict[str, dict[str, int]]:
        """Values that each broker did not get since the start, by reason."""
        return {name: self.metrics.dropped_of(name) for name in self.queues}

    def owns(self, work: str) -> bool:
        """Whether this gateway runs a source or broker of its configuration.  Alone, it runs all of them."""
        return self.group is None or work in self.group[0].owned

    async def confirm(self, work: str) -> None:
        """Before a connection: look whether the work is still ours.  Raises `Unavailable` when it is not."""
        if self.group is not None:
            await self.group[0].confirm(work)

    @property
    def configuration_hash(self) -> str:
        """The hash of the configuration as the file has it; worked out once for each."""
        if self._hashed is None or self._hashed[0] is not self.configured:
            self._hashed = self.configured, hash_of(self.configured)
        return self._hashed[1]

    @property
    def stored_values(self) -> int:
        """Values on the disk for the broker with the most left."""
        return max((queue.stored_values for queue in self.queues.values()), default=0)

    @property
    def stream_prefix(self) -> str:
        """The prefix of this gateway's stream names."""
        return f"{self.config.name}.{self.outbox.epoch}"

    @property
    def backoff(self) -> Backoff:
        """The back-off between connection attempts, and between the lives of a peer."""
        return Backoff(self.config.reconnect.first, self.config.reconnect.most)

    def refresh(self) -> None:
        """Update derived figures after a peer came or went."""
        self.links[:] = (*self.sources.values(), *self.brokers.values())
        if self.group is not None:
            self.links.append(self.group[1])
            return  # what the log of a group announces, the owner of its source must append
        self.losers[:] = (self.outbox, *(queue.refused for queue in self.queues.values()))


def _routes_of(config: Config) -> tuple[Sequence[Route], Sequence[str]]:
    return config.distinct_routes, tuple(source.name for source in config.sources)


def counted_link(name: str, address: str, bound: SourceMetrics | SinkMetrics) -> Link:
    """A link that counts its changes and failures in the series of its peer."""
    return Link(name, address, partial(_edge, bound), partial(_failure, bound))


def count_drop(metrics: Metrics, broker: str, reason: str, values: int) -> None:
    metrics.dropped.labels(broker, reason).inc(values)


def _edge(bound: SourceMetrics | SinkMetrics, link: Link) -> None:
    bound.connected.set(link.is_up)
    if link.is_up:
        bound.connects.inc()


def _failure(bound: SourceMetrics | SinkMetrics, link: Link, cause: str) -> None:
    (bound.disconnects if link.is_up else bound.connect_failures)[cause].inc()
