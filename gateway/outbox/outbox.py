"""The outbox as the gateway sees it: append and know that it is durable, read, acknowledge.

Appends that wait at the same moment are made durable by one write and one sync, in a thread.
"""

import asyncio
import contextlib
import errno
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic

from gateway.cancellation import unless_asked
from gateway.config import OutboxConfig
from gateway.errors import Rejected, Unavailable
from gateway.model import Loss, Message
from gateway.outbox.clock import Clock
from gateway.outbox.files import Files
from gateway.outbox.group_commit import Append, next_group, parts_of
from gateway.outbox.reader import Reader
from gateway.outbox.record import most_bytes, most_bytes_of_checkpoint
from gateway.outbox.recover import Found, recover
from gateway.outbox.segment import LANES
from gateway.outbox.store import Store
from gateway.outbox.writer import Checkpoint, Part

_KEEP_INTERVAL_S = 1.0
_RETRY_MOST_S = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Outbox:
    """Durable bounded FIFO of messages.  Opened by `open_outbox`."""

    def __init__(
        self, config: OutboxConfig, found: Found, store: Store, on_commit: Callable[[float], None], numbered: bool,
        retry_s: float,
    ) -> None:  # fmt: skip
        self._config = config
        self._store = store
        self._ledger = found.ledger
        self._lanes = found.lanes
        self._on_commit = on_commit
        self._numbered = numbered
        self._retry_s = retry_s
        self._segment_bytes = _segment_bytes(config)
        self._accepted = {name: (lane, seq) for name, (lane, seq, _) in found.books.streams.items()}
        self._checkpoints = {checkpoint.source: checkpoint.token for checkpoint in found.books.checkpoints.values()}
        self._orders = max((checkpoint.order for checkpoint in found.books.checkpoints.values()), default=0)
        self._pending: deque[Append] = deque()
        self._open_appends = 0
        self._closing = False
        self.epoch = found.epoch
        """Part of every stream's name, so that no sequence number is ever used twice in one stream."""
        self.recovered_messages, self.recovered_values = store.stored
        """What an earlier run left, with what of it was found missing."""
        self.recovered_messages += max(_lost_by_reader(found.losses, "messages"), default=0)
        self.recovered_values += max(_lost_by_reader(found.losses, "values"), default=0)

    # -- appending

    def next_seq(self, stream: str) -> int:
        """The sequence number that the next message of this stream must carry: 1 for the first."""
        return self._accepted.get(stream, (0, 0))[1] + 1

    @property
    def streams(self) -> Collection[str]:
        """Every stream it numbers."""
        return self._accepted.keys()

    @property
    def checkpoints(self) -> Mapping[str, bytes]:
        """The last durable resume token of each source."""
        return self._checkpoints

    async def append(
        self,
        messages: Sequence[Message],
        *,
        source: str = "",
        checkpoint: bytes = b"",
        losses: Sequence[Loss] = (),
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        """Return when all of it is durable: the messages and, if there is one, the source's checkpoint.

        Sequence numbers must go on from `next_seq`, and a stream keep its priority, else `ValueError`.  `losses` are
        those that these messages announce.  What would take more than half of the outbox is `Rejected` and nothing of
        the append is taken.  While the disk does not take it, or the outbox is full and told to block, this waits.
        Once begun it is not undone by cancelling: it is stored once all the same.  `Unavailable` when the outbox
        closes before it is durable.  `on_stored` is called once, in the same instant in which the figures count it,
        also when this is cancelled: for whoever keeps books.

        Messages of one priority and the checkpoint are stored all or not at all.  With several priorities, a crash in
        the middle may keep some of them, but never the checkpoint before all of them.
        """
        append = self._accept(tuple(messages), source, checkpoint, tuple(losses), on_stored)
        await append.done  # cancelled with whoever waits: the append goes on

    def _accept(
        self,
        messages: tuple[Message, ...],
        source: str,
        checkpoint: bytes,
        losses: tuple[Loss, ...],
        on_stored: Callable[[], None],
    ) -> Append:
        if self._closing:
            raise Unavailable("the outbox is closed")
        seen: dict[str, tuple[int, int]] = {}
        sizes = [0 for _ in LANES]
        for message in messages:
            lane, last = seen.get(message.stream) or self._accepted.get(message.stream, (message.priority, 0))
            if self._numbered and (message.seq != last + 1 or message.priority != lane):
                raise ValueError(f"{message.stream}: seq {message.seq} priority {message.priority}, last was {last}")
            seen[message.stream] = (message.priority, message.seq)
            sizes[message.priority] += most_bytes(message)
        lane = max((int(message.priority) for message in messages), default=int(LANES[-1]))
        if source and checkpoint:
            sizes[lane] += most_bytes_of_checkpoint(source, checkpoint)
        if sum(sizes) > self._config.max_bytes // 2:
            raise Rejected("too_large", f"{sum(sizes)} bytes at once do not fit an outbox of {self._config.max_bytes}")
        self._accepted.update(seen)
        if source and checkpoint:
            self._orders += 1
        kept = Checkpoint(source, checkpoint, self._orders) if source and checkpoint else None
        done = asyncio.get_running_loop().create_future()
        append = Append(messages, kept, losses, tuple(sizes), lane, done, on_stored)
        self._pending.append(append)
        self._open_appends += 1
        self._store.woken.set()
        return append

    async def run(self) -> None:
        """Make pending appends durable, and keep the store in order, until the outbox closes."""
        kept = monotonic()
        while self._pending or not self._closing:
            if monotonic() - kept >= _KEEP_INTERVAL_S:
                await self._store.keep()
                kept = monotonic()
            await self._store.assess_damage()
            if not self._pending:
                self._store.woken.clear()
                if not self._closing:
                    await self._store.woken.wait()
                continue
            group = next_group(self._pending)
            if not await self._commit(group):
                self._refuse(group)

    async def tick(self) -> None:
        """Wake `run` at intervals."""
        while True:
            await asyncio.sleep(_KEEP_INTERVAL_S)
            self._store.woken.set()
            self._store.progress.set()

    async def _commit(self, group: list[Append]) -> bool:
        """Write a group, waiting out full and broken disks; False when the outbox closes before that succeeds."""
        store, parts, wait_s = self._store, parts_of(group), self._retry_s
        while parts:
            size = await store.most_bytes(parts, self._segment_bytes)
            if not await store.make_room(size):
                store.trouble.begins(store.why_full(size) or "full")
                if not await self._wait_for_progress():
                    return False
                continue
            error = await self._write(parts)
            if error is not None:
                store.trouble.begins(f"cannot write to {self._config.path}: {error.strerror or error}")
                if error.errno in _FULL and self._config.when_full == "drop_oldest" and wait_s > self._retry_s:
                    await store.drop_oldest()  # not at the first try: a moment may free the disk
                if not await self._wait(wait_s):
                    return False
                wait_s = min(2 * wait_s, _RETRY_MOST_S)
        for append in group:
            self._settle(append)
        return True

    async def _write(self, parts: list[Part]) -> OSError | None:
        """Make the parts durable, and take those off the list that are: all, or those before an error."""
        begun = monotonic()
        written, error = await self._store.in_thread(
            partial(self._store.writer.write_all, tuple(parts), self._segment_bytes)
        )
        if written:
            self._on_commit(monotonic() - begun)
            self._store.trouble.ends()
        for part, done in zip(parts, written, strict=False):
            self._store.publish(self._lanes[part.lane], done)
        del parts[: len(written)]
        return error

    async def _wait_for_progress(self) -> bool:
        """Wait until something was acknowledged or time has passed; False when the outbox closes."""
        self._store.progress.clear()
        if self._closing:
            return False
        await self._store.progress.wait()
        await self._store.keep()
        return not self._closing

    async def _wait(self, seconds: float) -> bool:
        until = monotonic() + seconds
        while not self._closing and (left := until - monotonic()) > 0:
            self._store.woken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._store.woken.wait(), left)
        return not self._closing

    def _settle(self, append: Append) -> None:
        if append.checkpoint is not None:
            self._checkpoints[append.checkpoint.source] = append.checkpoint.token
        if append.losses and append.messages:
            lane = append.messages[-1].priority
            self._ledger.tell(append.losses, (lane, self._lanes[lane].end - 1))
        else:
            self._ledger.settle(append.losses)
        self._end(append, None)

    def _refuse(self, group: list[Append]) -> None:
        reason = self._store.trouble.reason or "it is closed"
        for append in group:
            self._end(append, Unavailable(f"the outbox took no message: {reason}"))

    def _end(self, append: Append, error: Unavailable | None) -> None:
        self._open_appends -= 1
        if error is None:
            append.on_stored()
        if append.done.done():  # whoever waited was cancelled
            return
        if error is None:
            append.done.set_result(None)
        else:
            append.done.set_exception(error)

    def keep_within(self, config: OutboxConfig) -> None:
        """Take the bounds of another configuration of the same folder: sizes, age, and what to do when full."""
        self._config = config
        self._segment_bytes = _segment_bytes(config)
        self._store.keep_within(config)

    def stop_taking(self) -> None:
        """No more appends; `run` ends when the pending ones are durable, or refused."""
        self._closing = True
        self._store.woken.set()
        self._store.progress.set()

    # -- reading

    def reader(self, name: str) -> Reader:
        """The reader of this name: the same one each time.  A new one begins at the oldest record."""
        return self._store.reader(name)

    @property
    def readers(self) -> Collection[str]:
        """The names of those that have a place."""
        return self._store.readers.keys()

    async def forget(self, name: str) -> None:
        """Drop a reader that will not come back, with its place; what nobody else wants is freed."""
        await self._store.forget(name)

    async def wait_empty(self) -> None:
        """Wait until every reader has acknowledged everything."""
        while self.messages or self._open_appends:
            self._store.progress.clear()
            await self._store.progress.wait()

    def take_losses(self) -> list[Loss]:
        """Losses not yet taken.  Hand them to the `append` that announces them: else they come again after a
        restart.  They come again as well when the message that announces them is itself lost."""
        return self._ledger.take()

    # -- figures

    @property
    def messages(self) -> int:
        """Messages stored for the reader that is furthest behind."""
        return self._store.stored[0]

    @property
    def values(self) -> int:
        """Values stored for the reader that is furthest behind."""
        return self._store.stored[1]

    @property
    def bytes(self) -> int:
        """Disk taken by the segments."""
        return self._store.bytes

    @property
    def oldest_age_s(self) -> float:
        """For how long the oldest message has been stored; a jump of the wall clock does not move it."""
        return self._store.oldest_age_s

    @property
    def latest_ns(self) -> int:
        """The wall clock, nanoseconds since 1970; where it was set back, the latest that it showed, also in earlier
        runs: for what may never go back."""
        return self._store.latest_ns

    @property
    def trouble(self) -> str | None:
        """Why nothing can be stored just now; None while all is well."""
        return self._store.trouble.reason


