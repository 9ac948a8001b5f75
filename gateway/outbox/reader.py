"""One reader: where it stands in each lane, what it was given, what it has acknowledged.

It follows one route, and has the lanes of that one; in lanes of a route that it followed before it has what is left for
it there.  Lanes are served by priority, those of a former route first, and each in order.
The durable cursor of a lane is the lowest record that was not acknowledged; the few that were acknowledged above it,
out of order, are only remembered in memory.

A reader may leave behind what it has not read yet, and go on with what comes from then on; what was left behind is
read apart (`read_behind`).  That makes a second range in the lane (`unacked_range.py`), and the cursor holds both.
State changes are never left behind: they hold what is needed to understand the rest.
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
"""The cursor is noted at most so often: a kill repeats what was acknowledged since."""


class Reader:
    """A durable position in the outbox.  `read` is for one task at a time."""

    def __init__(self, name: str, files: Files, folder: Path, lanes: Lanes, cursor: Cursor, retry_s: float) -> None:
        self.name = name
        self._lanes = lanes
        self._slots = cursor.file
        self._retry_s = retry_s
        self.route = cursor.at.route
        """The one that it follows."""
        self._wanted = {index: ranges_of(index, cursor.at) for index, *_ in cursor.at.lanes}
        """By lane; the last range of a lane of the route has no end."""
        self._order: list[tuple[Lane, list[UnackedRange]]] = []
        self._arrange()
        self._thread = WorkThread(f"outbox-read-{name}")
        self._segments = SegmentReader(files, folder)
        self._woken = (asyncio.Event(), asyncio.Event())
        """For who waits in `read`, and in `read_behind`."""
        self._moves = 0
        self._unsaved = not cursor.is_noted
        self._save_at_s = 0.0
        self._read_error: OSError | None = None
        self.on_hole: Callable[[Reader, Segment, Hole], None] = lambda reader, segment, hole: None
        self.on_progress: Callable[[], None] = lambda: None
        self.messages = 0
        """Stored for this reader: given out or not, but not acknowledged."""
        self.values = 0
        self._count()

    def _arrange(self) -> None:
        """In which order lanes are read."""
        self._wanted = {index: ranges for index, ranges in self._wanted.items() if ranges}
        found = [(self._lanes[index], ranges) for index, ranges in self._wanted.items()]
        self._order = sorted(found, key=lambda each: (priority_of(each[0].index), each[1][-1].is_open, each[0].index))

    def follow(self, route: str) -> None:
        """From now on take what comes of another route; what is left of the former one stays to be read."""
        self._wanted = gone_over(self._wanted, route, self._lanes)
        self.route = route
        self._moves += 1  # what is being read just now may end elsewhere
        self._arrange()
        self._unsaved = True
        self._wake()

    def may_follow(self, route: str) -> bool:
        """Whether that could be noted: not when it went over again and again and too much is left of each time."""
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
        """The next records, at least one, waiting for it; at most so many, and payloads of about so many bytes.

        Cancelling it loses nothing: what was not returned is read again.
        """
        return await self._read(max_messages, max_bytes, behind=False)

    async def read_rest(self, max_messages: int, max_bytes: int) -> list[Record]:
        """The same without waiting for what comes: none when everything has been read, whatever of it was damaged.

        Between the look that found nothing more and the return there is no wait.
        """
        return await self._read(max_messages, max_bytes, behind=False, wait=False)

    async def read_behind(self, max_messages: int, max_bytes: int) -> list[Record]:
        """The same from what was left behind, oldest first.  May go on beside `read`, for one task at a time."""
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
            except OSError as error:  # no descriptors left, no permission: not damage, so nothing is skipped
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
        """The next records from what the writer left in memory; empty when they are not there."""
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
        """What was not read yet is for `read_behind`, and `read` goes on with what comes from now on.

        False when there was nothing, or when too many pieces have been left behind already.
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
        self._moves += left  # what is being read just now is read again, by whom it is for
        self._woken[True].set()
        self._note(left)
        return left

    def _has_room_for_more(self, ranges: list[UnackedRange]) -> bool:
        """Whether the cursor could be noted with one range more in a lane, of the longest numbers."""
        longest = UnackedRange(OPEN - 1, OPEN - 1, OPEN - 1, OPEN - 1)
        more = places_of(self.route, {**self._wanted, LAST_LANE: [longest, longest]})
        return len(ranges) < MOST_RANGES and self._slots.fits(more)

    @property
    def left_behind(self) -> int:
        """Messages that were left behind and are not acknowledged; unread damage counts as well."""
        behind = (each for ranges in self._wanted.values() for each in ranges if each.behind)
        return sum(each.end - each.low - len(each.done) for each in behind)

    @property
    def unread(self) -> int:
        """Messages that `read` would give; unread damage counts as well."""
        ahead = ((lane, each) for lane, ranges in self._order for each in ranges if not each.behind)
        return sum(max(0, min(lane.end, each.end) - each.next) for lane, each in ahead)

    async def retained_ahead(self) -> set[str]:
        """The topics of the retained messages that were acknowledged before what was left behind.

        For the time before `read` and `read_behind`.
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
        """This record is delivered.  False when it was not this reader's to acknowledge (dropped, or already done)."""
        lane, position = place_of(number)
        unacked = next((each for each in self._wanted.get(lane, ()) if each.holds(position)), None)
        given = unacked.given.pop(position, None) if unacked is not None else None
        if unacked is None or given is None:
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
        """Save the cursor once for all that is acknowledged at this moment, and not again at once."""
        if moved and not self._unsaved:
            self._unsaved = True
            loop = asyncio.get_running_loop()
            loop.call_at(self._save_at_s, self.save) if loop.time() < self._save_at_s else loop.call_soon(self.save)

    def save(self) -> bool:
        """Note the cursor in the operating system: that survives the process.  False when it could not be written."""
        if self._unsaved:
            try:
                self._slots.write(places_of(self.route, self._wanted))
            except OSError:
                return False  # tried again at the next interval; until then a crash repeats more
            self._unsaved = False
            with contextlib.suppress(RuntimeError):  # at the end of all there is no loop
                self._save_at_s = asyncio.get_running_loop().time() + SAVE_EVERY_S
            self.on_progress()
        return True

    def sync(self) -> None:
        """Bring the noted cursor to the disk; runs in the writing thread."""
        self._slots.sync()

    def rewind(self) -> None:
        """Everything that was not acknowledged is read again, in order.  For after a lost connection."""
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
        """Whether it follows this lane, or anything in it is left for it."""
        return lane in self._wanted

    def has_not_met(self, lane: int, position: int) -> bool:
        """Whether this record has not been read yet, or not noticed to be damaged."""
        return any(each.holds(position) and position >= each.reached for each in self._wanted.get(lane, ()))

    def wants(self, lane: int, position: int) -> bool:
        """Whether this record is stored for this reader: given out or not, but not acknowledged."""
        return any(each.holds(position) and position not in each.done for each in self._wanted.get(lane, ()))

    def skip(self, lane: int, segment: Segment, messages: int, values: int) -> None:
        """A segment is dropped, and with it so much that this reader still wanted."""
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
        """So much more of a lane is durable, since `clock_ns` of the age clock."""
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
        """When the oldest stored record came, by the age clock; None when there is none."""
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
        """Note the cursor and stop reading."""
        self.save()
        self._thread.close()

    def let_go(self) -> None:
        """Close the files."""
        self._segments.close()
        self._slots.close()


def _chunk(unacked: UnackedRange, segment: Segment) -> Chunk:
    """What to read next of a range, out of this segment."""
    end, values = unacked.end_in(segment)
    offset = unacked.offset or segment.body
    return Chunk(offset, unacked.next, unacked.next_values, end, values, frozenset(unacked.done))
