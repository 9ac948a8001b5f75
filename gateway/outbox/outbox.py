"""The outbox as the gateway sees it: append and know that it is durable, read, acknowledge.

Appends that wait at the same moment are made durable by one write and one sync, in a thread.
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
        others: Mapping[str, Sequence[Message]] | None = None,
        source: str = "",
        checkpoint: bytes = b"",
        losses: Sequence[Loss] = (),
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        """Return when all of it is durable: the messages and, if there is one, the source's checkpoint.

        `messages` are for the readers of the route without a name, `others` for those of other routes, by name.
        Sequence numbers must go on from `next_seq`, and a stream keep its route and priority, else `ValueError`;
        `ConfigError` when there are too many routes.  `losses` are
        those that these messages announce.  What would take more than half of the outbox is `Rejected` and nothing of
        the append is taken.  While the disk does not take it, or the outbox is full and told to block, this waits.
        Once begun it is not undone by cancelling: it is stored once all the same.  `Unavailable` when the outbox
        closes before it is durable.  `on_stored` is called once, in the same instant in which the figures count it,
        also when this is cancelled: for whoever keeps books; what it raises is raised here.

        Messages of one route and priority and the checkpoint are stored all or not at all.  With several, a crash in
        the middle may keep some of them, but never the checkpoint before all of them.
        """
        await self.begin_append(
            messages, others=others, source=source, checkpoint=checkpoint, losses=losses, on_stored=on_stored
        )  # cancelled with whoever waits: the append goes on

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
        """The same without waiting: it has its place behind all appends before it, and the future ends when it is
        durable.  An append that the closing outbox does not take takes those behind it along."""
        return self._accept({"": messages, **(others or {})}, source, checkpoint, tuple(losses), on_stored).done

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
                lane = first + message.priority
                its_lane, last = seen.get(message.stream) or self._accepted.get(message.stream, (lane, 0))
                if self._numbered and (message.seq != last + 1 or lane != its_lane):
                    raise ValueError(f"{message.stream}: seq {message.seq} lane {lane}, last was {last} in {its_lane}")
                seen[message.stream] = (lane, message.seq)
                by_lane.setdefault(lane, []).append(message)
                sizes[lane] = sizes.get(lane, 0) + most_bytes(message)
        lane = max(by_lane, default=int(PRIORITIES[-1]))
        if source and checkpoint:
            sizes[lane] = sizes.get(lane, 0) + most_bytes_of_checkpoint(source, checkpoint)
        size = sum(sizes.values())
        if size > self._config.max_bytes // 2:
            raise Rejected("too_large", f"{size} bytes at once do not fit an outbox of {self._config.max_bytes}")
        self._accepted.update(seen)
        if source and checkpoint:
            self._orders += 1
        kept = Checkpoint(source, checkpoint, self._orders) if source and checkpoint else None
        done = asyncio.get_running_loop().create_future()
        return self._begin(Append(by_lane, kept, losses, sizes, lane, done, on_stored))

    def _begin(self, append: Append) -> Append:
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
        """Write a group, waiting out full and broken disks, and take what is done off it; False when the outbox closes
        before that succeeds."""
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
        while group:
            if group[0].follow is not None and not await self._go_over(*group[0].follow):
                return False
            self._settle(group.pop(0))
        return True

    async def _go_over(self, name: str, route: str) -> bool:
        """A reader follows another route from here on.  That is on the disk before anything that comes after, else a
        crash would lose what this reader wants of it; False when the outbox closes before."""
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

    def reader(self, name: str, route: str = DEFAULT_ROUTE) -> Reader:
        """The reader of this name: the same one each time.  A new one begins at the oldest record of its route.

        Raises `ConfigError` when there are too many routes.
        """
        return self._store.reader(name, route)

    def may_follow(self, name: str, route: str) -> bool:
        """Whether `follow` could be done, or the reader has too much left of routes that it followed before
        (`TOO_MUCH_LEFT`)."""
        return self._store.readers[name].may_follow(route)

    def follow(self, name: str, route: str) -> None:
        """A reader goes over to another route: it gets what is appended for that one from this call on, and before
        that what was appended until then for the one that it followed.

        Raises `ConfigError` when there are too many routes.
        """
        self._lanes.of(route)
        if not self._closing:
            done = asyncio.get_running_loop().create_future()
            done.add_done_callback(_retrieved)
            self._begin(Append({}, None, (), {}, 0, done, lambda: None, (name, route)))

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


def _told(append: Append) -> BaseException | None:
    """Tell that it is durable; the fault of whoever is told is his, and ends nobody else's appends."""
    try:
        append.on_stored()
    except BaseException as error:  # noqa: BLE001 - raised where the append is waited for
        return error
    return None


def _lost_by_reader(losses: list[Loss], what: str) -> list[int]:
    names = {name for loss in losses for name in loss.readers}
    return [sum(getattr(loss, what) for loss in losses if name in loss.readers) for name in names]


def _retrieved(done: "asyncio.Future[None]") -> None:
    """Nobody waits for it: an error must not look like one that was forgotten."""
    if not done.cancelled():
        done.exception()
