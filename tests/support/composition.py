"""The sources and sinks of a gateway, with servers and brokers that obey physics, inside the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import nan
from pathlib import Path

import orjson

from gateway.config import BrokerConfig, Config, OutboxConfig, SourceConfig
from gateway.delivery import LateStage, Presence, SinkKind
from gateway.errors import Unavailable
from gateway.link import Link
from gateway.metrics import Books, Metrics, SourceMetrics, books_of
from gateway.metrics.tags import TagGauges
from gateway.model import Batch, Message, Tag
from gateway.outbox import Files, open_outbox
from gateway.run.gateway import Gateway, count_drop
from gateway.run.reconcile import Peers, peers_of
from gateway.run.sink_unit import SinkUnit, sink_unit
from gateway.run.source_unit import SourceUnit, source_unit
from gateway.yaml_positions import Problem
from tests.support.forwarding import Broker, Session, until
from tests.support.payloads import batch_of

INT32 = 6
MOST_AT_ONCE = 10


@dataclass
class Server:
    """An OPC UA server with one variable that counts.

    It keeps unacknowledged values for the next connection, and nothing else.  A broken connection stays broken.
    """

    name: str
    tags: Sequence[Tag] = (Tag("count", "i=1", {"machine": "m"}),)
    handles: Sequence[int] = (0,)
    """The tags that change, in turn."""
    row: Callable[[int], tuple[int, object]] = lambda number: (INT32, number)
    """Type and value of each change, by its number."""
    is_there: bool = True
    produced: int = 0
    acknowledged: int = 0
    connections: int = 0
    configs: list[SourceConfig] = field(default_factory=list)
    """The configuration of each connection."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def produce(self, count: int = 1) -> None:
        self.produced += count
        self._tell()

    def go(self) -> None:
        """Be unreachable from now on."""
        self.is_there = False
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def connected(
        self,
        config: SourceConfig,
        metrics: SourceMetrics,
        checkpoint: bytes,
        *,
        describe: bool = False,
        repeat: bool = False,
    ) -> AsyncIterator["Connection"]:
        await asyncio.sleep(0)
        if not self.is_there:
            raise Unavailable("nobody listens there", "refused")
        self._tell()  # an event belongs to one loop, and this may be another
        self.connections += 1
        self._tell()  # who waits on an earlier connection; and an event belongs to one loop
        self.configs.append(config)
        self.acknowledged = max(self.acknowledged, int(checkpoint or 0))
        yield Connection(self)
        await asyncio.sleep(0)


class Connection:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._number = server.connections

    async def batches(self) -> AsyncIterator[Batch]:
        server, at = self._server, self._server.acknowledged
        while True:
            while at >= server.produced:
                if not server.is_there or server.connections != self._number:
                    raise Unavailable("the server has gone", "cut")
                await server._changed.wait()
            end = min(server.produced, at + MOST_AT_ONCE)
            rows = [server.row(n) for n in range(at + 1, end + 1)]
            handles = [server.handles[n % len(server.handles)] for n in range(at, end)]
            batch = batch_of(rows, tags=server.tags, handles=handles)
            yield replace(batch, source=server.name, checkpoint=b"%d" % end)
            at = server.acknowledged = end


class Kind:
    """A kind of sink whose brokers are those of the test."""

    def __init__(self, brokers: dict[str, Broker]) -> None:
        self._brokers = brokers
        self.configs: list[BrokerConfig] = []

    def problems_with(self, config: BrokerConfig) -> Sequence[Problem]:
        return ()

    @asynccontextmanager
    async def open_sink(
        self,
        config: BrokerConfig,
        link: Link,
        default_client_id: str,
        presence: Presence | None = None,
        late: Callable[[], LateStage] | None = None,
    ) -> AsyncIterator[Session]:
        await asyncio.sleep(0)
        async with self._brokers[config.name].session() as session:
            self.configs.append(config)
            yield session
            await asyncio.sleep(0)

    def credential_expires_s(self, config: BrokerConfig) -> float:
        return nan

    def certificate_expires_s(self, config: BrokerConfig) -> float:
        return nan


