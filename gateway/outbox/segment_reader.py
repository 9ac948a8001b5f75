"""Reads stored records from segment files, a piece at a time, in the reading thread of one reader.

Damage is skipped up to the next intact record or the end of the segment, and reported as a `Hole`.
"""

from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from gateway.model import Message
from gateway.outbox.files import Files
from gateway.outbox.record import CHECKPOINT, HEAD, Decoder, Entry, entry_at, length_at, next_entry
from gateway.outbox.scan import Hole, read_tolerant
from gateway.outbox.segment import Segment, number_of, salt_of

CHUNK_BYTES = 2**18


class Record(Struct, frozen=True):
    """A stored message.  Acknowledge it with `number`."""

    number: int
    message: Message
    appended_at_ns: int
    """Wall clock, nanoseconds since 1970."""


@dataclass(slots=True)
class Chunk:
    """What to read of a segment; afterwards, what was found."""

    offset: int
    next: int
    values: int
    """Values of all records below `next`."""
    end: int
    """Where to stop at the latest."""
    end_values: int
    """Values of all records below `end`."""
    done: frozenset[int]
    """Numbers to skip."""
    entries: list[tuple[int, Entry, Record]] = field(default_factory=list)
    hole: Hole | None = None


class SegmentReader:
    """Keeps the last file open."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._decoder = Decoder()
        self._open: tuple[str, int] | None = None

    def read(self, segment: Segment, chunk: Chunk, max_messages: int, max_bytes: int) -> Chunk:
        """Read intact records.  Stop at the limits, at the end of the durable records, or at damage.

        Raises `OSError` when the file cannot be opened.  A missing file counts as damage.
        """
        try:
            fd = self._file(segment.name)
        except FileNotFoundError:
            chunk.hole = Hole(chunk.next, chunk.end, max(0, chunk.end_values - chunk.values))
            chunk.next, chunk.values = chunk.end, chunk.end_values
            return chunk
        salt, at = salt_of(segment.name), chunk.offset
        data, base, stop = b"", at, at + max_bytes
        while chunk.next < chunk.end and len(chunk.entries) < max_messages and (at < stop or not chunk.entries):
            data, base = self._window(fd, data, base, at, segment.size)
            entry = entry_at(data, at - base, salt)
            if entry is None:
                self._find_hole(fd, segment, chunk, at)
                break
            if entry.kind != CHECKPOINT and entry.number >= chunk.next:
                chunk.next, chunk.values = entry.number + 1, entry.values_before + entry.values
                if entry.number not in chunk.done:
                    message = self._decoder.message(data, at - base, entry)
                    record = Record(number_of(entry.lane, entry.number), message, entry.appended_ns)
                    chunk.entries.append((at, entry, record))
            at += entry.length
            chunk.offset = at
        return chunk

    def close(self) -> None:
        if self._open is not None:
            self._files.close(self._open[1])
            self._open = None

    def _window(self, fd: int, data: bytes, base: int, at: int, size: int) -> tuple[bytes, int]:
        """Data that contains the whole record at this offset, if the file does; and the offset of the data."""
        while True:
            have = base + len(data) - at
            need = HEAD.size if have < HEAD.size else length_at(data, at - base) or 0
            if need <= have or base + len(data) >= size:
                return data, base
            data, base = read_tolerant(self._files, fd, min(size - at, max(CHUNK_BYTES, need)), at), at
            if len(data) < min(size - base, need):
                return data, base  # the file has become shorter: damage

    def _find_hole(self, fd: int, segment: Segment, chunk: Chunk, at: int) -> None:
        """Extend the damage to the next intact record, or to the end of the segment."""
        data = read_tolerant(self._files, fd, segment.size - at, at)
        found = next_entry(data, 1, salt_of(segment.name))
        until, values, behind = chunk.end, chunk.end_values, segment.size
        if found is not None and found[1].number < until:
            until, values, behind = found[1].number, found[1].values_before, at + found[0]
        until = max(until, chunk.next)
        if until > chunk.next:
            chunk.hole = Hole(chunk.next, until, max(0, values - chunk.values))
        chunk.next, chunk.values, chunk.offset = until, max(values, chunk.values), behind

    def _file(self, name: str) -> int:
        if self._open is None or self._open[0] != name:
            self.close()
            self._open = (name, self._files.open(self._folder / name, write=False))
        return self._open[1]
