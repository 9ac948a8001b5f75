"""The outbox as the gateway sees it: append and know that it is durable, read, acknowledge.

Everything here runs on the event loop and only decides; files are touched in threads, one for writing and one for each
reader.  Appends that wait at the same moment are made durable by one write and one sync.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TypeVar

import structlog

from gateway.config import OutboxConfig
from gateway.errors import Rejected, Unavailable
from gateway.model import Message
from gateway.outbox.clock import Clock
from gateway.outbox.files import Files
from gateway.outbox.losses import Cause, Loss, losses_of
from gateway.outbox.reader import Hole, Reader
from gateway.outbox.record import HEAD
from gateway.outbox.recover import Found, open_cursor, read_items, recover
from gateway.outbox.segment import LANES, Lane, Segment
from gateway.outbox.writer import Mark, Part, Writer, Written

_T = TypeVar("_T")
_log = structlog.get_logger("gateway.outbox")
_COMMIT_BYTES = 4 * 2**20
"""At most about so much is made durable at once."""
_KEEP_INTERVAL_S = 1.0
_RETRY_FIRST_S, _RETRY_MOST_S = 0.05, 5.0


@dataclass(slots=True)
class _Append:
    """One append on its way to the disk."""

    messages: tuple[Message, ...]
    mark: Mark | None
    losses: tuple[int, ...]
    size: int
    done: "asyncio.Future[None]"


class Outbox:
    """Durable bounded FIFO of messages.  Opened by `open_outbox`."""

    def __init__(
        self,
        config: OutboxConfig,
        found: Found,
        files: Files,
        clock: Clock,
        on_drop: Callable[[str, str, int], None],
        on_commit: Callable[[float], None],
        numbered: bool,
    ) -> None:
        self._config = config
        self._found = found
        self._files = files
        self._clock = clock
        self._on_drop = on_drop
        self._on_commit = on_commit
        self._numbered = numbered
        self._lanes = found.lanes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox-write")
        self._writer = Writer(
            files, found.folder, clock, found.epoch, found.books, found.state, config.commit, deflate=False
        )
        self._segment_bytes = min(config.segment_bytes, config.max_bytes // 4)
        self._accepted = {name: (lane, seq) for name, (lane, seq, _) in found.books.streams.items()}
        self._marks = {mark.source: mark.token for mark in found.books.marks.values()}
        self._orders = max((mark.order for mark in found.books.marks.values()), default=0)
        self._pending: deque[_Append] = deque()
        self._wanted = asyncio.Event()
        self._progress = asyncio.Event()
        self._closing = False
        self._taken: set[int] = set()
        self._readers: dict[str, Reader] = {}
        for name in found.cursors:
            self._add_reader(name)
        self.epoch = found.epoch
        """Part of every stream's name, so that no sequence number is ever used twice in one stream."""
        self.trouble: str | None = None
        """Why nothing can be made durable just now; None while all is well."""
        self.recovered_values = self.values
        self.recovered_messages = self.messages

    # -- writing

    def next_seq(self, stream: str) -> int:
        """The sequence number that the next message of this stream must carry: 1 for the first."""
        return self._accepted.get(stream, (0, 0))[1] + 1

    @property
    def marks(self) -> Mapping[str, bytes]:
        """The last durable resume token of each source."""
        return self._marks

    async def append(
        self, messages: Sequence[Message], *, source: str = "", mark: bytes = b"", losses: Sequence[Loss] = ()
    ) -> None:
        """Return when all of it is durable: the messages and, if there is one, the source's mark.

        Sequence numbers must go on from `next_seq`, else `ValueError`.  `losses` are those that these messages
        announce.  A message larger than the outbox is `Rejected` and nothing of the append is taken.  While the disk
        does not take it, or the outbox is full and told to block, this waits.  Once begun it is not undone by
        cancelling: it is stored once all the same.  `Unavailable` when the outbox closes before it is durable.
        """
        append = self._accept(tuple(messages), source, mark, tuple(loss.id for loss in losses))
        await asyncio.shield(append.done)

    def _accept(self, messages: tuple[Message, ...], source: str, mark: bytes, losses: tuple[int, ...]) -> _Append:
        if self._closing:
            raise Unavailable("the outbox is closed")
        seen: dict[str, tuple[int, int]] = {}
        size = 0
        for message in messages:
            lane, last = seen.get(message.stream) or self._accepted.get(message.stream, (message.priority, 0))
            if self._numbered and (message.seq != last + 1 or message.priority != lane):
                raise ValueError(f"{message.stream}: seq {message.seq} priority {message.priority}, last was {last}")
            seen[message.stream] = (lane, message.seq)
            size += _size_of(message)
        if size > self._config.max_bytes // 2:
            raise Rejected("too_large", f"{size} bytes at once do not fit an outbox of {self._config.max_bytes}")
        self._accepted.update(seen)
        if source and mark:
            self._orders += 1
        kept = Mark(source, mark, self._orders) if source and mark else None
        append = _Append(messages, kept, losses, size, asyncio.get_running_loop().create_future())
        append.done.add_done_callback(_retrieved)
        self._pending.append(append)
        self._wanted.set()
        return append

    async def commit_for_ever(self) -> None:
        """Make pending appends durable until the outbox closes."""
        while True:
            if not self._pending:
                if self._closing:
                    return
                self._wanted.clear()
                await self._wanted.wait()
                continue
            group = self._next_group()
            if not await self._commit(group):
                self._refuse(group)

    def _next_group(self) -> list[_Append]:
        group, size = [self._pending.popleft()], 0
        while self._pending and (size := size + group[-1].size) < _COMMIT_BYTES:
            group.append(self._pending.popleft())
        return group

    async def _commit(self, group: list[_Append]) -> bool:
        """Write a group, waiting out full and broken disks; False when the outbox closes before that succeeds."""
        parts, wait_s = _parts_of(group), _RETRY_FIRST_S
        while parts:
            if not await self._make_room(sum(append.size for append in group)):
                return False
            begun = monotonic()
            try:
                written = await self._in_thread(partial(self._writer.write, parts[0], self._segment_bytes))
            except OSError as error:
                self._in_trouble(f"cannot write to {self._found.folder}: {error.strerror or error}")
                if self._closing:
                    return False
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _RETRY_MOST_S)
                continue
            self._in_trouble(None)
            self._on_commit(monotonic() - begun)
            self._publish(parts.pop(0), written)
        for append in group:
            self._settle(append)
        return True

    def _settle(self, append: _Append) -> None:
        if append.mark is not None:
            self._marks[append.mark.source] = append.mark.token
        if append.losses:
            self._found.ledger.settle(list(append.losses))
        if not append.done.done():
            append.done.set_result(None)

    def _refuse(self, group: list[_Append]) -> None:
        for append in group:
            if not append.done.done():
                append.done.set_exception(Unavailable(self.trouble or "the outbox was closed while it was full"))

    def _publish(self, part: Part, written: Written) -> None:
        """What is durable may be read."""
        lane, segment = self._lanes[part.lane], written.segment
        messages = [item for item, _ in part.items if isinstance(item, Message)]
        self._attach(lane, segment)
        lane.end, lane.values_end = segment.end, segment.values_end
        values = sum(message.values for message in messages)
        for reader in self._readers.values():
            reader.wake(len(messages), values)

    def _attach(self, lane: Lane, segment: Segment) -> None:
        if lane.segments and lane.segments[-1].first == segment.first:
            lane.segments[-1] = segment
        else:
            lane.segments.append(segment)

    def _in_trouble(self, reason: str | None) -> None:
        if (reason is None) != (self.trouble is None):
            if reason is None:
                _log.info("the outbox takes messages again")
            else:
                _log.error("the outbox takes no messages", reason=reason, next="trying again until it does")
        self.trouble = reason

    # -- bounds

    async def _make_room(self, size: int) -> bool:
        """Wait or drop until so many bytes more are within bounds; False when the outbox closes before."""
        while self.bytes + size > self._config.max_bytes:
            await self._release()
            if self.bytes + size <= self._config.max_bytes:
                break
            if self._config.when_full == "drop_oldest" and await self._drop_oldest("outbox_full"):
                continue
            if not self.messages:
                break  # nothing to wait for: only the active segments are left
            self._in_trouble("the outbox is full and told to block")
            if self._closing:
                return False
            self._progress.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._progress.wait(), _KEEP_INTERVAL_S)
        return True

    async def _drop_oldest(self, cause: Cause) -> bool:
        """Drop the oldest segment of the lowest priority; False when there is none."""
        for lane in reversed(self._lanes):
            if lane.segments and any(segment.end > segment.first for segment in lane.segments):
                await self._drop(lane, lane.segments[0], cause)
                return True
        return False

    async def _drop(self, lane: Lane, segment: Segment, cause: Cause) -> None:
        """Unlink a segment that readers still wanted, after noting in the ledger what that loses."""
        if segment is lane.segments[-1]:
            self._attach(lane, (await self._in_thread(partial(self._writer.begin, lane.index))).segment)
        wanted = await self._in_thread(partial(read_items, self._files, self._found.folder, segment))
        lane.segments.remove(segment)
        readers = list(self._readers.values())
        losses = losses_of(
            [
                (item, tuple(reader.name for reader in readers if reader.still_wants(lane.index, item.number)))
                for item in wanted
            ],
            cause,
            self._found.ledger.next_id,
        )
        for reader in readers:
            messages = sum(loss.messages for loss in losses if reader.name in loss.readers)
            values = sum(loss.values for loss in losses if reader.name in loss.readers)
            reader.skip(lane.index, segment, messages, values)
            reader.save()
            if messages:
                self._on_drop(reader.name, cause, values)
        self._found.ledger.note(losses)
        await self._in_thread(partial(self._unlink, [segment]))

    async def _release(self) -> None:
        """Unlink the segments that every reader has passed; never the newest of a lane, which holds the counters."""
        if not self._readers:
            return
        gone: list[Segment] = []
        for lane in self._lanes:
            low = min(reader.low(lane.index) for reader in self._readers.values())
            while len(lane.segments) > 1 and lane.segments[0].end <= low:
                gone.append(lane.segments.popleft())
        if gone:
            for reader in self._readers.values():
                reader.save()
            await self._in_thread(partial(self._unlink, gone))

    def _unlink(self, segments: list[Segment]) -> None:
        self._found.ledger.write()
        for reader in list(self._readers.values()):
            with contextlib.suppress(OSError):
                reader.sync()
        for segment in segments:
            with contextlib.suppress(OSError):
                self._files.remove(self._found.folder / segment.name)

    async def keep_for_ever(self) -> None:
        """At intervals: note cursors, free what was delivered."""
        while True:
            await asyncio.sleep(_KEEP_INTERVAL_S)
            for reader in self._readers.values():
                reader.save()
            await self._release()
            with contextlib.suppress(OSError):
                await self._in_thread(self._sync)

    def _sync(self) -> None:
        for reader in list(self._readers.values()):
            reader.sync()
        self._found.ledger.write()
        self._writer.sync()

    # -- reading

    def reader(self, name: str) -> Reader:
        """The reader of this name: the same one each time.  A new one begins at the oldest record."""
        if name not in self._readers:
            self._found.cursors[name] = open_cursor(self._files, self._found.folder, name, self._lanes)
            self._add_reader(name)
        return self._readers[name]

    def _add_reader(self, name: str) -> None:
        reader = Reader(name, self._files, self._found.folder, self._lanes, self._found.cursors[name])
        reader.on_hole = self._met_hole
        reader.on_progress = self._progress.set
        self._readers[name] = reader

    def _met_hole(self, reader: Reader, hole: Hole) -> None:
        """Damage was met while reading: count it and keep it to be announced."""
        messages = hole.until - hole.number
        if messages <= 0:
            return
        ledger = self._found.ledger
        loss = Loss(ledger.next_id(), "", 0, 0, messages, hole.values, "corrupt", 0, 0, (reader.name,))
        ledger.note([loss])
        self._on_drop(reader.name, "corrupt", hole.values)
        _log.error("damaged records were skipped", segment=hole.segment.name, messages=messages, values=hole.values)

    def take_losses(self) -> list[Loss]:
        """Losses not yet taken; hand them to the `append` that announces them.  Those never announced come again
        after a restart."""
        taken = [loss for loss in self._found.ledger.pending if loss.id not in self._taken]
        self._taken.update(loss.id for loss in taken)
        return taken

    # -- figures

    @property
    def values(self) -> int:
        """Values stored for the reader that is furthest behind."""
        return max((reader.values for reader in self._readers.values()), default=0)

    @property
    def messages(self) -> int:
        return max((reader.messages for reader in self._readers.values()), default=0)

    @property
    def bytes(self) -> int:
        """Disk taken by the segments."""
        return sum(segment.size for lane in self._lanes for segment in lane.segments)

    @property
    def oldest_age_s(self) -> float:
        """For how long the oldest message has been stored; a jump of the wall clock does not move it."""
        clocks = [clock for reader in self._readers.values() if (clock := reader.oldest_clock_ns) is not None]
        return max(0.0, (self._clock.age_ns - min(clocks)) / 1e9) if clocks else 0.0

    async def wait_empty(self) -> None:
        """Wait until every reader has acknowledged everything."""
        while self.messages or self._pending:
            self._progress.clear()
            await self._progress.wait()

    # -- the end

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Make what is pending durable if the disk takes it, note everything, let go of the folder."""
        for reader in self._readers.values():
            reader.save()
        with contextlib.suppress(OSError):
            await self._in_thread(self._finish)
        self._thread.shutdown(wait=True)
        for reader in self._readers.values():
            reader.close()
        self._found.ledger.close()
        self._found.state.close()
        self._files.close(self._found.lock)

    def _finish(self) -> None:
        self._sync()
        self._writer.write_state(clean=True)
        self._found.state.sync()
        self._writer.close()

    def stop_taking(self) -> None:
        """No more appends; `commit_for_ever` ends when the pending ones are durable, or refused."""
        self._closing = True
        self._wanted.set()
        self._progress.set()


def _size_of(message: Message) -> int:
    return HEAD.size + len(message.payload) + 2 * len(message.topic) + len(message.stream) + 64


def _parts_of(group: list[_Append]) -> list[Part]:
    """One part for each lane; the marks in the last, so that none is durable before the messages it stands for."""
    items: dict[int, list[tuple[Message | Mark, bool]]] = {}
    for append in group:
        for message in append.messages:
            items.setdefault(message.priority, []).append((message, False))
        for lane in {message.priority for message in append.messages}:
            items[lane][-1] = (items[lane][-1][0], True)
    last = max(items, default=int(LANES[-1]))
    marks: list[tuple[Message | Mark, bool]] = [(append.mark, True) for append in group if append.mark is not None]
    items.setdefault(last, []).extend(marks)
    return [Part(lane, items[lane]) for lane in sorted(items)]


def _retrieved(done: "asyncio.Future[None]") -> None:
    """Whoever waited may have been cancelled: then nobody else asks for the error."""
    if not done.cancelled():
        done.exception()


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
) -> AsyncIterator[Outbox]:
    """The outbox in a folder, recovered and ready.

    `readers` names those that exist: others that a former run knew are forgotten; without it all known are kept.
    `on_drop` is told reader, reason and number of values of each loss as it happens, `on_commit` the seconds that each
    group commit took.  `numbered` off takes messages whatever their `seq`: for what comes out of another outbox.  Raises `ConfigError` when somebody else has the folder or it cannot be written.
    """
    disk, ages = files or Files(), clock or Clock()
    found = await asyncio.to_thread(recover, disk, Path(config.path), ages, tuple(readers))
    outbox = Outbox(config, found, disk, ages, on_drop, on_commit, numbered)
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(outbox.keep_for_ever(), name="outbox: keep")
            committer = tasks.create_task(outbox.commit_for_ever(), name="outbox: commit")
            try:
                yield outbox
            except BaseException as error:  # noqa: BLE001 - raised again below, as it is and not in a group
                failure = error
            finally:
                outbox.stop_taking()
                await asyncio.wait([committer])
                keeper.cancel()
    finally:
        await outbox.close()
    if failure is not None:
        raise failure
