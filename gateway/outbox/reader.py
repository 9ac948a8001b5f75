"""One reader: its position in each lane, the records it was given, and those it has acknowledged.

A reader follows one route and reads its lanes.  In lanes of a route that it followed before, it reads only what is left
for it.  Lanes are read by priority, those of a former route first, each in order.  The durable cursor of a lane is the
lowest record that is not acknowledged.  The few records acknowledged above it, out of order, are only in memory.

A reader may leave its unread records behind and continue with new ones.  The records left behind are read separately
(`read_behind`).  This makes a second range in the lane (`unacked_range.py`), and the cursor holds both.  State changes
are never left behind: they contain what is needed to understand the rest.
"""

import asyncio
import contextlib
from collections.abc import Callable
from copy import copy
from functools import partial
from itertools import pairwise
from pathlib import Path

import structlog

from gateway.model import Priority
from gateway.outbox.cursors import Cursor, gone_over
from gateway.outbox.files import Files
from gateway.outbox.lanes import Lanes, priority_of
from gateway.outbox.scan import Hole
from gateway.outbox.segment import LAST_LANE, Lane, Segment, number_of, place_of
from gateway.outbox.segment_reader import CHUNK_BYTES, Chunk, Record, SegmentReader
from gateway.outbox.unacked_range import MOST_RANGES, OPEN, Given, UnackedRange, places_of, ranges_of
from gateway.outbox.work_thread import WorkThread

_log = structlog.get_logger("gateway.outbox")


SAVE_EVERY_S = 0.02
"""The shortest time between two saves of the cursor.  A kill repeats the messages acknowledged since the last one."""