class Composition:
    """A gateway of servers and brokers that obey physics."""

    def __init__(self, folder: Path, sources: Sequence[str] = ("s", "t"), brokers: Sequence[str] = ("a", "b")) -> None:
        self.servers = {name: Server(name) for name in sources}
        self.brokers = {name: Broker() for name in brokers}
        self.kinds: dict[str, SinkKind] = dict.fromkeys(brokers, Kind(self.brokers))
        self.outbox: dict[str, object] = {"path": str(folder / "outbox"), "commit": "os"}
        self.gateway: Gateway
        self.peers: Peers
        self._numbers: dict[str, dict[str, set[int]]] = {}
        """What `has_all` has counted, which is asked hundreds of times: by broker and source."""
        self._counted: dict[str, int] = {}
        """How many messages of each broker that is."""

    def config(
        self,
        sources: dict[str, dict[str, object]] | None = None,
        brokers: dict[str, dict[str, object]] | None = None,
        without: Sequence[str] = (),
        **changes: object,
    ) -> Config:
        """The configuration with all servers and brokers, and with changes of some by name, and of the whole."""
        select = [{"node": "i=1"}]
        plain: dict[str, object] = {
            "name": "edge",
            "sources": [
                {
                    "name": name,
                    "url": f"opc.tcp://{name}:1",
                    "insecure": True,
                    "select": select,
                    **(sources or {}).get(name, {}),
                }
                for name in self.servers
            ],
            "brokers": [
                {"name": name, "url": f"mqtt://{name}:1", "retry_refused": "100ms", **(brokers or {}).get(name, {})}
                for name in self.brokers
                if name not in without
            ],
            "outbox": self.outbox,
            "payload": {"topic": "x/{source}"},
            "http": {"port": 0},
            "reconnect": {"first": "10ms", "most": "20ms"},
        }
        return Config.model_validate(plain | changes)

    @asynccontextmanager
    async def running(self, first: Config | None = None, files: Files | None = None) -> AsyncIterator["Composition"]:
        config, metrics = first or self.config(), Metrics()
        routes = {broker: route.name for broker, route in config.routes.items()}
        drops = partial(count_drop, metrics)
        async with (
            open_outbox(config.outbox, readers=routes, on_drop=drops, files=files) as outbox,
            AsyncExitStack() as stack,
        ):
            tags = TagGauges(config, metrics.left_out.labels("tags"))
            self.gateway = Gateway(config, metrics, tags, outbox, Link("http", ""))
            self.peers = await stack.enter_async_context(peers_of(self.gateway, self._source, self._sink))
            await self.peers.take(config)
            yield self

    def _source(self, gateway: Gateway, source: SourceConfig) -> AbstractAsyncContextManager[SourceUnit]:
        return source_unit(gateway, source, connect=self.servers[source.name].connected)

    def _sink(
        self, gateway: Gateway, bounds: OutboxConfig, broker: BrokerConfig, route: str
    ) -> AbstractAsyncContextManager[SinkUnit]:
        return sink_unit(gateway, bounds, broker, route, kind_of=lambda config: self.kinds[config.name])

    def produce(self, count: int = 1) -> None:
        for server in self.servers.values():
            server.produce(count)

    def server_config(self, source: str) -> SourceConfig:
        """The configuration of a server's last connection."""
        return self.servers[source].configs[-1]

    def books(self, broker: str) -> Books:
        return books_of(self.gateway.metrics.registry, broker)

    def imbalance(self, broker: str) -> float | None:
        """The imbalance of a broker's books."""
        return self.gateway.metrics.registry.get_sample_value("gateway_books_imbalance_values", {"sink": broker})

    @property
    def faults_counted(self) -> float:
        """How many lives have ended by a fault of the gateway."""
        samples = (sample for family in self.gateway.metrics.registry.collect() for sample in family.samples)
        return sum(sample.value for sample in samples if sample.labels.get("cause") == "bug")

    async def everything_arrives(self) -> None:
        """Wait until every broker has every value, the first deliveries of each stream in order; the books balance."""
        await until(lambda: all(map(self.has_all, self.brokers)))
        await self.gateway.outbox.wait_empty()
        for name, broker in self.brokers.items():
            assert self.imbalance(name) == 0
            for stream in {message.stream for message in broker.got}:
                seqs = list(dict.fromkeys(message.seq for message in broker.got if message.stream == stream))
                assert seqs == list(range(1, len(seqs) + 1))

    def has_all(self, broker: str, *sources: str) -> bool:
        """Whether a broker has every value that these servers, or all of them, produced."""
        got = self._numbers.setdefault(broker, {})
        messages = self.brokers[broker].got
        if len(messages) < self._counted.get(broker, 0):  # a test has cleared them
            self._counted[broker] = 0
        add_numbers(got, messages[self._counted.get(broker, 0) :])
        self._counted[broker] = len(messages)
        return all(
            got.get(name, set()) >= set(range(1, self.servers[name].produced + 1)) for name in sources or self.servers
        )


def numbers(messages: Sequence[Message]) -> dict[str, set[int]]:
    """The values in messages, by source."""
    found: dict[str, set[int]] = {}
    add_numbers(found, messages)
    return found


def add_numbers(found: dict[str, set[int]], messages: Sequence[Message]) -> None:
    for message in messages:
        values = orjson.loads(message.payload).get("values", [])
        found.setdefault(message.source, set()).update(int(value["value"]) for value in values)
