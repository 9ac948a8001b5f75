"""One source: everything that belongs to one OPC UA server, from its connection to its metric labels."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from gateway.config import SourceConfig
from gateway.link import Link
from gateway.metrics import SourceMetrics
from gateway.model import Tag
from gateway.opcua import Learned, open_source
from gateway.opcua.session.asyncua_edge import status_text
from gateway.opcua.session.certificates import application_uri_of, common_name, expires_at
from gateway.opcua.session.security import check, problems_with
from gateway.opcua.session.trust import TrustStore
from gateway.operations import Operable
from gateway.payload.choose import describes_types, retains
from gateway.pipeline.collect import DRAIN_S, Intake, Source, Watch, collect
from gateway.pipeline.coming_and_going import telling_link
from gateway.pipeline.keep_alive import keeping_alive
from gateway.run.gateway import Gateway, counted_link
from gateway.run.life import Life, task_in
from gateway.shaping import Shaper
from gateway.yaml_positions import Problem


class Connect(Protocol):
    """Opens a source, as `gateway.opcua.open_source` does."""

    def __call__(
        self,
        config: SourceConfig,
        metrics: SourceMetrics,
        checkpoint: bytes,
        *,
        describe: bool = False,
        repeat: bool = False,
    ) -> AbstractAsyncContextManager[Source]: ...


@runtime_checkable
class Growing(Protocol):
    """A source that can read more without another connection."""

    def grow(self, config: SourceConfig) -> None:
        """Read the selections that were added at the end of this configuration as well."""


class Table(Protocol):
    """The tags of a source."""

    @property
    def tags(self) -> Sequence[Tag]:
        """By handle."""


@runtime_checkable
class Tabled(Protocol):
    """A source that knows its tags before any value comes."""

    @property
    def table(self) -> Table: ...


class SourceUnit:
    """Created by `source_unit`.  It has no effect before it begins."""

    def __init__(self, gateway: Gateway, source: SourceConfig, tasks: asyncio.TaskGroup, connect: Connect) -> None:
        self.name = source.name
        self._gateway = gateway
        self._source = source
        self._connect = connect
        self._life = Life(tasks, f"collect {source.name}", gateway.backoff)
        self._running: tuple[Intake, asyncio.TaskGroup] | None = None
        self._is_over = self._was_read = False
        self._opened: Source | None = None
        self._attending = AsyncExitStack()
        """Ends with the present connection."""

    def begin(self) -> None:
        """Connect and collect, through every failure."""
        gateway, source = self._gateway, self._source
        metrics = gateway.metrics.for_source(self.name)
        link = gateway.sources[self.name] = counted_link(self.name, source.url, metrics)
        gateway.refresh()
        self._life.begin(partial(self._collect, link, metrics), link.down)

    async def connect_again(self, source: SourceConfig) -> None:
        """Change to another connection.  The server keeps the subscription for it."""
        await self._life.end()
        self._source = source
        self.begin()

    async def change(self, source: SourceConfig) -> None:
        """Change the shaping on the present connection, and read what was added to the selection."""
        self._source = source
        if self._running is None:
            return  # the next life starts with it
        intake, tasks = self._running
        change = intake.change(_shaper(source), self._watch())
        changing = task_in(tasks, change, f"change {self.name}")
        if changing is not None:
            await asyncio.wait([changing], timeout=DRAIN_S)  # the change still completes when the outbox is full
        if isinstance(self._opened, Growing):
            self._opened.grow(source)

    async def take_commands(self) -> None:
        """Take commands on the present connection, if there is one, from the moment that the gateway has a desk."""
        opened, desk = self._opened, self._gateway.desk
        if desk is not None and isinstance(opened, Operable) and not desk.attends(opened.operations):
            await self._attending.enter_async_context(desk.attending(self.name, opened.operations))

    def leave(self, *, for_good: bool = False) -> None:
        """Disconnect, without waiting.  The server keeps the subscription for the next connection.

        `for_good`: it is not configured any more, so it is hidden; its counts stay in the books.
        """
        self._is_over = self._is_over or for_good
        self._life.cancel()

    def hurry(self) -> None:
        """Wait for the server no longer."""
        self._life.cancel()

    async def _collect(self, link: Link, metrics: SourceMetrics) -> None:
        """One life.  The rules hold values for as long as this runs."""
        gateway, source = self._gateway, self._source
        await gateway.outbox.append([], source=self.name)  # so the appends of an earlier life are durable
        routes = gateway.routes_of(self.name)
        intake = Intake(
            self.name, routes, gateway.outbox, metrics, _shaper(source),
            watch=self._watch(), on_stored=gateway.on_stored, on_dropped=gateway.count_too_large,
            standing=gateway.standing_of(self.name), taps=gateway.taps,
        )  # fmt: skip
        connect = partial(self._connected, metrics)
        async with (
            asyncio.TaskGroup() as tasks,
            keeping_alive(routes, gateway.outbox, link),
            telling_link(routes, gateway.outbox, link),
        ):
            self._running = intake, tasks
            try:
                await collect(intake, connect, link, gateway.backoff)
            finally:
                self._running = None

    @asynccontextmanager
    async def _connected(self, metrics: SourceMetrics, mark: bytes) -> AsyncIterator[Source]:
        """A connection on which commands are taken as well, once it is there.

        A broker may have been restarted together with this process, and lost what it retained.  What sessions remember
        of it is gone as well, so the first connection asks for the last values, where anything is retained.
        """
        gateway, source, repeat = self._gateway, self._source, not self._was_read and retains(self._gateway.config)
        describe = describes_types(gateway.config)
        await gateway.confirm(f"source/{self.name}")
        async with AsyncExitStack() as connection:
            async with gateway.admission.turn():
                connecting = self._connect(source, metrics, mark, describe=describe, repeat=repeat)
                opened = await connection.enter_async_context(connecting)
            self._was_read = True
            if source != self._source and isinstance(opened, Growing):  # it changed meanwhile
                opened.grow(self._source)
            async with AsyncExitStack() as self._attending:
                self._opened = opened
                if isinstance(opened, Tabled):
                    gateway.standing_of(self.name).learn(opened.table.tags)
                if isinstance(opened, Operable):
                    gateway.connected[self.name] = opened.operations
                try:
                    await self.take_commands()
                    yield opened
                finally:
                    self._opened = None
                    gateway.connected.pop(self.name, None)

    def _watch(self) -> Watch | None:
        link = self._gateway.sources[self.name]
        return self._gateway.tags.watching(self._source, lambda: link.is_up)

    def _forget(self) -> None:
        gateway = self._gateway
        if self._is_over and gateway.sources.pop(self.name, None) is not None:
            gateway.refresh()
            gateway.standing.pop(self.name, None)
            gateway.tags.forget(self.name)
            gateway.metrics.source_ends(self.name)


@asynccontextmanager
async def source_unit(
    gateway: Gateway, source: SourceConfig, connect: Connect | None = None
) -> AsyncIterator[SourceUnit]:
    """A source that can begin.  On exit it is disconnected."""
    async with asyncio.TaskGroup() as tasks:
        unit = SourceUnit(gateway, source, tasks, connect or partial(open_source, learned=Learned()))
        try:
            yield unit
        finally:
            unit.leave()
    unit._forget()


def check_source(source: SourceConfig) -> None:
    """Read every secret and key that its sessions need.  Raises `ConfigError`."""
    check(source)


def _shaper(source: SourceConfig) -> Shaper | None:
    return Shaper(source) if source.is_shaped else None


def problems_with_source(source: SourceConfig) -> list[Problem]:
    """Unusable files and secrets, each with its place below the source.  Connects to nothing."""
    return problems_with(source)


# -- what people ask


def in_words(status: int) -> str:
    """A status code in words, with its number."""
    return "Good (0x00000000)" if not status else status_text(status)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A certificate of a server that nobody has trusted yet."""

    thumbprint: str
    name: str
    application_uri: str
    valid_until_s: float
    folder: Path


def waiting_certificates(folders: Iterable[Path]) -> list[Waiting]:
    """Those of these folders, the newest first.  Blocks."""
    found = []
    for folder in folders:
        for listed in TrustStore(folder).listed("rejected"):
            uri = application_uri_of(listed.certificate) or ""
            waiting = Waiting(
                listed.thumbprint, common_name(listed.certificate), uri, expires_at(listed.certificate), folder
            )
            with suppress(OSError):  # somebody has just trusted it
                found.append((listed.path.stat().st_mtime, waiting))
    return [waiting for _, waiting in sorted(found, key=lambda each: -each[0])]


def trust_certificate(waiting: Waiting) -> None:
    """Trust it from now on.  Blocks.  Raises `ConfigError` and `OSError`."""
    TrustStore(waiting.folder).trust(waiting.thumbprint)


def reject_certificate(waiting: Waiting) -> None:
    """Refuse it for good.  Blocks.  Raises `ConfigError` and `OSError`."""
    TrustStore(waiting.folder).refuse(waiting.thumbprint)
