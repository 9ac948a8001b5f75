"""Reads whole segment files: headers, the tail of the newest segment, intact messages and missing ones.

Runs in threads and at recovery.  A block that the disk cannot read counts as zeros, so that only its records are lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.model import UNIX_EPOCH_TICKS
from gateway.outbox.files import Files
from gateway.outbox.losses import Item
from gateway.outbox.record import CHECKPOINT, LAST, Entry, checkpoint_of, entries, next_entry, stream_of
from gateway.outbox.segment import Header, Segment, decode_header, header_bytes, name_of, salt_of

_BLOCK_BYTES = 4096
_HEADER_GUESS_BYTES = 2**16

Streams = Mapping[str, tuple[int, int, int]]
"""For each stream: lane, last sequence number, sum of values."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Damaged records from `number` up to, not including, `until`; `values` is what they carried."""

    number: int
    until: int
    values: int


@dataclass(slots=True)
class Tail:
    """A segment read to its end."""

    segment: Segment
    """The segment up to its last complete append."""
    garbage: int = 0
    """Number of bytes behind that append."""
    holed: bool = False
    """Whether there is damage before that, or in the header."""
    streams: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """For each stream in it: lane, last sequence number, sum of the values in this segment."""
    checkpoints: list[tuple[str, bytes, int]] = field(default_factory=list)


def read_tolerant(files: Files, fd: int, size: int, offset: int) -> bytes:
    """Like `Files.read`, with zeros for blocks that cannot be read."""
    try:
        return files.read(fd, size, offset)
    except OSError:
        if size <= _BLOCK_BYTES:
            return bytes(size)
    half = size // 2 // _BLOCK_BYTES * _BLOCK_BYTES or _BLOCK_BYTES
    return read_tolerant(files, fd, half, offset) + read_tolerant(files, fd, size - half, offset + half)


def read_file(files: Files, path: Path) -> bytes:
    """Everything that can be read of a file.  Empty when it is gone."""
    try:
        fd = files.open(path, write=False)
    except FileNotFoundError:
        return b""
    try:
        return read_tolerant(files, fd, files.size(fd), 0)
    finally:
        files.close(fd)


def read_header(files: Files, folder: Path, lane: int, first: int) -> tuple[Header, int, int] | None:
    """The header of a segment, the offset of its records, and the size of the file.  None: damaged or gone."""
    try:
        fd = files.open(folder / name_of(lane, first), write=False)
    except FileNotFoundError:
        return None
    try:
        size = files.size(fd)
        data = read_tolerant(files, fd, min(size, _HEADER_GUESS_BYTES), 0)
        wanted = header_bytes(data)
        if wanted is not None and len(data) < wanted <= size:
            data = read_tolerant(files, fd, wanted, 0)
    finally:
        files.close(fd)
    found = decode_header(data)
    if found is None or (found[0].lane, found[0].first) != (lane, first):
        return None
    return *found, size


def read_tail(
    files: Files, folder: Path, place: tuple[int, int], found: tuple[Header, int, int] | None, limit: int | None,
    durable: int,
) -> Tail:  # fmt: skip
    """Read the segment of this lane and first number to its end or to `limit`.

    Without a header it starts with the first intact record.  Records below `durable` count even if their append is
    torn.
    """
    lane, first = place
    data = read_file(files, folder / name_of(lane, first))
    size, data = len(data), data[:limit]
    salt = salt_of(name_of(lane, first))
    if found is not None:
        header, body, _ = found
        values, clock = header.values_before, header.clock_ns
    else:
        start = next_entry(data, 0, salt)
        body = start[0] if start else 0
        values, clock = (start[1].values_before, start[1].clock_ns) if start else (0, 0)
    tail = Tail(Segment(lane, first, first, body, body, values, values, clock, clock), holed=found is None)
    _walk(data, salt, tail, durable)
    tail.garbage = size - tail.segment.size
    return tail


