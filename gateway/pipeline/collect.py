"""From one OPC UA server into the outbox.

The next batch is asked for after the last one is durable: that is what acknowledges it to the server, and all the
back-pressure there is.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from gateway.link import Backoff, Link, keep_connected
from gateway.metrics import SourceMetrics
from gateway.model import Batch, Message
from gateway.outbox import Outbox


class Source(Protocol):
    """One connected OPC UA server."""

    def batches(self) -> AsyncIterator[Batch]:
        """Batches as they come.  Asking for the next one says that the last one is safe."""


class Format(Protocol):
    """How a batch becomes messages."""

    def encode(self, batch: Batch, next_seq: Callable[[str], int]) -> list[Message]: ...


OpenSource = Callable[[bytes], AbstractAsyncContextManager[Source]]
"""Connects, going on from a mark of an earlier connection (empty for none)."""


async def collect(
    name: str,
    open_source: OpenSource,
    form: Format,
    outbox: Outbox,
    link: Link,
    metrics: SourceMetrics,
    backoff: Backoff,
) -> None:
    """Read one server for ever, through every reconnection, until cancelled."""

    async def attempt() -> None:
        async with open_source(outbox.marks.get(name, b"")) as source:
            link.up()
            async for batch in source.batches():
                messages = form.encode(batch, outbox.next_seq)
                count = partial(metrics.received.inc, len(batch))
                await outbox.append(messages, source=name, mark=batch.mark, on_stored=count)

    await keep_connected(link, attempt, backoff)
