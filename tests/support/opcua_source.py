"""A source against a small server: its configuration, opening it, reading it until something has come."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

from gateway.config import SourceConfig
from gateway.metrics import Metrics, SourceMetrics
from gateway.model import Batch
from gateway.opcua import Source, open_source
from gateway.opcua.subscription.subscribed import SubscribedSource
from tests.support.opcua_server import NAMESPACE

COUNTER = f"nsu={NAMESPACE};s=press-1.Counter"


def run(body: Callable[[], Awaitable[None]], seconds: float = 240) -> None:
    asyncio.run(asyncio.wait_for(body(), seconds))


def config(url: str, **changes: object) -> SourceConfig:
    """The counter of the first machine, every change of it; `changes` are keys of the source.

    A busy machine may be slow: a server may be silent for long, and may take its time to answer.
    """
    plain: dict[str, object] = {
        "name": "line", "url": url, "insecure": True, "publishing_interval": 0.05,
        "select": [{"node": COUNTER, "sampling_interval": 0}],
        "keep_alive": 3, "request_timeout": 20, "session_timeout": 100, "queue_size": 100,
    }  # fmt: skip
    return SourceConfig.model_validate(plain | changes)


def series() -> SourceMetrics:
    return Metrics().for_source("line")


@asynccontextmanager
async def any_source(
    made: SourceConfig, checkpoint: bytes = b"", metrics: SourceMetrics | None = None
) -> AsyncIterator[Source]:
    async with open_source(made, metrics or series(), checkpoint) as source:
        yield source


@asynccontextmanager
async def opened(
    made: SourceConfig, checkpoint: bytes = b"", metrics: SourceMetrics | None = None
) -> AsyncIterator[SubscribedSource]:
    """A source with a subscription."""
    async with any_source(made, checkpoint, metrics) as source:
        assert isinstance(source, SubscribedSource)
        yield source


class Seen:
    """What a source has yielded while it was read.  The request for the next batch acknowledges it."""

    def __init__(self, batches: AsyncIterator[Batch]) -> None:
        self._batches = batches
        self.batches: list[Batch] = []

    async def until(self, condition: Callable[["Seen"], bool]) -> "Seen":
        """Read on until the condition holds."""
        while not condition(self):
            self.batches.append(await anext(self._batches))
        return self

    async def more(self, batches: int) -> "Seen":
        """Read so many more."""
        count = len(self.batches) + batches
        return await self.until(lambda seen: len(seen.batches) >= count)

    async def until_value(self, value: object) -> "Seen":
        return await self.until(lambda seen: value in seen.values)

    async def until_cause(self, cause: str) -> "Seen":
        return await self.until(lambda seen: cause in seen.causes)

    @property
    def values(self) -> list[object]:
        return [value for batch in self.batches for value in batch.values]

    @property
    def live(self) -> list[object]:
        return [value for batch in self.batches if not batch.historical for value in batch.values]

    @property
    def historical(self) -> list[object]:
        return [value for batch in self.batches if batch.historical for value in batch.values]

    @property
    def causes(self) -> list[str]:
        return [gap.cause for batch in self.batches for gap in batch.gaps]

    @property
    def checkpoint(self) -> bytes:
        """The checkpoint of the last batch but one: the last one is not durable yet."""
        return self.batches[-2].checkpoint if len(self.batches) > 1 else b""

    def of(self, name: str) -> list[object]:
        """The values of one tag."""
        return [v for b in self.batches for h, v in zip(b.handles, b.values, strict=True) if b.tags[h].name == name]


@asynccontextmanager
async def reading(source: Source) -> AsyncIterator[Seen]:
    async with aclosing(source.batches()) as batches:
        yield Seen(batches)
