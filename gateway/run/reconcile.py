"""Applies a configuration: the one loop that starts, changes and ends sources and sinks.

The start is a change from nothing.  Everything new is opened and checked first.  Only when all of it is open, something
changes; otherwise all of it is closed again.  Peers that a change does not affect do not notice it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Generic, TypeVar

import structlog

from gateway.config import BrokerConfig, Config, OutboxConfig, SourceConfig
from gateway.errors import ConfigError, Unavailable
from gateway.in_thread import in_thread
from gateway.link import Link
from gateway.logs import set_level
from gateway.run.added import Added, joined
from gateway.run.changes import NOTHING, Change, Changes, changes_between, in_effect, owned_of, snapshot_of
from gateway.run.gateway import Gateway
from gateway.run.inside import InsideOf
from gateway.run.life import Life
from gateway.run.sink_kinds import check_sinks
from gateway.run.sink_unit import SinkUnit, forget_brokers, sink_unit
from gateway.run.source_unit import SourceUnit, check_source, source_unit
from gateway.web import serve_http

LEAVE_S = 0.7
"""At the end: how long sources, and then sinks, may wait for a peer; twice this is less than `stop_deadline.STOP_S`."""

Unit = TypeVar("Unit", SourceUnit, SinkUnit)


OpenSource = Callable[[Gateway, SourceConfig], AbstractAsyncContextManager[SourceUnit]]
OpenSink = Callable[[Gateway, OutboxConfig, BrokerConfig, str], AbstractAsyncContextManager[SinkUnit]]


class Peers:
    """The existing sources and sinks.  Created by `peers_of`."""

    def __init__(self, gateway: Gateway, tasks: asyncio.TaskGroup, source: OpenSource, sink: OpenSink) -> None:
        self._gateway = gateway
        self._open_source = source
        self._open_sink = sink
        self._snapshot = NOTHING
        self._sources = _Units[SourceUnit]()
        self._sinks = _Units[SinkUnit]()
        self._http = Life(tasks, "http", gateway.backoff)

    async def take(self, wanted: Config, added: tuple[Added, ...] = ()) -> tuple[Changes, list[str]]:
        """Change to a configuration, joined by the selections `added` at run time.

        Returns the changes, and the keys that need a restart with the reasons.

        Raises `ConfigError` or `Unavailable`; then nothing has changed.
        """
        gateway = self._gateway
        configured, needs_restart = in_effect(gateway.config, wanted)
        config = joined(configured, added)
        whole = await in_thread(partial(snapshot_of, config, added), "read secrets and keys")
        now = owned_of(whole, gateway.owns)
        changes = changes_between(self._snapshot, now)
        gateway.check_routes(config)
        async with AsyncExitStack() as opening:
            sources, sinks = _Units[SourceUnit](), _Units[SinkUnit]()
            opening.push_async_callback(self._abandon, sources, sinks)
            for broker in _named(config.all_brokers, changes.brokers.begun):
                route = config.routes[broker.name].name
                await sinks.add(self._open_sink(gateway, config.outbox, broker, route))
            for source in _named(config.sources, changes.sources.begun):
                await sources.add(self._open_source(gateway, source))
            await gateway.begin_commands(config)
            opening.pop_all()
        self._sources.take_over(sources)
        self._sinks.take_over(sinks)
        gateway.configured = configured
        await self._change(config, changes)
        self._snapshot = now
        return changes, needs_restart

    async def _abandon(self, sources: "_Units[SourceUnit]", sinks: "_Units[SinkUnit]") -> None:
        """Close what was opened for a change that failed, without leaving anything behind."""
        await sources.leave_all()
        await sinks.leave_all()
        await self._forget_brokers(self._gateway.config)

    async def _forget_brokers(self, config: Config) -> None:
        """Remove what former brokers left behind, if possible."""
        try:
            await in_thread(partial(forget_brokers, config), "forget brokers")
        except (ConfigError, Unavailable, OSError) as error:
            log = structlog.get_logger("gateway.run")
            log.warning(
                "what a broker left cannot be removed now", reason=str(error), next="the next start tries again"
            )

    async def _change(self, config: Config, changes: Changes) -> None:
        """Apply the changes: end peers, sources first; then start peers, brokers first."""
        gateway = self._gateway
        gateway.take(config)
        set_level(logging.getLevelNamesMapping()[config.log_level.upper()])
        gateway.outbox.keep_within(config.outbox)
        gateway.tags.configure(config)
        gateway.metrics.keep_within(config.http.max_sources)
        gateway.metrics.outbox_capacity.set(config.outbox.max_bytes)
        await self._sources.leave(changes.sources.ended, for_good=True)
        await self._sinks.leave(changes.brokers.ended, for_good=True)
        if changes.brokers.ended:
            await self._forget_brokers(config)
        for sink in self._sinks:
            sink.keep_within(config.outbox)
        await self._begin_sinks(config.all_brokers, changes.brokers)
        await self._begin_sources(config.sources, changes.sources)
        if "http" in changes.settings:
            await self._http.end()
            self._begin_http()

    async def _begin_sinks(self, brokers: Iterable[BrokerConfig], change: Change) -> None:
        async with asyncio.TaskGroup() as tasks:
            for broker in _named(brokers, self._sinks.names):
                unit = self._sinks[broker.name]
                if broker.name in change.begun:
                    unit.begin()
                elif broker.name in change.connected_again:
                    tasks.create_task(unit.connect_again(broker), name=f"connect {broker.name} again")

    async def _begin_sources(self, sources: Iterable[SourceConfig], change: Change) -> None:
        async with asyncio.TaskGroup() as tasks:
            for source in _named(sources, self._sources.names):
                unit = self._sources[source.name]
                if source.name in change.begun:
                    unit.begin()
                elif source.name in change.connected_again:
                    tasks.create_task(unit.connect_again(source), name=f"connect {source.name} again")
                    continue
                await unit.take_commands()
                if source.name in change.changed:
                    tasks.create_task(unit.change(source), name=f"change {source.name}")

    def _begin_http(self) -> None:
        gateway, config = self._gateway, self._gateway.config.http
        link = gateway.http = Link("http", f"{config.host}:{config.port}")
        pages = {"/metrics": gateway.metrics.registry, "/metrics/tags": gateway.tags.registry}
        serve = partial(serve_http, config, pages, gateway.links, link, lambda address: None, InsideOf(gateway))
        self._http.begin(serve, link.down)

    async def end_in_order(self) -> None:
        """Stop the sources, give the outbox a grace time to empty, leave the brokers.  The rest stays on the disk."""
        gateway, loop = self._gateway, asyncio.get_running_loop()
        grace_s = gateway.config.stop_grace if gateway.group is None else 0.0  # others deliver what the log holds
        ends_s = loop.time() + grace_s
        await self._sources.leave_all(max(LEAVE_S, grace_s))
        if any(link.is_up for link in gateway.brokers.values()):
            with suppress(TimeoutError):
                async with asyncio.timeout_at(ends_s):
                    await gateway.outbox.wait_empty()
        await self._sinks.leave_all(LEAVE_S)

    async def end_at_once(self) -> None:
        """End everything that still exists."""
        await self._sources.leave_all(LEAVE_S)
        await self._sinks.leave_all(LEAVE_S)
        await self._http.end()


class _Units(Generic[Unit]):
    """Open units by name."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Unit, AsyncExitStack]] = {}

    def __getitem__(self, name: str) -> Unit:
        return self._open[name][0]

    @property
    def names(self) -> Collection[str]:
        return self._open.keys()

    def __iter__(self) -> Iterator[Unit]:
        return iter([unit for unit, _ in self._open.values()])

    async def add(self, unit: AbstractAsyncContextManager[Unit]) -> None:
        async with AsyncExitStack() as stack:
            entered = await stack.enter_async_context(unit)
            self._open[entered.name] = entered, stack.pop_all()

    def take_over(self, others: "_Units[Unit]") -> None:
        self._open |= others._open

    async def leave(self, names: Iterable[str], *, for_good: bool = False, within_s: float | None = None) -> None:
        """End the named units at the same time; `for_good` when they are not configured any more.

        A unit that has not ended within `within_s` is hurried: it stops waiting for its peer.
        """
        ending = [self._open.pop(name) for name in names]
        for unit, _ in ending:
            unit.leave(for_good=for_good)
        hurry = partial(_hurry, [unit for unit, _ in ending])
        late = asyncio.get_running_loop().call_later(within_s, hurry) if within_s is not None else None
        try:
            for _, stack in ending:
                await stack.aclose()
        finally:
            if late is not None:
                late.cancel()

    async def leave_all(self, within_s: float | None = None) -> None:
        await self.leave(tuple(self._open), within_s=within_s)


def _hurry(units: "Iterable[SourceUnit | SinkUnit]") -> None:
    for unit in units:
        unit.hurry()


@asynccontextmanager
async def peers_of(
    gateway: Gateway, source: OpenSource = source_unit, sink: OpenSink = sink_unit
) -> AsyncIterator[Peers]:
    """The peers of a gateway, none at first.  On exit all of them end in order; after an error, at once."""
    async with asyncio.TaskGroup() as tasks:
        peers = Peers(gateway, tasks, source, sink)
        try:
            yield peers
            await peers.end_in_order()
        finally:
            await peers.end_at_once()


def check(config: Config) -> None:
    """Read every secret and key that the sessions need.  Raises `ConfigError` with every problem.

    A problem that appears later is retried, since somebody may be changing the file.
    """
    problems: list[str] = []
    for look in (partial(check_sinks, config.all_brokers), *(partial(check_source, each) for each in config.sources)):
        try:
            look()
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)


Named = TypeVar("Named", BrokerConfig, SourceConfig)


def _named(configs: Iterable[Named], names: Collection[str]) -> list[Named]:
    return [config for config in configs if config.name in names]