class Reader:
    """A durable position in the outbox.  Only one task may `read`."""

    def __init__(self, name: str, files: Files, folder: Path, lanes: Lanes, cursor: Cursor, retry_s: float) -> None:
        self.name = name
        self._lanes = lanes
        self._slots = cursor.file
        self._retry_s = retry_s
        self.route = cursor.at.route
        """The route that it follows."""
        self._wanted = {index: ranges_of(index, cursor.at) for index, *_ in cursor.at.lanes}
        """The wanted ranges by lane.  The last range of a lane of the route has no end."""
        self._order: list[tuple[Lane, list[UnackedRange]]] = []
        self._arrange()
        self._thread = WorkThread(f"outbox-read-{name}")
        self._segments = SegmentReader(files, folder)
        self._woken = (asyncio.Event(), asyncio.Event())
        """One for the task that waits in `read`, one for `read_behind`."""
        self._moves = 0
        self._unsaved = not cursor.is_noted
        self._save_at_s = 0.0
        self._read_error: OSError | None = None
        self.on_hole: Callable[[Reader, Segment, Hole], None] = lambda reader, segment, hole: None
        self.on_progress: Callable[[], None] = lambda: None
        self.messages = 0
        """Messages stored for this reader that are not acknowledged, given out or not."""
        self.values = 0
        self._count()

    def _arrange(self) -> None:
        """Sort the lanes in reading order."""
        self._wanted = {index: ranges for index, ranges in self._wanted.items() if ranges}
        found = [(self._lanes[index], ranges) for index, ranges in self._wanted.items()]
        self._order = sorted(found, key=lambda each: (priority_of(each[0].index), each[1][-1].is_open, each[0].index))

    def follow(self, route: str) -> None:
        """Follow another route from now on.  What is left of the former one is read first."""
        self._wanted = gone_over(self._wanted, route, self._lanes)
        self.route = route
        self._moves += 1  # a read in progress may end elsewhere
        self._arrange()
        self._unsaved = True
        self._wake()

    def may_follow(self, route: str) -> bool:
        """Whether the change can be noted.  False: too many changes, each with much left to read."""
        ranges = {index: [copy(each) for each in ranges] for index, ranges in self._wanted.items()}
        return self._slots.fits(places_of(route, gone_over(ranges, route, self._lanes)))

    def _count(self) -> None:
        for lane, ranges in self._order:
            for segment in lane.segments:
                for unacked in ranges:
                    messages, values = unacked.count_in(segment)
                    self.messages += messages
                    self.values += values

    async def read(self, max_messages: int, max_bytes: int) -> list[Record]:
        """The next records, at least one: waits for it.  At most `max_messages`, with about `max_bytes` of payload.

        Cancelling loses nothing: records that were not returned are read again.
        """
        return await self._read(max_messages, max_bytes, behind=False)

    async def read_rest(self, max_messages: int, max_bytes: int) -> list[Record]:
        """Like `read`, but without waiting for new records.  Empty when everything was read, including damaged records.

        Between finding nothing more and returning there is no wait.
        """
        return await self._read(max_messages, max_bytes, behind=False, wait=False)

    async def read_behind(self, max_messages: int, max_bytes: int) -> list[Record]:
        """Like `read`, for the records left behind, oldest first.  May run beside `read`, in one task."""
        return await self._read(max_messages, max_bytes, behind=True)

    async def _read(self, max_messages: int, max_bytes: int, *, behind: bool, wait: bool = True) -> list[Record]:
        woken = self._woken[behind]
        while True:
            woken.clear()
            found = self._next_segment(behind)
            if found is None and not wait:
                return []
            if found is None:
                await woken.wait()
                continue
            segment, unacked = found
            records = self._take_recent(segment, unacked, max_messages, max_bytes)
            if records:
                return records
            moves = self._moves
            start = _chunk(unacked, segment)
            try:
                chunk = await self._in_thread(partial(self._segments.read, segment, start, max_messages, max_bytes))
            except OSError as error:  # no descriptors or no permission: not damage, so skip nothing
                self._cannot_read(error)
                await asyncio.sleep(self._retry_s)
                continue
            self._cannot_read(None)
            if moves != self._moves:
                continue  # rewound or dropped meanwhile
            records = self._take(unacked, segment, chunk)
            if records:
                return records

    def _cannot_read(self, error: OSError | None) -> None:
        if (error is None) == (self._read_error is None):
            return
        self._read_error = error
        if error is not None:
            _log.error("cannot read stored messages", reader=self.name, reason=str(error), next="trying again")
        else:
            _log.info("stored messages can be read again", reader=self.name)

    def _next_segment(self, behind: bool) -> tuple[Segment, UnackedRange] | None:
        for lane, ranges in self._order:
            for unacked in ranges:
                if unacked.behind == behind and (segment := unacked.enter(lane)) is not None:
                    return segment, unacked
        return None

    def _take_recent(self, segment: Segment, unacked: UnackedRange, max_messages: int, max_bytes: int) -> list[Record]:
        """The next records from the writer's memory.  Empty when they are not there."""
        lane, records, size = segment.lane, list[Record](), 0
        given, end, kept = unacked.given, unacked.end, None
        for kept in self._lanes[lane].recent.since(unacked.next):
            number, message = kept.number, kept.message
            if number >= end or len(records) >= max_messages or size >= max_bytes:
                break
            if number not in unacked.done:
                values_before = kept.values_before
                given[number] = Given(kept.segment, kept.offset, values_before, message.values, kept.clock_ns)
                records.append(Record(number_of(lane, number), message, kept.appended_ns))
                size += len(message.payload)
            unacked.next, unacked.next_values = number + 1, kept.values_before + message.values
            unacked.segment, unacked.offset = kept.segment, kept.end_offset
        if kept is not None:
            unacked.reached = max(unacked.reached, unacked.next)
            self._advance(lane, unacked)
        return records

    def _take(self, unacked: UnackedRange, segment: Segment, chunk: Chunk) -> list[Record]:
        records: list[Record] = []
        for offset, entry, record in chunk.entries:
            unacked.given[entry.number] = Given(
                segment.first, offset, entry.values_before, entry.values, entry.clock_ns
            )
            records.append(record)
        unacked.next, unacked.next_values, unacked.offset = chunk.next, chunk.values, chunk.offset
        if chunk.hole is not None and chunk.hole.number >= unacked.reached:
            self.messages -= chunk.hole.until - chunk.hole.number
            self.values -= chunk.hole.values
            self.on_hole(self, segment, chunk.hole)
        unacked.reached = max(unacked.reached, unacked.next)
        self._advance(segment.lane, unacked)
        return records

    def leave_behind(self) -> bool:
        """Leave the unread records to `read_behind`; `read` continues with new ones.

        False: there are none, or too many ranges have been left behind already.
        """
        left = False
        for lane, ranges in self._order:
            if priority_of(lane.index) is Priority.STATE:
                continue
            last = ranges[-1]
            if last.is_open and last.next < lane.behind[0] and self._has_room_for_more(ranges):
                last.end, last.end_values = lane.behind
                ranges.append(UnackedRange(lane.end, lane.values_end))
            for each in ranges:
                if not each.is_open and not each.behind and each.next < each.end:
                    each.behind = left = True
        self._moves += left  # a read in progress is repeated by the right method
        self._woken[True].set()
        self._note(left)
        return left

    def _has_room_for_more(self, ranges: list[UnackedRange]) -> bool:
        """Whether the cursor can hold one more range per lane, even with the longest numbers."""
        longest = UnackedRange(OPEN - 1, OPEN - 1, OPEN - 1, OPEN - 1)
        more = places_of(self.route, {**self._wanted, LAST_LANE: [longest, longest]})
        return len(ranges) < MOST_RANGES and self._slots.fits(more)

    @property
    def left_behind(self) -> int:
        """Unacknowledged messages that were left behind, including unread damage."""
        behind = (each for ranges in self._wanted.values() for each in ranges if each.behind)
        return sum(each.end - each.low - len(each.done) for each in behind)

    @property
    def unread(self) -> int:
        """Messages that `read` will give, including unread damage."""
        ahead = ((lane, each) for lane, ranges in self._order for each in ranges if not each.behind)
        return sum(max(0, min(lane.end, each.end) - each.next) for lane, each in ahead)

    async def retained_ahead(self) -> set[str]:
        """The topics of the retained messages that were acknowledged ahead of those left behind.

        To be called before `read` and `read_behind`.
        """
        topics: set[str] = set()
        for lane, ranges in self._order:
            for before, after in pairwise(ranges):
                between = UnackedRange(before.end, before.end_values, after.low, after.low_values)
                while (segment := between.enter(lane)) is not None:
                    start = _chunk(between, segment)
                    chunk = await self._in_thread(partial(self._segments.read, segment, start, 1000, CHUNK_BYTES))
                    topics |= {record.message.topic for *_, record in chunk.entries if record.message.retain}
                    between.next, between.next_values, between.offset = chunk.next, chunk.values, chunk.offset
        return topics

    async def _in_thread(self, work: Callable[[], Chunk]) -> Chunk:
        return await self._thread.begin(work)

    def ack(self, number: int) -> bool:
        """Acknowledge a record as delivered.  False: this reader does not have it (dropped, or acknowledged before)."""
        lane, position = place_of(number)
        for unacked in self._wanted.get(lane, ()):
            if unacked.low <= position < unacked.end:
                given = unacked.given.pop(position, None)
                break
        else:
            return False
        if given is None:
            return False
        self.messages -= 1
        self.values -= given.values
        if position == unacked.low:
            unacked.since_ns = max(unacked.since_ns, given.clock_ns)
            self._advance(lane, unacked)
        else:
            unacked.done.add(position)
        return True

    def _advance(self, lane: int, unacked: UnackedRange) -> None:
        moved = unacked.advance()
        if unacked.low >= unacked.end:
            self._wanted[lane].remove(unacked)
            if not self._wanted[lane]:
                self._arrange()
        self._note(moved)

    def _note(self, moved: bool) -> None:
        """Save the cursor, once for everything acknowledged at this moment and not again within `SAVE_EVERY_S`."""
        if moved and not self._unsaved:
            self._unsaved = True
            loop = asyncio.get_running_loop()
            loop.call_at(self._save_at_s, self.save) if loop.time() < self._save_at_s else loop.call_soon(self.save)

    def save(self) -> bool:
        """Write the cursor to the operating system, where it survives the process.  False: it could not be written."""
        if self._unsaved:
            try:
                self._slots.write(places_of(self.route, self._wanted))
            except OSError:
                return False  # tried again after the interval; a crash before that repeats more
            self._unsaved = False
            with contextlib.suppress(RuntimeError):  # at the end of the process there is no loop
                self._save_at_s = asyncio.get_running_loop().time() + SAVE_EVERY_S
            self.on_progress()
        return True

    def sync(self) -> None:
        """Bring the saved cursor to the disk.  Runs in the writing thread."""
        self._slots.sync()

    def rewind(self) -> None:
        """Read all unacknowledged records again, in order: after a lost connection."""
        self._moves += 1
        for ranges in self._wanted.values():
            for unacked in ranges:
                unacked.rewind()
            for before, after in reversed(list(pairwise(ranges))):
                if before.touches(after):
                    before.absorb(after)
                    ranges.remove(after)
        self._wake()

    def has_lane(self, lane: int) -> bool:
        """Whether it follows this lane, or has something left in it."""
        return lane in self._wanted

    def has_not_met(self, lane: int, position: int) -> bool:
        """Whether it has neither read this record nor found it damaged."""
        return any(each.holds(position) and position >= each.reached for each in self._wanted.get(lane, ()))

    def wants(self, lane: int, position: int) -> bool:
        """Whether this record is stored for this reader and not acknowledged, given out or not."""
        return any(each.holds(position) and position not in each.done for each in self._wanted.get(lane, ()))

    def skip(self, lane: int, segment: Segment, messages: int, values: int) -> None:
        """Skip a dropped segment, with `messages` and `values` that this reader still wanted."""
        if lane not in self._wanted:
            return
        self.messages -= messages
        self.values -= values
        self._moves += 1
        for unacked in [each for each in self._wanted[lane] if each.low < segment.end]:
            unacked.skip(segment)
            self._advance(lane, unacked)
        self._wake()

    def wake(self, lane: int, messages: int, values: int, clock_ns: int) -> None:
        """Count new durable messages of a lane, appended since `clock_ns` (age clock), and wake the reading task."""
        if lane not in self._wanted or not self._wanted[lane][-1].is_open:
            return
        if not self.messages:
            for ranges in self._wanted.values():
                ranges[-1].since_ns = clock_ns
        self.messages += messages
        self.values += values
        self._woken[False].set()

    def _wake(self) -> None:
        for woken in self._woken:
            woken.set()

    def wants_any(self, lane: int, first: int, end: int) -> bool:
        """Whether any record from `first` up to `end` may be stored for this reader."""
        return any(each.low < end and each.end > first for each in self._wanted.get(lane, ()))

    @property
    def oldest_clock_ns(self) -> int | None:
        """The age-clock time of the oldest stored record.  None: there is none."""
        oldest: int | None = None
        for lane, (first, *_) in self._order:
            given = next(iter(first.given.values()), None)
            segment = lane.holding(first.low)
            if given is None and segment is None:
                continue
            clock = given.clock_ns if given else max(first.since_ns, segment.clock_ns) if segment else 0
            oldest = clock if oldest is None else min(oldest, clock)
        return oldest

    def close(self) -> None:
        """Save the cursor and stop reading."""
        self.save()
        self._thread.close()

    def let_go(self) -> None:
        """Close the files."""
        self._segments.close()
        self._slots.close()


def _chunk(unacked: UnackedRange, segment: Segment) -> Chunk:
    """The next piece of a range to read from this segment."""
    end, values = unacked.end_in(segment)
    offset = unacked.offset or segment.body
    return Chunk(offset, unacked.next, unacked.next_values, end, values, frozenset(unacked.done))
