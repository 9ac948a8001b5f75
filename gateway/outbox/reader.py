"""One reader: where it stands in each lane, what it was given, what it has acknowledged.

Its lanes are served by priority, and each in order.  The durable cursor of a lane is the lowest record that was not
acknowledged; what was acknowledged above it is only remembered in memory.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.model import Message
from gateway.outbox.files import Files
from gateway.outbox.record import HEAD, MARK, Decoder, Entry, entry_at, length_at, next_entry
from gateway.outbox.recover import Cursor
from gateway.outbox.scan import Hole, read_tolerant
from gateway.outbox.segment import Lane, Segment, number_of, place_of, salt_of

_log = structlog.get_logger("gateway.outbox")
_CHUNK_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Record:
    """A stored message.  `number` is what to acknowledge."""

    number: int
    message: Message
    appended_at_ns: int
    """Wall clock, nanoseconds since 1970."""


@dataclass(slots=True)
class _Given:
    """A record that was given out and not acknowledged."""

    segment: int
    """First number of the segment it is in."""
    offset: int
    values_before: int
    values: int
    clock_ns: int


@dataclass(slots=True)
class _Place:
    """Where a reader stands in one lane."""

    low: int
    """Lowest number not acknowledged: the durable cursor."""
    low_values: int
    """Values of all records below `low`."""
    next: int
    """Number to read next."""
    next_values: int
    """Values of all records below `next`."""
    reached: int = 0
    """The furthest that `next` has been: damage below it has been counted."""
    segment: int = -1
    """First number of the segment that `offset` is for."""
    offset: int = 0
    """Where to look for it in that segment; 0 for the beginning."""
    given: "OrderedDict[int, _Given]" = field(default_factory=OrderedDict)
    done: set[int] = field(default_factory=set)
    """Acknowledged above `low`."""


@dataclass(slots=True)
class _Chunk:
    entries: list[tuple[int, Entry, Record]] = field(default_factory=list)
    offset: int = 0
    next: int = 0
    values: int = 0
    """Values of all records below `next`."""
    hole: Hole | None = None


class Reader:
    """A durable position in the outbox.  `read` is for one task at a time."""

    def __init__(
        self, name: str, files: Files, folder: Path, lanes: list[Lane], cursor: Cursor, retry_s: float
    ) -> None:
        self.name = name
        self._files = files
        self._folder = folder
        self._lanes = lanes
        self._slots = cursor.slots
        self._retry_s = retry_s
        self._decoder = Decoder()
        self._places = [_Place(number, values, number, values) for number, values in cursor.places]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"outbox-read-{name}")
        self._open: tuple[str, int] | None = None
        self._woken = asyncio.Event()
        self._moves = 0
        self._unsaved = False
        self._read_error: OSError | None = None
        self.on_hole: Callable[[Reader, Segment, Hole], None] = lambda reader, segment, hole: None
        self.on_progress: Callable[[], None] = lambda: None
        self.messages = 0
        """Stored for this reader: given out or not, but not acknowledged."""
        self.values = 0
        self._count()

    def _count(self) -> None:
        for lane, place in zip(self._lanes, self._places, strict=True):
            for segment in lane.segments:
                if segment.end <= place.low:
                    continue
                before = place.low_values if segment.first <= place.low else segment.values_before
                self.messages += segment.end - max(segment.first, place.low)
                self.values += segment.values_end - before

    async def read(self, max_messages: int, max_bytes: int) -> list[Record]:
        """The next records, at least one, waiting for it; at most so many, and payloads of about so many bytes.

        Cancelling it loses nothing: what was not returned is read again.
        """
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            found = self._next_segment()
            if found is None:
                await self._woken.wait()
                continue
            segment, place = found
            moves = self._moves
            start = _Chunk(offset=place.offset or segment.body, next=place.next, values=place.next_values)
            try:
                chunk = await loop.run_in_executor(
                    self._thread, self._read_chunk, segment, start, max_messages, max_bytes, frozenset(place.done)
                )
            except OSError as error:  # no descriptors left, no permission: not damage, so nothing is skipped
                self._cannot_read(error)
                await asyncio.sleep(self._retry_s)
                continue
            self._cannot_read(None)
            if moves != self._moves:
                continue  # rewound or dropped meanwhile
            records = self._take(place, segment, chunk)
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

    def _next_segment(self) -> tuple[Segment, _Place] | None:
        for lane, place in zip(self._lanes, self._places, strict=True):
            segment = lane.holding(place.next)
            if segment is None:
                continue
            if place.segment != segment.first:
                place.segment, place.offset = segment.first, 0
            if place.next <= segment.first:
                place.next, place.next_values = segment.first, segment.values_before
            return segment, place
        return None

    def _take(self, place: _Place, segment: Segment, chunk: _Chunk) -> list[Record]:
        records: list[Record] = []
        for offset, entry, record in chunk.entries:
            place.given[entry.number] = _Given(segment.first, offset, entry.values_before, entry.values, entry.clock_ns)
            records.append(record)
        place.next, place.next_values, place.offset = chunk.next, chunk.values, chunk.offset
        if chunk.hole is not None and chunk.hole.number >= place.reached:
            self.messages -= chunk.hole.until - chunk.hole.number
            self.values -= chunk.hole.values
            self.on_hole(self, segment, chunk.hole)
        place.reached = max(place.reached, place.next)
        self._advance(place)
        return records

    def ack(self, number: int) -> bool:
        """This record is delivered.  False when it was not this reader's to acknowledge (dropped, or already done)."""
        lane, position = place_of(number)
        place = self._places[lane]
        given = place.given.pop(position, None)
        if given is None:
            return False
        self.messages -= 1
        self.values -= given.values
        if position == place.low:
            self._advance(place)
        else:
            place.done.add(position)
        return True

    def _advance(self, place: _Place) -> None:
        low = next(iter(place.given), place.next)
        if low == place.low:
            return
        if place.done:
            place.done.difference_update(range(place.low, low))
        place.low = low
        place.low_values = place.given[low].values_before if low in place.given else place.next_values
        if not self._unsaved:
            self._unsaved = True
            asyncio.get_running_loop().call_soon(self.save)  # once for all that is acknowledged at this moment

    def save(self) -> bool:
        """Note the cursor in the operating system: that survives the process.  False when it could not be written."""
        if self._unsaved:
            try:
                self._slots.write({"places": [(place.low, place.low_values) for place in self._places]})
            except OSError:
                return False  # tried again at the next interval; until then a crash repeats more
            self._unsaved = False
            self.on_progress()
        return True

    def sync(self) -> None:
        """Bring the noted cursor to the disk; runs in the writing thread."""
        self._slots.sync()

    def rewind(self) -> None:
        """Everything that was not acknowledged is read again, in order.  For after a lost connection."""
        self._moves += 1
        for place in self._places:
            first = next(iter(place.given), None)
            if first is not None:
                given = place.given[first]
                place.next, place.next_values = first, given.values_before
                place.segment, place.offset = given.segment, given.offset
                place.given.clear()
        self._woken.set()

    def has_not_met(self, lane: int, position: int) -> bool:
        """Whether this record has not been read yet, or not noticed to be damaged."""
        return position >= self._places[lane].reached

    def wants(self, lane: int, position: int) -> bool:
        """Whether this record is stored for this reader: given out or not, but not acknowledged."""
        place = self._places[lane]
        return position >= place.low and position not in place.done

    def skip(self, lane: int, segment: Segment, messages: int, values: int) -> None:
        """A segment is dropped, and with it so much that this reader still wanted."""
        place = self._places[lane]
        for position in [position for position in place.given if position < segment.end]:
            del place.given[position]
        if place.next < segment.end:
            place.next, place.next_values, place.segment = segment.end, segment.values_end, -1
            place.reached = max(place.reached, place.next)
        self.messages -= messages
        self.values -= values
        self._moves += 1
        self._advance(place)
        self._woken.set()

    def wake(self, messages: int, values: int) -> None:
        """So much more is durable."""
        self.messages += messages
        self.values += values
        self._woken.set()

    def low(self, lane: int) -> int:
        return self._places[lane].low

    @property
    def oldest_clock_ns(self) -> int | None:
        """When the oldest stored record came, by the age clock; None when there is none."""
        oldest: int | None = None
        for lane, place in zip(self._lanes, self._places, strict=True):
            given = next(iter(place.given.values()), None)
            segment = lane.holding(place.low)
            if given is None and segment is None:
                continue
            clock = given.clock_ns if given else segment.clock_ns if segment else 0
            oldest = clock if oldest is None else min(oldest, clock)
        return oldest

    def close(self) -> None:
        """Note the cursor and stop reading."""
        self.save()
        self._thread.shutdown(wait=True)

    def let_go(self) -> None:
        """Close the files."""
        if self._open is not None:
            self._files.close(self._open[1])
        self._slots.close()

    # -- in the reading thread

    def _read_chunk(
        self, segment: Segment, chunk: _Chunk, max_messages: int, max_bytes: int, done: frozenset[int]
    ) -> _Chunk:
        """Read intact records from here on; stop at the limits, at the end of what is durable, or at damage."""
        try:
            fd = self._file(segment.name)
        except FileNotFoundError:
            chunk.hole = Hole(chunk.next, segment.end, max(0, segment.values_end - chunk.values))
            chunk.next, chunk.values = segment.end, segment.values_end
            return chunk
        salt, at = salt_of(segment.name), chunk.offset
        data, base, stop = b"", at, at + max_bytes
        while chunk.next < segment.end and len(chunk.entries) < max_messages and (at < stop or not chunk.entries):
            data, base = self._window(fd, data, base, at, segment.size)
            entry = entry_at(data, at - base, salt)
            if entry is None:
                self._find_hole(fd, segment, chunk, at)
                break
            if entry.kind != MARK and entry.number >= chunk.next:
                chunk.next, chunk.values = entry.number + 1, entry.values_before + entry.values
                if entry.number not in done:
                    message = self._decoder.message(data, at - base, entry)
                    record = Record(number_of(entry.lane, entry.number), message, entry.appended_ns)
                    chunk.entries.append((at, entry, record))
            at += entry.length
            chunk.offset = at
        return chunk

    def _window(self, fd: int, data: bytes, base: int, at: int, size: int) -> tuple[bytes, int]:
        """Data that holds the whole record at this place, if the file does; and the place where the data begins."""
        while True:
            have = base + len(data) - at
            need = HEAD.size if have < HEAD.size else length_at(data, at - base) or 0
            if need <= have or base + len(data) >= size:
                return data, base
            data, base = read_tolerant(self._files, fd, min(size - at, max(_CHUNK_BYTES, need)), at), at
            if len(data) < min(size - base, need):
                return data, base  # the file is shorter than it was: damage

    def _find_hole(self, fd: int, segment: Segment, chunk: _Chunk, at: int) -> None:
        """From damage to the next intact record, or to the end of the segment."""
        data = read_tolerant(self._files, fd, segment.size - at, at)
        found = next_entry(data, 1, salt_of(segment.name))
        until, values, behind = segment.end, segment.values_end, segment.size
        if found is not None and found[1].number < until:
            until, values, behind = found[1].number, found[1].values_before, at + found[0]
        until = max(until, chunk.next)
        if until > chunk.next:
            chunk.hole = Hole(chunk.next, until, max(0, values - chunk.values))
        chunk.next, chunk.values, chunk.offset = until, max(values, chunk.values), behind

    def _file(self, name: str) -> int:
        if self._open is None or self._open[0] != name:
            if self._open is not None:
                self._files.close(self._open[1])
                self._open = None
            self._open = (name, self._files.open(self._folder / name, write=False))
        return self._open[1]
