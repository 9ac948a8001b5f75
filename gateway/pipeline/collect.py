"""From one OPC UA server into the outbox.

The next batch is requested when the last one is durable.  The request acknowledges the last batch to the server, and it
is the only back-pressure.

A batch that would take more than half of the outbox is stored in parts, the checkpoint with the last one.  A single
value that is still too large is dropped, counted, and announced at its place.

Rules (`gateway/shaping`) may hold values for a while.  Held values outlive a reconnection and are stored at a regular
end.  After a kill the next process announces how many there were: that number is stored with the checkpoint.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from typing import Protocol

import structlog

from gateway.cancellation import unless_asked
from gateway.errors import Rejected
from gateway.link import Backoff, Link, keep_connected
from gateway.metrics import SourceMetrics
from gateway.model import UNIX_EPOCH_TICKS, Batch
from gateway.outbox import Buffer
from gateway.pipeline.halves import halves, without_value
from gateway.pipeline.routing import Encoded, SourceRoutes
from gateway.pipeline.standing import Standing
from gateway.pipeline.tap import Tap
from gateway.shaping import Shaped, Shaper
from gateway.shaping.checkpoint import lost, unwrap, wrap

FLUSH_EVERY_S = 0.1
DRAIN_S = 2.0
"""How long the end may wait until the outbox accepts the held values, in seconds."""


class Source(Protocol):
    """One connected OPC UA server."""

    def batches(self) -> AsyncIterator[Batch]:
        """Batches as they come.  The request for the next one says that the last one is safe."""


Watch = Callable[[Batch], None]
"""Sees each batch before it is encoded."""


OnStored = Callable[[Encoded], None]
"""Called with the messages that became durable, or were dropped as too large, in the instant in which the figures count
them."""

Count = Callable[[int], None]
"""Counts `values` more durable values of a batch; the others were counted before."""


OpenSource = Callable[[bytes], AbstractAsyncContextManager[Source]]
"""Connects, and continues from the checkpoint of an earlier connection (empty: none)."""


def steady_ticks() -> Callable[[], int]:
    """A clock that starts with UTC and never jumps."""
    offset = time.time_ns() - time.monotonic_ns()
    return lambda: (time.monotonic_ns() + offset) // 100 + UNIX_EPOCH_TICKS


class Intake:
    """Stores the batches of one source in the outbox, through the rules if there are any.

    Shaping, encoding and acceptance by the outbox happen without a wait in between, so two tasks store values in the
    order in which these were shaped.  All counts move in the same instant as those of the outbox.
    """

    def __init__(
        self,
        name: str,
        routes: SourceRoutes,
        outbox: Buffer,
        metrics: SourceMetrics,
        shaper: Shaper | None = None,
        now_ticks: Callable[[], int] | None = None,
        watch: Watch | None = None,
        on_stored: OnStored = lambda encoded: None,
        on_dropped: OnStored = lambda encoded: None,
        standing: Standing | None = None,
        taps: Sequence[Tap] = (),
    ) -> None:
        self.name = name
        self._taps = taps
        """Those who look at present: usually nobody."""
        self._standing = standing or Standing()
        self._routes = routes
        self._watch = watch
        self._on_stored = on_stored
        self._on_dropped = on_dropped
        self._outbox = outbox
        self._metrics = metrics
        self._shaper = shaper
        self._ruled = asyncio.Event()
        self._rule(shaper)
        self._now_ticks = now_ticks or steady_ticks()
        self._mark = self.mark
        self._is_whole = True
        """Whether no fault occurred between the held values and the outbox."""
        self._lost = lost(outbox.checkpoints.get(name, b""))
        metrics.held.set(0)

    @property
    def mark(self) -> bytes:
        """The checkpoint from which the source continues."""
        return unwrap(self._outbox.checkpoints.get(self.name, b""))

    async def store(self, batch: Batch) -> None:
        """Store a batch.  Returns when its values are durable or held."""
        self._metrics.batch_values.observe(len(batch))
        if self._lost:
            batch, self._lost = replace(batch, gaps=(*self._lost, *batch.gaps)), ()
        self._standing.take(batch)
        for tap in self._taps:
            tap.values("decode", batch)
        if self._shaper is None:
            self._mark = batch.checkpoint or self._mark
            await self._append([batch], batch.checkpoint, self._metrics.received.inc)
            return
        await self._put(self._shaper, partial(self._shaper.take, batch, self._now_ticks()), batch)

    async def flush_regularly(self) -> None:
        """Store held values when their time has come, until cancelled."""
        while True:
            await self._ruled.wait()
            await asyncio.sleep(FLUSH_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Store the held values whose time has come."""
        if self._shaper is not None and self._shaper.held:
            await self._put(self._shaper, partial(self._shaper.flush, self._now_ticks()))

    async def change(self, shaper: Shaper | None, watch: Watch | None = None) -> None:
        """Change the rules.  Values held by the old ones are stored first, in order.  Cancelling does not undo it."""
        old, self._watch = self._shaper, watch
        self._rule(shaper)
        if old is not None and old.held:
            await self._put(old, old.drain)

    def _rule(self, shaper: Shaper | None) -> None:
        self._shaper = shaper
        if shaper is None:
            self._ruled.clear()
        else:
            self._ruled.set()

    async def drain(self) -> None:
        """Store all held values, at the end, within a bounded time.

        After a fault during shaping or encoding, store nothing: the next life announces what it lost.
        """
        if self._shaper is None or not self._shaper.held or not self._is_whole:
            return
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._put(self._shaper, self._shaper.drain)
        except TimeoutError:
            log = structlog.get_logger("gateway.shaping").bind(source=self.name)
            log.warning("held values are not durable yet", next="the values lost are announced")

    async def _append(self, batches: Sequence[Batch], checkpoint: bytes, count: Count) -> None:
        """Encode and store; return when all of it is durable.  `count` is for the last part of it."""
        if self._watch is not None:
            for batch in batches:
                self._watch(batch)
        if self._standing.seen is not None:
            for batch in batches:
                self._standing.pass_on(batch)
        for tap in self._taps:
            for batch in batches:
                tap.values("shape", batch)
        stored = self._begin(batches, checkpoint, count)
        await (stored[0] if len(stored) == 1 else asyncio.gather(*stored))

    def _begin(self, batches: Sequence[Batch], checkpoint: bytes, count: Count) -> "list[asyncio.Future[None]]":
        """Without a wait, so that nothing comes between the parts."""
        encoded = self._encoded(batches)

        def stored() -> None:
            count(encoded.values)
            self._on_stored(encoded)
            for tap in self._taps:
                tap.messages(self.name, encoded)

        try:
            return [self._store(encoded, checkpoint, stored)]
        except Rejected as rejected:
            parts = halves(batches)
            if parts is None:
                return [self._give_up(batches[0], encoded, checkpoint, count, str(rejected))]
        first, last = parts
        return [*self._begin(first, b"", self._metrics.received.inc), *self._begin(last, checkpoint, count)]

    def _give_up(
        self, batch: Batch, lost: Encoded, checkpoint: bytes, count: Count, why: str
    ) -> "asyncio.Future[None]":
        """Announce one value that cannot be stored, in its place."""
        log = structlog.get_logger("gateway.collect").bind(source=self.name)
        log.error("a value is too long for the outbox and dropped", reason=why, next="it is announced as a gap")

        def stored() -> None:
            count(lost.values)
            self._on_dropped(lost)

        return self._store(self._encoded([without_value(batch, why)]), checkpoint, stored)

    def _store(self, encoded: Encoded, checkpoint: bytes, stored: Callable[[], None]) -> "asyncio.Future[None]":
        return self._outbox.begin_append(
            encoded.messages, others=encoded.others, source=self.name, checkpoint=checkpoint, on_stored=stored
        )

    async def _put(self, shaper: Shaper, shape: Callable[[], Shaped], given: Batch | None = None) -> None:
        """Store the values that the rules pass, together with the progress made by the given batch."""
        try:
            shaped = shape()
            if given is None and not shaped.received:
                return
            self._mark = (given.checkpoint if given is not None else b"") or self._mark
            mark = wrap(self._mark, shaper.held, shaper.since_ticks)
            await self._append(shaped.batches, mark, partial(self._count, shaped, shaper.held))
        except asyncio.CancelledError:
            raise  # the outbox has accepted it by then
        except BaseException:
            self._is_whole = False
            raise

    def _encoded(self, batches: Sequence[Batch]) -> Encoded:
        encoded, seqs = Encoded(), dict[str, int]()
        if len(batches) == 1:
            self._routes.encode(batches[0], self._outbox.next_seq, encoded)
            return encoded

        def next_seq(stream: str) -> int:
            return seqs.get(stream) or self._outbox.next_seq(stream)

        for batch in batches:
            one = Encoded()
            self._routes.encode(batch, next_seq, one)
            for made in (one.messages, *one.others.values()):
                seqs |= {message.stream: message.seq + 1 for message in made}
            encoded.join(one)
        return encoded

    def _count(self, shaped: Shaped, held: int, values: int) -> None:
        before = sum(map(len, shaped.batches)) - values
        self._metrics.received.inc(shaped.received - before)
        self._metrics.derived.inc(shaped.derived)
        self._metrics.held.set(held)
        for rule, values in shaped.filtered.items():
            self._metrics.filtered[rule].inc(values)


async def collect(intake: Intake, open_source: OpenSource, link: Link, backoff: Backoff) -> None:
    """Read one server, through every reconnection, until cancelled.  Then store the values that the rules hold."""

    async def store_all(source: Source) -> None:
        async for batch in source.batches():
            await intake.store(batch)

    async with asyncio.TaskGroup() as group:
        flushing = group.create_task(unless_asked(intake.flush_regularly), name=f"flush {intake.name}")
        try:
            await keep_connected(link, lambda: open_source(intake.mark), store_all, backoff)
        finally:
            flushing.cancel()
            await intake.drain()
