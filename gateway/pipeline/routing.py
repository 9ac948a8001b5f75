"""From one batch to the messages of every route.

A batch is encoded once per route.  The routes and the packet limits of their brokers are looked up for each batch, so a
change reaches all sources in the same instant.  With one route for all tags, a batch goes directly to its encoder.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.config import Route
from gateway.model import Batch, Message
from gateway.payload.choose import format_of
from gateway.payload.format import Encoder, SeesLink
from gateway.payload.splitting import ANY_SIZE, NextSeq
from gateway.pipeline.choice import Choice

MakeEncoder = Callable[[Route, str], Encoder]
"""Makes the encoder of a source, given its name, for a route."""


@dataclass(slots=True)
class Encoded:
    """The messages of one append."""

    messages: list[Message] = field(default_factory=list)
    """The messages of the route without a name."""
    others: dict[str, list[Message]] = field(default_factory=dict)
    """The messages of other routes, by name."""
    values: int = 0
    """The number of values in the batch."""
    chosen: dict[str, int] = field(default_factory=dict)
    """How many of these went to each route."""

    def add(self, route: str, made: list[Message], values: int) -> None:
        if route:
            self.others.setdefault(route, []).extend(made)
        elif self.messages:
            self.messages += made
        else:
            self.messages = made
        self.chosen[route] = self.chosen.get(route, 0) + values

    def join(self, other: "Encoded") -> None:
        """Add what follows in the same append."""
        self.messages += other.messages
        for route, made in other.others.items():
            self.others.setdefault(route, []).extend(made)
        for route, values in other.chosen.items():
            self.chosen[route] = self.chosen.get(route, 0) + values
        self.values += other.values


class Routing:
    """The routes of a running gateway."""

    def __init__(self, routes: Sequence[Route], sources: Sequence[str], make: MakeEncoder) -> None:
        self.routes = tuple(routes)
        self.sources = tuple(sources)
        """The names of all sources."""
        self.make = make
        self.changed = asyncio.Event()
        """Set when the routes change, and then replaced by a new event."""
        self.packet_bytes: Mapping[str, int] = {}
        """The largest packet that all brokers of a route accept, by route.

        Routes without a known limit are missing.
        """
        self._packet_bytes_of: dict[str, int] = {}
        """By broker."""

    def change(self, routes: Sequence[Route], sources: Sequence[str]) -> None:
        """Use these routes from the next batch on."""
        self.routes, self.sources = tuple(routes), tuple(sources)
        self._derive()
        self.changed.set()
        self.changed = asyncio.Event()

    def limit(self, broker: str, packet_bytes: int) -> bool:
        """Limit the packets for this broker from the next batch on.  Returns whether the limit is new."""
        is_news = self._packet_bytes_of.get(broker) != packet_bytes
        self._packet_bytes_of[broker] = packet_bytes
        self._derive()
        return is_news

    def forget(self, broker: str) -> None:
        """Remove a broker that is not configured any more."""
        self._packet_bytes_of.pop(broker, None)
        self._derive()

    def _derive(self) -> None:
        known = self._packet_bytes_of
        self.packet_bytes = {
            route.name: min(known[broker] for broker in route.brokers if broker in known)
            for route in self.routes
            if not known.keys().isdisjoint(route.brokers)
        }


@dataclass(slots=True)
class _Way:
    """One route, for one source."""

    route: Route
    numbered: tuple[str, ...]
    """The sources, for formats that number writers across all of them."""
    encoder: Encoder
    choice: Choice | None


class SourceRoutes:
    """The encoders of one source, for all routes."""

    def __init__(self, source: str, routing: Routing) -> None:
        self._source = source
        self._routing = routing
        self._routes: tuple[Route, ...] | None = None
        self._ways: list[_Way] = []

    def encode(self, batch: Batch, next_seq: NextSeq, encoded: Encoded) -> None:
        """Add the messages of a batch.  Their numbers continue from what `next_seq` returns for each stream."""
        values = len(batch)
        encoded.values += values
        for way in self._present():
            name, packet_bytes = way.route.name, self._routing.packet_bytes.get(way.route.name, ANY_SIZE)
            if way.choice is None:
                encoded.add(name, way.encoder.encode(batch, next_seq, packet_bytes), values)
                continue
            chosen = way.choice.of(batch)
            made = way.encoder.encode(chosen, next_seq, packet_bytes) if chosen is not None else []
            encoded.add(name, made, len(chosen) if chosen is not None else 0)

    def keep_alives(self, names: Sequence[str], next_seq: NextSeq) -> Encoded:
        """The keep-alives of the named routes."""
        encoded = Encoded()
        for way in self._present():
            if way.route.name in names:
                encoded.add(way.route.name, way.encoder.keep_alives(next_seq), 0)
        return encoded

    def link_changed(self, is_up: bool, next_seq: NextSeq) -> Encoded:
        """What the routes tell of the server's coming and going."""
        encoded = Encoded()
        for way in self._present():
            if isinstance(way.encoder, SeesLink):
                encoded.add(way.route.name, way.encoder.link_changed(is_up, next_seq), 0)
        return encoded

    @property
    def keep_alive_s(self) -> Mapping[str, float]:
        """By route: the silence in seconds after which a topic gets a keep-alive.

        Routes without keep-alives are left out.
        """
        forms = ((way.route, format_of(way.route.payload).keep_alive_s) for way in self._present())
        return {route.name: every_s(route.payload) for route, every_s in forms if every_s is not None}

    @property
    def changed(self) -> asyncio.Event:
        """Set when the routes have changed."""
        return self._routing.changed

    def _present(self) -> list[_Way]:
        if self._routes is not self._routing.routes:
            self._routes = self._routing.routes
            self._ways = [self._known(route) or self._made(route) for route in self._routes]
        return self._ways

    def _known(self, route: Route) -> _Way | None:
        """The existing encoder of a route, unchanged by the coming and going of other routes.

        None: it is a new route.
        """
        wanted = (route.name, route.payload, route.tags, self._numbered(route))
        for way in self._ways:
            if (way.route.name, way.route.payload, way.route.tags, way.numbered) == wanted:
                return way
        return None

    def _numbered(self, route: Route) -> tuple[str, ...]:
        return self._routing.sources if format_of(route.payload).numbers_writers else ()

    def _made(self, route: Route) -> _Way:
        choice = Choice(route.tags, self._source) if route.tags is not None else None
        return _Way(route, self._numbered(route), self._routing.make(route, self._source), choice)