def _segment_bytes(config: OutboxConfig) -> int:
    return min(config.segment_bytes, config.max_bytes // 4)


def _lost_by_reader(losses: list[Loss], what: str) -> list[int]:
    names = {name for loss in losses for name in loss.readers}
    return [sum(getattr(loss, what) for loss in losses if name in loss.readers) for name in names]


async def _recovered(files: Files, recover: Callable[[], Found]) -> Found:
    """Recover in a thread, which cannot be cancelled: what it opens for somebody who has gone is closed again."""
    opening = asyncio.get_running_loop().run_in_executor(None, recover)
    try:
        return await asyncio.shield(opening)
    except BaseException:
        await asyncio.wait([opening])
        if opening.exception() is None:
            opening.result().let_go(files)
        raise


@asynccontextmanager
async def open_outbox(
    config: OutboxConfig,
    *,
    readers: Sequence[str] = (),
    on_drop: Callable[[str, str, int], None] = lambda reader, reason, values: None,
    on_commit: Callable[[float], None] = lambda seconds: None,
    numbered: bool = True,
    files: Files | None = None,
    clock: Clock | None = None,
    retry_s: float = 0.05,
) -> AsyncIterator[Outbox]:
    """The outbox in a folder, recovered and ready.

    `readers` names those that exist: others that a former run knew are forgotten; without it all known are kept.
    `on_drop` is told reader, reason and number of values of each loss as it happens, `on_commit` the seconds that each
    group commit took.  `numbered` off takes messages whatever their `seq`: for what comes out of another outbox.
    `retry_s` is the first wait after the disk refused, doubled up to 5 s.  Raises `ConfigError` when somebody else has
    the folder or it cannot be written.
    """
    disk, ages = files or Files(), clock or Clock()
    found = await _recovered(disk, partial(recover, disk, Path(config.path), ages, tuple(readers)))
    store = Store(config, found, disk, ages, on_drop, numbered, retry_s)
    outbox = Outbox(config, found, store, on_commit, numbered, retry_s)
    failure: BaseException | None = None
    try:
        await store.begin()
        async with asyncio.TaskGroup() as tasks:
            ticker = tasks.create_task(unless_asked(outbox.tick), name="outbox: tick")
            running = tasks.create_task(unless_asked(outbox.run), name="outbox: run")
            try:
                yield outbox
            except BaseException as error:  # noqa: BLE001 - raised again below, as it is and not in a group
                failure = error
            finally:
                outbox.stop_taking()
                await asyncio.wait([running])
                ticker.cancel()
    finally:
        await store.close()
    if failure is not None:
        raise failure
