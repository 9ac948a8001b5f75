"""The stored messages: lanes, the readers that want them, and the bounds.

This runs on the event loop and decides; the writing thread touches the files.  All changes of lanes happen in one task
(`Outbox.run`), so no locks are needed.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import structlog

from gateway.config import OutboxConfig
from gateway.model import Loss, LossCause
from gateway.outbox.clock import Clock
from gateway.outbox.cursors import at_the_oldest, begun_cursor
from gateway.outbox.disk_trouble import text_of
from gateway.outbox.files import Files
from gateway.outbox.lanes import priority_of
from gateway.outbox.losses import Item, Position, losses_of
from gateway.outbox.reader import Reader
from gateway.outbox.recover import Found, keep_damaged
from gateway.outbox.retire import retire_lanes
from gateway.outbox.scan import Hole, missing_in, read_file, read_items
from gateway.outbox.segment import Lane, Segment
from gateway.outbox.trouble import Trouble
from gateway.outbox.work_thread import WorkThread
from gateway.outbox.writer import Part, Writer, Written

_T = TypeVar("_T")
_log = structlog.get_logger("gateway.outbox")


class Store:
    """Lanes and readers of an opened folder."""

    def __init__(
        self, config: OutboxConfig, found: Found, files: Files, clock: Clock, on_drop: Callable[[str, str, int], None],
        numbered: bool, retry_s: float,
    ) -> None:  # fmt: skip
        self.found = found
        self.readers: dict[str, Reader] = {}
        self.trouble = Trouble()
        self.progress = asyncio.Event()
        """Something was acknowledged, or time has passed."""
        self.woken = asyncio.Event()
        """There is work for `Outbox.run`."""
        self.writer = Writer(
            files, found.folder, found.epoch, found.books, found.state, clock, config.commit,
            config.compress == "zlib", found.lanes,
        )  # fmt: skip
        self._config = config
        self._files = files
        self._clock = clock
        self._on_drop = on_drop
        self._numbered = numbered
        self._retry_s = retry_s
        self._lanes = found.lanes
        self._thread = WorkThread("outbox-write")
        self._free_bytes: int | None = None
        self._damaged: dict[str, tuple[Segment, set[str]]] = {}
        self._assessed: set[str] = set()
        for name in found.cursors:
            self._add_reader(name)
        for loss in found.losses:
            on_drop(loss.readers[0], loss.cause, loss.values)

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Run in the writing thread."""
        return await self._thread.begin(work)

    async def begin(self) -> None:
        """Note on the disk that this run has begun, before anything is promised."""
        await self.in_thread(self._begin)

    def _begin(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: the first commit notes it, or waits
            room, folder = self._config.max_bytes - self.bytes, self.found.folder
            written = retire_lanes(self._files, folder, self.writer, self._lanes, self._is_wanted, room)
            if written is not None:
                self.attach(self._lanes[0], written)
            self.writer.write_state()
            self.found.state.sync()
            self._free_bytes = self._files.free_bytes(self.found.folder)

    def _is_wanted(self, lane: int) -> bool:
        """Whether any reader wants this lane.  True as well when there are no readers."""
        return not self.readers or any(reader.has_lane(lane) for reader in self.readers.values())

    # -- figures

    @property
    def bytes(self) -> int:
        return sum(segment.size for lane in self._lanes for segment in lane.segments)

    @property
    def stored(self) -> tuple[int, int]:
        """Messages and values stored for the reader with the most left.  Without a reader: all there are."""
        if self.readers:
            readers = self.readers.values()
            return max(reader.messages for reader in readers), max(reader.values for reader in readers)
        segments = [segment for lane in self._lanes for segment in lane.segments]
        return (
            sum(segment.end - segment.first for segment in segments),
            sum(segment.values_end - segment.values_before for segment in segments),
        )

    @property
    def oldest_age_s(self) -> float:
        return max((self.age_s_of(reader) for reader in self.readers.values()), default=0.0)

    def age_s_of(self, reader: Reader) -> float:
        """The age of the oldest message for a reader; 0 where there is none."""
        clock_ns = reader.oldest_clock_ns
        return max(0.0, (self._clock.age_ns - clock_ns) / 1e9) if clock_ns is not None else 0.0

    @property
    def latest_ns(self) -> int:
        return self._clock.latest_ns

    # -- readers

    def reader(self, name: str, route: str) -> Reader:
        if name not in self.readers:
            self.found.cursors[name] = begun_cursor(
                self._files, self.found.folder, name, at_the_oldest(route, self._lanes)
            )
            self._add_reader(name)
        return self.readers[name]

    def _add_reader(self, name: str) -> None:
        reader = Reader(name, self._files, self.found.folder, self._lanes, self.found.cursors[name], self._retry_s)
        reader.on_hole = self._met_hole
        reader.on_progress = self.progress.set
        self.readers[name] = reader

    async def note(self, reader: Reader) -> bool:
        """Bring a reader's cursor to the disk.  Returns whether that worked."""
        try:
            if reader.save():
                await self.in_thread(reader.sync)
                return True
        except OSError:
            pass
        return False

    async def forget(self, name: str) -> None:
        """Drop a reader, and free what only it wanted."""
        reader = self.readers.pop(name)
        del self.found.cursors[name]
        reader.close()

        def remove() -> None:
            reader.let_go()
            self._files.remove(self.found.folder / f"{name}.cursor")

        with contextlib.suppress(OSError):  # the next start forgets it
            await self.in_thread(remove)
        self.woken.set()
        self.progress.set()

    def keep_within(self, config: OutboxConfig) -> None:
        """Take new bounds from now on."""
        self._config = config
        self.woken.set()
        self.progress.set()

    def _met_hole(self, reader: Reader, segment: Segment, hole: Hole) -> None:
        """Count damage at once when a reader meets it.  `keep` finds out later what it was."""
        _log.error(
            "damaged records were skipped", segment=segment.name, messages=hole.until - hole.number,
            values=hole.values, reader=reader.name, kept_in=str(self.found.folder / "quarantine"),
        )  # fmt: skip
        self._on_drop(reader.name, "corrupt", hole.values)
        self.found.ledger.take_back(segment.lane, hole.number, hole.until, lambda position, loss: loss.readers)
        self._damaged.setdefault(segment.name, (segment, set()))[1].add(reader.name)
        self.woken.set()

    # -- what became durable

    def publish(self, lane: Lane, written: Written) -> None:
        """Let the readers have what became durable."""
        segment, values = written.segment, written.segment.values_end - lane.values_end
        self.attach(lane, written)
        lane.recent.add(written.records)
        lane.end, lane.values_end = segment.end, segment.values_end
        for reader in self.readers.values():
            reader.wake(lane.index, len(written.records), values, segment.last_clock_ns)

    def attach(self, lane: Lane, written: Written) -> None:
        self._free_bytes = written.free_bytes
        if lane.segments and lane.segments[-1].first == written.segment.first:
            lane.segments.pop()
        lane.segments.append(written.segment)

    # -- bounds

    async def most_bytes(self, parts: Sequence[Part], segment_bytes: int) -> int:
        """The largest size of these parts on the disk, including the headers of new segments."""
        begun = [part.lane for part in parts if self.writer.is_full(part.lane, segment_bytes)]
        headers = await self.in_thread(partial(self.writer.header_bytes, begun)) if begun else 0
        return headers + sum(part.most_bytes for part in parts)

    def why_full(self, size: int) -> str | None:
        """Why `size` more bytes exceed a bound.  None: they do not."""
        if self.bytes + size > self._config.max_bytes:
            return f"the outbox is full ({self._config.max_bytes} bytes)"
        if self._free_bytes is not None and self._free_bytes - size < self._config.min_free:
            return f"less than {self._config.min_free} bytes would be left on the disk"
        return None

    async def make_room(self, size: int) -> bool:
        """Free or drop messages until `size` more bytes are within the bounds.

        False: a reader must acknowledge first.
        """
        while self.why_full(size) is not None:
            await self.release()
            if self.why_full(size) is None:
                break
            if await self.release(ahead=True):
                continue
            if self._config.when_full == "drop_oldest" and await self.drop_oldest():
                continue
            over_cap = self.bytes + size > self._config.max_bytes
            return over_cap and not self.stored[0] and bool(self.readers)
        return True

    async def drop_oldest(self) -> bool:
        """Drop the oldest segment of the lowest priority.  False: there is none, or the disk refuses."""
        filled = [lane for lane in self._lanes if any(segment.end > segment.first for segment in lane.segments)]
        if not filled:
            return False
        lane = max(filled, key=lambda lane: (priority_of(lane.index), -lane.segments[0].clock_ns))
        return await self._drop(lane, lane.segments[0], "outbox_full")

    async def expire(self) -> None:
        """Drop the segments whose newest message is older than `max_age`."""
        if self._config.max_age is None:
            return
        limit = self._clock.age_ns - int(self._config.max_age * 1e9)
        for lane in self._lanes:
            while lane.segments and lane.segments[0].end > lane.segments[0].first:
                if lane.segments[0].last_clock_ns >= limit or not await self._drop(lane, lane.segments[0], "expired"):
                    break

    async def _drop(self, lane: Lane, segment: Segment, cause: LossCause) -> bool:
        """Unlink a segment that readers may still want, after the ledger has noted the loss."""
        try:
            if segment is lane.segments[-1]:
                self.attach(lane, await self.in_thread(partial(self.writer.begin, lane.index)))
            items, holes = await self.in_thread(partial(read_items, self._files, self.found.folder, segment))
        except OSError as error:
            why = await self.in_thread(partial(text_of, error, self.found.folder))
            self.trouble.begins(f"cannot make room in {self.found.folder}: {why}")
            return False
        losers = {
            name
            for name, reader in self.readers.items()
            if any(reader.wants_any(lane.index, h.number, h.until) for h in holes)
        }
        if losers:
            await self._assess(segment, losers)
        lane.segments.remove(segment)
        lane.recent.drop_before(segment.end)
        self._lose(lane, segment, items, holes, cause)
        await self._unlink([segment])
        return True

    def _lose(self, lane: Lane, segment: Segment, items: list[Item], holes: list[Hole], cause: LossCause) -> None:
        readers = list(self.readers.values())
        wanted = [
            (item, tuple(reader.name for reader in readers if reader.wants(lane.index, item.number))) for item in items
        ]
        losses = losses_of(wanted, cause, self.found.ledger.next_id)
        self.found.ledger.note(losses)
        self.found.ledger.take_back(lane.index, segment.first, segment.end, self._waiting)
        for reader in readers:
            own = [loss for loss in losses if reader.name in loss.readers]
            messages, values = sum(loss.messages for loss in own), sum(loss.values for loss in own)
            unmet = [hole for hole in holes if reader.has_not_met(lane.index, hole.number)]
            damaged, damage = sum(hole.until - hole.number for hole in unmet), sum(hole.values for hole in unmet)
            reader.skip(lane.index, segment, messages + damaged, values + damage)
            for reason, lost in ((cause, values), ("corrupt", damage)):
                if lost:
                    self._on_drop(reader.name, reason, lost)
        if losses:
            _log.warning("stored messages were dropped", reason=cause, messages=sum(loss.messages for loss in losses))

    def _waiting(self, position: Position, loss: Loss) -> tuple[str, ...]:
        """The readers of the loss that still wait for the record that announces it."""
        return tuple(name for name in loss.readers if name in self.readers and self.readers[name].wants(*position))

    async def release(self, *, ahead: bool = False) -> bool:
        """Unlink the segments that no reader wants.  Never the newest of a lane, which holds the counters.

        With `ahead`, also those that were delivered ahead of a wanted one.  While these exist, a restart can find out
        which retained messages were sent.  Returns whether any were unlinked.
        """
        gone = [segment for lane in self._lanes for segment in self._unwanted(lane, ahead)]
        for segment in gone:
            self._lanes[segment.lane].segments.remove(segment)
        if gone:
            await self._unlink(gone)
        return bool(gone)

    def _unwanted(self, lane: Lane, ahead: bool) -> Iterator[Segment]:
        readers = self.readers.values()
        for segment in list(lane.segments)[:-1] if readers else ():
            if not any(reader.wants_any(lane.index, segment.first, segment.end) for reader in readers):
                yield segment
            elif not ahead:
                return

    async def _unlink(self, segments: list[Segment]) -> None:
        if all(reader.save() for reader in self.readers.values()):
            with contextlib.suppress(OSError):  # the next start finds and frees what remains
                await self.in_thread(partial(self._remove, segments))

    def _remove(self, segments: list[Segment]) -> None:
        """Sync ledger and cursors first, so that after a power cut a missing segment does not look like damage."""
        self.found.ledger.write()
        for reader in list(self.readers.values()):
            reader.sync()
        for segment in segments:
            self._files.remove(self.found.folder / segment.name)
        self._free_bytes = self._files.free_bytes(self.found.folder)

    # -- damage

    async def assess_damage(self) -> None:
        for segment, names in list(self._damaged.values()):
            with contextlib.suppress(OSError):  # the loss is counted, but its content stays unknown
                await self._assess(segment, names)
        self._damaged.clear()

    async def _assess(self, segment: Segment, names: set[str]) -> None:
        """Find out what was in the damaged parts of a segment, and note it for announcement.  Once per segment."""
        if segment.name in self._assessed:
            return
        self._assessed.add(segment.name)
        names |= {n for n, reader in self.readers.items() if reader.wants_any(segment.lane, segment.first, segment.end)}
        known, rest, values = await self.in_thread(partial(self._missing, segment))
        readers, ledger = tuple(sorted(names)), self.found.ledger
        ledger.note(losses_of(((item, readers) for item in known), "corrupt", ledger.next_id))
        if rest:
            ledger.note([Loss(ledger.next_id(), "", 0, 0, rest, values, "corrupt", 0, 0, readers)])

    def _missing(self, segment: Segment) -> tuple[list[Item], int, int]:
        """Keep a copy and find out what is missing.  Runs in the writing thread."""
        folder, lane = self.found.folder, self._lanes[segment.lane]
        keep_damaged(self._files, folder, segment.name, read_file(self._files, folder / segment.name))
        following = next((each for each in lane.segments if each.first > segment.first), None)
        newest = self.writer.books.streams
        return missing_in(self._files, folder, segment, following, newest if self._numbered else None)

    # -- periodic work

    async def keep(self) -> None:
        """Once a second: note cursors, free what was delivered, drop what is too old, bring notes to the disk."""
        for reader in self.readers.values():
            reader.save()
        self.found.ledger.review(self._waiting)
        await self.release()
        await self.expire()
        with contextlib.suppress(OSError):
            await self.in_thread(self._sync)

    def _sync(self) -> None:
        self._free_bytes = self._files.free_bytes(self.found.folder)
        self.found.ledger.write()
        for reader in list(self.readers.values()):
            reader.sync()
        self.writer.sync()

    async def close(self) -> None:
        """Note everything and release the folder."""
        for reader in self.readers.values():
            reader.close()
        await self.in_thread(self._finish)
        self._thread.close()

    def _finish(self) -> None:
        for work in (self._sync, partial(self.writer.write_state, True), self.found.state.sync):
            with contextlib.suppress(OSError):  # the next start checks more
                work()
        for reader in self.readers.values():
            reader.let_go()
        self.writer.close()
        self.found.ledger.close()
        self.found.state.close()
        self._files.close(self.found.lock)
