"""The writing side: one thread appends to the active segment of each lane and makes the records durable.

After a failed write or sync the segment ends at its last durable byte and is never written again, because the page
cache proves nothing after a failed sync.  The caller tries the same part again, and that starts a new segment.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec import Struct

from gateway.model import Message
from gateway.outbox.clock import Clock
from gateway.outbox.double_buffered_file import DoubleBufferedFile
from gateway.outbox.files import Files
from gateway.outbox.lanes import Lanes
from gateway.outbox.recent import Kept
from gateway.outbox.record import Encoder, Stamp
from gateway.outbox.segment import Header, Segment, encode_header, name_of, salt_of, token_text

MUCH_FREE_BYTES = 2**28
"""While this much of the disk is free, the free space is measured once a second and computed in between."""
ASK_FREE_EVERY_NS = 10**9


class Checkpoint(Struct, frozen=True):
    source: str
    token: bytes
    order: int


@dataclass(frozen=True, slots=True)
class Part:
    """The content of one commit for one lane: messages and checkpoints in order, each with the flag `LAST`."""

    lane: int
    items: list[tuple[Message | Checkpoint, bool]]
    most_bytes: int
    """The largest size of its records."""


@dataclass(slots=True)
class LaneBooks:
    """The end of the durable records of a lane."""

    end: int = 0
    """The number of the next record."""
    values_end: int = 0
    """The sum of values of all records before it."""
    tail: int = 0
    """One more than the number of the last record that a file holds."""
    file: int = -1
    """First number of its newest segment with durable records."""
    file_bytes: int = 0
    """The size of that file."""


@dataclass(slots=True)
class Books:
    """Counters and checkpoints up to the last durable record."""

    streams: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """For each stream: lane, last sequence number, sum of values."""
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    routes: dict[str, int] = field(default_factory=dict)
    """The number of each route, as far as headers say."""
    lanes: dict[int, LaneBooks] = field(default_factory=dict)
    """For each lane with records."""

    def of(self, lane: int) -> LaneBooks:
        found = self.lanes.get(lane)
        if found is None:
            found = self.lanes[lane] = LaneBooks()
        return found


@dataclass(frozen=True, slots=True)
class Written:
    """What became durable."""

    segment: Segment
    """The active segment of the lane, with its new end."""
    records: list[Kept] = field(default_factory=list)
    """The messages and their places."""
    free_bytes: int | None = None
    """Free space on the disk, where known."""


@dataclass(slots=True)
class _Active:
    fd: int
    segment: Segment


class Writer:
    """Owns the active segments.  All methods run in the outbox's writing thread and may raise `OSError`."""

    def __init__(
        self,
        files: Files,
        folder: Path,
        epoch: str,
        books: Books,
        state: DoubleBufferedFile,
        clock: Clock,
        commit: str,
        deflate: bool,
        lanes: Lanes,
    ) -> None:
        self._files = files
        self._folder = folder
        self._epoch = epoch
        self.books = books
        self._state = state
        self._clock = clock
        self._commit = commit
        self._boot = files.boot()
        self._encoder = Encoder(deflate)
        self._lanes = lanes
        self._active: dict[int, _Active] = {}
        self._free: int | None = None
        self._ask_again_ns = 0

    def write(self, part: Part, segment_bytes: int) -> Written:
        """Make a part durable, in a new segment if the active one is full."""
        active = self._active.get(part.lane)
        if active is None or self.is_full(part.lane, segment_bytes):
            self._finish(active)
            active = self._begin(part.lane)
        segment = active.segment
        data, values, clock_ns, records = self._encoded(part, segment)
        try:
            self._files.write(active.fd, data, segment.size)
            if self._commit == "fdatasync":
                self._files.sync(active.fd)
            after = replace(
                segment,
                size=segment.size + len(data),
                end=segment.end + len(records),
                values_end=segment.values_end + values,
                last_clock_ns=clock_ns,
            )
            self._note_end(after)
        except OSError:
            self._give_up(part.lane)
            raise
        active.segment = after
        self._book(part)
        return Written(after, records, self._free_after(len(data)))

    def write_all(self, parts: Sequence[Part], segment_bytes: int) -> tuple[list[Written], OSError | None]:
        """Make parts durable one after the other, up to the first error."""
        written: list[Written] = []
        try:
            for part in parts:
                written.append(self.write(part, segment_bytes))
        except OSError as error:
            return written, error
        return written, None

    def _finish(self, active: _Active | None) -> None:
        """Sync a segment that is left.

        With `commit: os` nothing else syncs it, so a power cut costs only the newest.
        """
        if active is not None and self._commit == "os":
            with contextlib.suppress(OSError):  # `commit: os` promises no more
                self._files.sync(active.fd)

    def begin(self, lane: int) -> Written:
        """Start a new segment, so that the one before can go."""
        return Written(replace(self._begin(lane).segment), free_bytes=self._free_after(0))

    def write_state(self, clean: bool = False) -> None:
        """Note the end of the durable records.  At the next start a shorter log is a damaged one.  Records behind the
        end, in the same boot, were never promised."""
        body = {
            "epoch": self._epoch,
            "clean": clean,
            "commit": self._commit,
            "boot": self._boot,
            "wall_ns": self._clock.wall_ns,
            "clock_ns": self._clock.age_ns,
            "latest_ns": self._clock.latest_ns,
            "lanes": [(lane, b.end, b.values_end, b.file, b.file_bytes) for lane, b in self.books.lanes.items()],
        }
        self._state.write(body)

    def _note_end(self, segment: Segment) -> None:
        books = self.books.of(segment.lane)
        before = (books.end, books.values_end, books.file, books.file_bytes)
        books.end, books.values_end, books.file, books.file_bytes = (
            segment.end, segment.values_end, segment.first, segment.size,
        )  # fmt: skip
        try:
            self.write_state()
        except OSError:
            books.end, books.values_end, books.file, books.file_bytes = before
            raise

    def sync(self) -> None:
        """For `commit: os`: sync at intervals and at the end."""
        for active in self._active.values():
            self._files.sync(active.fd)
        self._state.sync()

    def close(self) -> None:
        for active in self._active.values():
            self._files.close(active.fd)
        self._active.clear()

    def _free_after(self, written: int) -> int | None:
        """Free space on the disk: measured if little is left or the last measurement is old, otherwise computed."""
        now_ns = self._clock.age_ns
        if self._free is not None and self._free - written > MUCH_FREE_BYTES and now_ns < self._ask_again_ns:
            self._free -= written
            return self._free
        self._ask_again_ns = now_ns + ASK_FREE_EVERY_NS
        try:
            self._free = self._files.free_bytes(self._folder)
        except OSError:
            self._free = None
        return self._free

    def _encoded(self, part: Part, segment: Segment) -> tuple[bytes, int, int, list[Kept]]:
        lane, wall, clock = part.lane, self._clock.wall_ns, self._clock.age_ns
        salt, first, offset = salt_of(segment.name), segment.first, segment.size
        books = self.books.of(lane)
        number = books.end
        begun = before = books.values_end
        pieces: list[bytes] = []
        records: list[Kept] = []
        encode = self._encoder.message
        for item, last in part.items:
            stamp = Stamp(lane, number, before, wall, clock)
            if isinstance(item, Checkpoint):
                head, token = self._encoder.checkpoint(item.source, item.token, item.order, stamp, salt)
                pieces += (head, token)
                offset += len(head) + len(token)
                continue
            head, payload = encode(item, stamp, salt, last)
            pieces += (head, payload)
            end = offset + len(head) + len(payload)
            records.append(Kept(number, first, offset, end, before, wall, clock, item))
            offset = end
            number += 1
            before += item.values
        return b"".join(pieces), before - begun, clock, records

    def _book(self, part: Part) -> None:
        streams = self.books.streams
        for item, _ in part.items:
            if isinstance(item, Checkpoint):
                self.books.checkpoints[item.source] = item
            else:
                _, _, values = streams.get(item.stream, (0, 0, 0))
                streams[item.stream] = (part.lane, item.seq, values + item.values)
        books = self.books.of(part.lane)
        books.tail = books.end

    def is_full(self, lane: int, segment_bytes: int) -> bool:
        """Whether the next part of this lane starts a new segment."""
        active = self._active.get(lane)
        return active is None or active.segment.size >= segment_bytes

    def header_bytes(self, lanes: Sequence[int]) -> int:
        """The size of the headers of new segments of these lanes."""
        return sum(len(encode_header(self._header(lane))) for lane in lanes)

    def _header(self, lane: int) -> Header:
        books = self.books.of(lane)
        return Header(
            epoch=self._epoch, lane=lane, first=books.end, previous_end=books.tail, values_before=books.values_end,
            appended_ns=self._clock.wall_ns, clock_ns=self._clock.age_ns, streams=self.books.streams,
            checkpoints={checkpoint.source: (checkpoint.order, token_text(checkpoint.token)) for checkpoint in
            self.books.checkpoints.values()}, routes=self._lanes.named,
        )  # fmt: skip

    def _begin(self, lane: int) -> _Active:
        self._give_up(lane)
        header = self._header(lane)
        number, values, data = header.first, header.values_before, encode_header(header)
        fd = self._files.put(self._folder / name_of(lane, number), data)
        size, now = len(data), header.clock_ns
        active = self._active[lane] = _Active(fd, Segment(lane, number, number, size, size, values, values, now, now))
        return active

    def take_out(self, lanes: Sequence[int]) -> dict[int, LaneBooks]:
        """Note that these lanes are empty.  Returns their former books."""
        kept = self.books.lanes
        self.books.lanes = {lane: books for lane, books in kept.items() if lane not in lanes}
        try:
            self.write_state()
            self._state.sync()
        except OSError:
            self.books.lanes = kept
            raise
        return {lane: kept[lane] for lane in lanes if lane in kept}

    def _give_up(self, lane: int) -> None:
        active = self._active.pop(lane, None)
        if active is None:
            return
        with contextlib.suppress(OSError):  # the next segment's first number supersedes what remains
            if self._files.size(active.fd) > active.segment.size:
                self._files.truncate(active.fd, active.segment.size)
                self._files.sync(active.fd)
        self._files.close(active.fd)
