"""The interface of the outbox: append and know that it is durable, read, acknowledge.

Appends that wait at the same moment become durable with one write and one sync, in a thread.
"""

import asyncio
import contextlib
import errno
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from time import monotonic

from gateway.config import OutboxConfig
from gateway.errors import Rejected, Unavailable
from gateway.model import Loss, Message
from gateway.outbox.disk_trouble import text_of
from gateway.outbox.group_commit import Append, next_group, parts_of
from gateway.outbox.lanes import DEFAULT_ROUTE
from gateway.outbox.reader import Reader
from gateway.outbox.record import most_bytes, most_bytes_of_checkpoint
from gateway.outbox.recover import Found
from gateway.outbox.segment import PRIORITIES
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
        """A part of every stream's name, so that no sequence number is used twice in a stream."""
        self.recovered_messages, self.recovered_values = store.stored
        """The messages and values of an earlier run, including those that are missing now."""
        self.recovered_messages += max(_lost_by_reader(found.losses, "messages"), default=0)
        self.recovered_values += max(_lost_by_reader(found.losses, "values"), default=0)

    # -- appending

    def next_seq(self, stream: str) -> int:
        """The sequence number of the next message of this stream; 1 for the first."""
        return self._accepted.get(stream, (0, 0))[1] + 1

    @property
    def streams(self) -> Collection[str]:
        """All streams with a counter."""
        return self._accepted.keys()

    @property
    def checkpoints(self) -> Mapping[str, bytes]:
        """The last durable checkpoint of each source."""
        return self._checkpoints

    async def append(
        self,
        messages: Sequence[Message],
        *,
        others: Mapping[str, Sequence[Message]] | None = None,
        source: str = "",
        checkpoint: bytes = b"",
        losses: Sequence[Loss] = (),
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        """Store messages and, if given, the source's checkpoint.  Returns when all of it is durable.

        `messages` are for the readers of the route without a name, `others` for those of other routes, by name.
        Sequence numbers must continue from `next_seq`, and a stream must keep its route and priority.  `losses` are
        those that these messages announce.  `on_stored` is called once, in the same instant in which the figures count
        the append, also when the caller was cancelled: for the books.  What it raises is raised here.

        This waits while the disk fails, or while the outbox is full and configured to block.  Cancelling does not undo
        an append that has begun: it is stored once all the same.

        Raises `ValueError` for a wrong sequence number, route or priority, `ConfigError` when there are too many
        routes, `Rejected` with nothing taken when it would need more than half of the outbox, and `Unavailable` when
        the outbox closes before it is durable.

        The messages of one route and priority and the checkpoint are stored all or not at all.  With several of them, a
        crash in between may keep some messages, but never the checkpoint before all messages.
        """
        await self.begin_append(
            messages, others=others, source=source, checkpoint=checkpoint, losses=losses, on_stored=on_stored
        )  # cancelling the caller does not stop the append

    def begin_append(
        self,
        messages: Sequence[Message],
        *,
        others: Mapping[str, Sequence[Message]] | None = None,
        source: str = "",
        checkpoint: bytes = b"",
        losses: Sequence[Loss] = (),
        on_stored: Callable[[], None] = lambda: None,
    ) -> "asyncio.Future[None]":
        """Like `append`, but without waiting: it keeps its place behind earlier appends, and the future ends when it is
        durable.  When a closing outbox refuses an append, it refuses all behind it."""
        by_route = {"": messages, **others} if others else {"": messages}
        return self._accept(by_route, source, checkpoint, tuple(losses), on_stored).done

    def _accept(
        self,
        messages: Mapping[str, Sequence[Message]],
        source: str,
        checkpoint: bytes,
        losses: tuple[Loss, ...],
        on_stored: Callable[[], None],
    ) -> Append:
        if self._closing:
            raise Unavailable("the outbox is closed")
        seen: dict[str, tuple[int, int]] = {}
        by_lane: dict[int, list[Message]] = {}
        sizes: dict[int, int] = {}
        for route, some in messages.items():
            first = self._lanes.of(route)[0].index if route else 0
            for message in some:
                stream, seq, lane = message.stream, message.seq, first + message.priority
                its_lane, last = seen.get(stream) or self._accepted.get(stream) or (lane, 0)
                if self._numbered and (seq != last + 1 or lane != its_lane):
                    raise ValueError(f"{stream}: seq {seq} lane {lane}, last was {last} in {its_lane}")
                seen[stream] = (lane, seq)
                if lane in by_lane:
                    by_lane[lane].append(message)
                    sizes[lane] += most_bytes(message)
                else:
                    by_lane[lane], sizes[lane] = [message], most_bytes(message)
        lane = max(by_lane, default=int(PRIORITIES[-1]))
        if source and checkpoint:
            sizes[lane] = sizes.get(lane, 0) + most_bytes_of_checkpoint(source, checkpoint)
        size = sum(sizes.values())
        if size > self._config.max_bytes // 2:
            raise Rejected("too_large", f"{size} bytes at once do not fit into an outbox of {self._config.max_bytes}")
        self._accepted.update(seen)
        if source and checkpoint:
            self._orders += 1
        kept = Checkpoint(source, checkpoint, self._orders) if source and checkpoint else None
        done = asyncio.get_running_loop().create_future()
        return self._begin(Append(by_lane, kept, losses, sizes, lane, done, on_stored))

    def _begin(self, append: Append) -> Append:
        self._pending.append(append)
        self._open_appends += 1
        if len(self._pending) == 1:  # otherwise `run` has not come to the others yet
            self._store.woken.set()
        return append

    async def run(self) -> None:
        """Make pending appends durable and maintain the store, until the outbox closes."""
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
            group = next_group(self._pending, self._config.max_bytes // 2)
            if not await self._commit(group):
                self._refuse([*group, *self._pending])
                self._pending.clear()

    async def tick(self) -> None:
        """Wake `run` at intervals."""
        while True:
            await asyncio.sleep(_KEEP_INTERVAL_S)
            self._store.woken.set()
            self._store.progress.set()

    async def _commit(self, group: list[Append]) -> bool:
        """Write a group, waiting while the disk is full or fails.  Removes the finished appends from it.  False: the
        outbox closed first."""
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
                why = await store.in_thread(partial(text_of, error, self._config.path))
                store.trouble.begins(f"cannot write to {self._config.path}: {why}")
                if error.errno in _FULL and self._config.when_full == "drop_oldest" and wait_s > self._retry_s:
                    await store.drop_oldest()  # only from the second try on: the disk may be free again by then
                if not await self._wait(wait_s):
                    return False
                wait_s = min(2 * wait_s, _RETRY_MOST_S)
        while group:
            if group[0].follow is not None and not await self._go_over(*group[0].follow):
                return False
            self._settle(group.pop(0))
        return True

    async def _go_over(self, name: str, route: str) -> bool:
        """Let a reader follow another route from here on.  This is on the disk before anything later, or a crash would
        lose messages for this reader.  False: the outbox closed first."""
        reader, wait_s = self._store.readers.get(name), self._retry_s
        if reader is None or reader.route == route:
            return True
        reader.follow(route)
        while not await self._store.note(reader):
            self._store.trouble.begins(f"cannot write to {self._config.path}")
            if not await self._wait(wait_s):
                return False
            wait_s = min(2 * wait_s, _RETRY_MOST_S)
        return True

    async def _write(self, parts: list[Part]) -> OSError | None:
        """Make the parts durable, and remove the finished ones from the list: all, or those before an error."""
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
        """Wait until something was acknowledged or time has passed.  False: the outbox closes."""
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
                async with asyncio.timeout(left):
                    await self._store.woken.wait()
        return not self._closing

    def _settle(self, append: Append) -> None:
        if append.checkpoint is not None:
            self._checkpoints[append.checkpoint.source] = append.checkpoint.token
        if append.losses and append.messages:
            self._ledger.tell(append.losses, (append.lane, self._lanes[append.lane].end - 1))
        else:
            self._ledger.settle(append.losses)
        self._end(append, None)

    def _refuse(self, group: list[Append]) -> None:
        reason = self._store.trouble.reason or "it is closed"
        for append in group:
            self._end(append, Unavailable(f"the outbox took no message: {reason}"))

    def _end(self, append: Append, error: BaseException | None) -> None:
        self._open_appends -= 1
        if error is None:
            error = _told(append)
        if append.done.done():  # the caller was cancelled
            return
        if error is None:
            append.done.set_result(None)
        else:
            append.done.set_exception(error)

    def keep_within(self, config: OutboxConfig) -> None:
        """Take new bounds for the same folder: sizes, age, and the policy when full."""
        self._config = config
        self._segment_bytes = _segment_bytes(config)
        self._store.keep_within(config)

    def stop_taking(self) -> None:
        """Refuse further appends.  `run` ends when the pending ones are durable or refused."""
        self._closing = True
        self._store.woken.set()
        self._store.progress.set()

    # -- reading

    def reader(self, name: str, route: str = DEFAULT_ROUTE) -> Reader:
        """The reader of this name, always the same object.  A new one starts at the oldest record of its route.

        Raises `ConfigError` when there are too many routes.
        """
        return self._store.reader(name, route)

    def may_follow(self, name: str, route: str) -> bool:
        """Whether `follow` is possible.  False: the reader has too much left of its former routes (`TOO_MUCH_LEFT`)."""
        return self._store.readers[name].may_follow(route)

    def follow(self, name: str, route: str) -> None:
        """Let a reader follow another route.  It gets what is appended for that one from this call on.  Before that it
        gets the rest of the former one.

        Raises `ConfigError` when there are too many routes.
        """
        self._lanes.of(route)
        if not self._closing:
            done = asyncio.get_running_loop().create_future()
            done.add_done_callback(_retrieved)
            self._begin(Append({}, None, (), {}, 0, done, lambda: None, (name, route)))

    @property
    def readers(self) -> Collection[str]:
        """The names of the readers that have a position."""
        return self._store.readers.keys()

    async def forget(self, name: str) -> None:
        """Drop a reader for good, with its position.  Frees the messages that no other reader wants."""
        await self._store.forget(name)

    async def wait_empty(self) -> None:
        """Wait until every reader has acknowledged everything."""
        while self.messages or self._open_appends:
            self._store.progress.clear()
            await self._store.progress.wait()

    def take_losses(self) -> list[Loss]:
        """The losses that are not taken yet.  Pass them to the `append` that announces them, or they come again after a
        restart. They also come again when the message that announces them is lost."""
        return self._ledger.take()

    # -- figures

    @property
    def messages(self) -> int:
        """Messages stored for the reader with the most left."""
        return self._store.stored[0]

    @property
    def values(self) -> int:
        """Values stored for the reader with the most left."""
        return self._store.stored[1]

    @property
    def bytes(self) -> int:
        """The size of all segments on the disk."""
        return self._store.bytes

    @property
    def oldest_age_s(self) -> float:
        """The age of the oldest stored message.  A jump of the wall clock does not change it."""
        return self._store.oldest_age_s

    def age_s_of(self, name: str) -> float:
        """The age of the oldest message for one of its readers; 0 where there is none."""
        reader = self._store.readers.get(name)
        return self._store.age_s_of(reader) if reader is not None else 0.0

    @property
    def latest_ns(self) -> int:
        """The wall clock, nanoseconds since 1970.  After it was set back: the latest time it showed, also in earlier
        runs.  Never goes back."""
        return self._store.latest_ns

    @property
    def trouble(self) -> str | None:
        """Why nothing can be stored at present.  None: all is well."""
        return self._store.trouble.reason


def _segment_bytes(config: OutboxConfig) -> int:
    return min(config.segment_bytes, config.max_bytes // 4)


def _told(append: Append) -> BaseException | None:
    """Report an append as durable.  Returns the error of the callback, which must not end other appends."""
    try:
        append.on_stored()
    except BaseException as error:  # noqa: BLE001 - raised to the caller of `append`
        return error
    return None


def _lost_by_reader(losses: list[Loss], what: str) -> list[int]:
    names = {name for loss in losses for name in loss.readers}
    return [sum(getattr(loss, what) for loss in losses if name in loss.readers) for name in names]


def _retrieved(done: "asyncio.Future[None]") -> None:
    """Retrieve the error of a cancelled caller, so that asyncio does not report it as forgotten."""
    if not done.cancelled():
        done.exception()