def _walk(data: bytes, salt: int, tail: Tail, durable: int) -> None:
    at, segment = tail.segment.body, tail.segment
    waiting: list[tuple[str, Entry]] = []
    while (found := next_entry(data, at, salt)) is not None:
        tail.holed |= found[0] != at
        at, entry = found
        if entry.kind == CHECKPOINT:
            tail.checkpoints.append((*checkpoint_of(data, at, entry), entry.seq))
        else:
            waiting.append((stream_of(data, at, entry), entry))
        at += entry.length
        if not entry.flags & LAST and entry.number >= durable:
            continue
        for stream, each in waiting:
            _, seq, values = tail.streams.get(stream, (segment.lane, 0, 0))
            tail.streams[stream] = (segment.lane, max(seq, each.seq), values + each.values)
        waiting.clear()
        segment.size, segment.last_clock_ns = at, entry.clock_ns
        segment.end = entry.number + (entry.kind != CHECKPOINT)
        segment.values_end = entry.values_before + entry.values


def read_items(files: Files, folder: Path, segment: Segment) -> tuple[list[Item], list[Hole]]:
    """The intact messages of a segment, in order, and the damage between them."""
    data = read_file(files, folder / segment.name)[: segment.size]
    items: list[Item] = []
    holes: list[Hole] = []
    number, values = segment.first, segment.values_before
    for at, entry in entries(data, segment.body, salt_of(segment.name)):
        if entry.kind == CHECKPOINT or not number <= entry.number < segment.end:
            continue
        if entry.number > number:
            holes.append(Hole(number, entry.number, max(0, entry.values_before - values)))
        oldest_ns = (entry.oldest_ticks - UNIX_EPOCH_TICKS) * 100 if entry.oldest_ticks else 0
        stream = stream_of(data, at, entry)
        items.append(Item(entry.number, stream, entry.seq, entry.values, entry.appended_ns, oldest_ns))
        number, values = entry.number + 1, entry.values_before + entry.values
    if number < segment.end:
        holes.append(Hole(number, segment.end, max(0, segment.values_end - values)))
    return items, holes


def missing_in(
    files: Files, folder: Path, segment: Segment, following: Segment | None, newest: Streams | None
) -> tuple[list[Item], int, int]:
    """What is missing in a damaged segment, by the counters before and after it: the known messages, and the number and
    the values of the others.

    `following` is the next segment, `newest` the present counters.  None: these counters are not used.
    """
    items, holes = read_items(files, folder, segment)
    count, values = sum(hole.until - hole.number for hole in holes), sum(hole.values for hole in holes)
    before = read_header(files, folder, segment.lane, segment.first)
    after = read_header(files, folder, following.lane, following.first) if following else None
    streams = after[0].streams if after else newest or {} if following is None else {}
    known = missing(items, segment.lane, before[0].streams if before else None, streams) if newest is not None else []
    if len(known) > count:
        known = []  # the counters belong to another time: do not guess
    left = max(0, values - sum(item.values for item in known))
    if known and len(known) == count:
        # for the newest segment the counters give the number of messages, not of values
        return [*known[:-1], replace(known[-1], values=known[-1].values + left)], 0, 0
    return known, count - len(known), left


def missing(items: list[Item], lane: int, before: Streams | None, after: Streams) -> list[Item]:
    """The messages that a damaged segment must have held, by the counters around it.

    Streams of this lane count from `before` (or from the first message seen, where the header is damaged too) to
    `after`. Their numbers in the lane are unknown.  Of their values only the sum per stream is known; the first message
    gets it.
    """
    seen: dict[str, dict[int, Item]] = {}
    for item in items:
        seen.setdefault(item.stream, {})[item.seq] = item
    lost: list[Item] = []
    for stream, (its_lane, last, total) in after.items():
        have = seen.get(stream, {})
        if its_lane != lane or (before is None and not have):
            continue
        _, start, earlier = before.get(stream, (lane, 0, 0)) if before is not None else (lane, min(have) - 1, -1)
        values = total - earlier - sum(item.values for item in have.values()) if earlier >= 0 else 0
        for seq in range(start + 1, last + 1):
            if seq not in have:
                lost.append(Item(-1, stream, seq, max(0, values), 0))
                values = 0
    return lost
