"""Opening a folder: lock it, read what is there, put right what is torn, and say what is lost.

Only the newest segment of each lane is read as a whole; older ones are known from the headers around them and are
checked when they are read.  Damage never keeps the gateway from starting.  Sequence numbers are *proven* when no
durable record can be missing behind the last one found; whenever that is in doubt, a new epoch begins and with it new
streams.
"""

import contextlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError

from gateway.errors import ConfigError
from gateway.outbox.clock import Clock
from gateway.outbox.files import Files
from gateway.outbox.losses import Item, Ledger, Loss
from gateway.outbox.record import LAST, MARK, entries, mark_of, next_entry, stream_of
from gateway.outbox.segment import (
    LANES,
    Header,
    Lane,
    Segment,
    decode_header,
    header_bytes,
    parse_name,
    salt_of,
    token_bytes,
)
from gateway.outbox.slots import Slots
from gateway.outbox.writer import Books, Mark

_log = structlog.get_logger("gateway.outbox")
_QUARANTINE_BYTES = 64 * 2**20


class State(BaseModel):
    """The note of an earlier run: see `Writer.write_state`."""

    epoch: str
    clean: bool
    commit: str
    boot: str
    wall_ns: int
    clock_ns: int
    ends: list[tuple[int, int]]


@dataclass(slots=True)
class Cursor:
    """How far one reader has come: of each lane, the lowest number not acknowledged and the values before it."""

    slots: Slots
    places: list[tuple[int, int]]
    fresh: bool = False


@dataclass(slots=True)
class Found:
    """An opened folder."""

    folder: Path
    lock: int
    epoch: str
    lanes: list[Lane]
    books: Books
    state: Slots
    ledger: Ledger
    cursors: dict[str, Cursor]
    losses: list[Loss] = field(default_factory=list)


@dataclass(slots=True)
class _Tail:
    """The newest segment of a lane, read as a whole."""

    segment: Segment
    good: int
    """Offset behind the last complete append."""
    garbage: bool
    """There are bytes behind it."""
    holes: bool
    """There is damage before it, or in the header."""


def lock_folder(files: Files, folder: Path) -> int:
    """One writer per folder.  Raises `ConfigError` when there is another, or when the folder cannot be written."""
    try:
        files.make_folder(folder)
        files.make_folder(folder / "quarantine")
        fd = files.open(folder / "LOCK", create=True)
        if not files.lock(fd):
            holder = files.read(fd, 200, 0).decode("utf-8", "replace").strip() or "another process"
            files.close(fd)
            raise ConfigError([f"the outbox {folder} is in use by {holder}: give each gateway a folder of its own"])
        files.truncate(fd, 0)
        files.write(fd, files.process().encode(), 0)
    except OSError as error:
        raise ConfigError([f"cannot use the outbox folder {folder}: {error.strerror or error}"]) from error
    return fd


def recover(files: Files, folder: Path, clock: Clock, readers: tuple[str, ...]) -> Found:
    """Open a folder.  Raises `ConfigError` only for what a person has to put right."""
    lock = lock_folder(files, folder)
    try:
        return _opened(files, folder, clock, readers, lock)
    except OSError as error:
        files.close(lock)
        raise ConfigError([f"cannot use the outbox folder {folder}: {error.strerror or error}"]) from error
    except BaseException:
        files.close(lock)
        raise


def _opened(files: Files, folder: Path, clock: Clock, readers: tuple[str, ...], lock: int) -> Found:
    state_slots = Slots(files, folder / "state")
    state = _state_of(state_slots)
    names = files.names(folder)
    for name in names:
        if name.endswith(".seg.new"):
            files.remove(folder / name)
    books, lanes, proven = Books(), [Lane(index) for index in range(len(LANES))], state is not None
    epochs: list[str] = [state.epoch] if state else []
    for lane in lanes:
        own = sorted(parsed for name in names if (parsed := parse_name(name)) and parsed[0] == lane.index)
        tail = _lane(files, folder, lane, [first for _, first in own], books, epochs)
        proven &= _is_proven(files, state, lane, tail)
        if tail is not None and tail.garbage:
            _cut(files, folder, tail, books_doubtful=not proven)
        books.tails[lane.index] = lane.end
    is_new = not names or not any(parse_name(name) for name in names)
    if is_new and state is None:
        proven = False
    epoch = epochs[0] if proven and epochs else secrets.token_hex(4)
    if not proven and not is_new:
        _log.warning("sequence numbers cannot be proven: beginning a new epoch", epoch=epoch, before=epochs[:1])
    found = Found(folder, lock, epoch, lanes, books, state_slots, Ledger(files, folder / "ledger"), {})
    _settle_ends(found, state)
    clock.carry_on(*_last_clock(state, lanes))
    _open_cursors(files, found, readers)
    found.ledger.note(found.losses)
    found.ledger.write()
    return found


def _state_of(slots: Slots) -> State | None:
    if slots.found is None:
        return None
    try:
        return State.model_validate(slots.found)
    except ValidationError:
        return None


def _last_clock(state: State | None, lanes: list[Lane]) -> tuple[int, int]:
    stored = max((segment.last_clock_ns for lane in lanes for segment in lane.segments), default=0)
    return (max(stored, state.clock_ns), state.wall_ns) if state else (stored, 0)


def _lane(files: Files, folder: Path, lane: Lane, firsts: list[int], books: Books, epochs: list[str]) -> _Tail | None:
    """Fill a lane from its files."""
    tail: _Tail | None = None
    headers = [(first, _header(files, folder, lane.index, first)) for first in firsts]
    for n, (first, found) in enumerate(headers):
        following = headers[n + 1] if n + 1 < len(headers) else None
        if found is not None:
            _take_header(found[0], books, epochs)
        if found is not None and following is not None and following[1] is not None:
            lane.segments.append(_between(files, folder, found, following[1][0]))
            continue
        tail = _read_tail(files, folder, lane.index, first, found, books)
        if following is not None:
            tail.segment.end = min(tail.segment.end, following[0])
        lane.segments.append(tail.segment)
    if lane.segments:
        lane.end, lane.values_end = lane.segments[-1].end, lane.segments[-1].values_end
    return tail


def _take_header(header: Header, books: Books, epochs: list[str]) -> None:
    if header.epoch not in epochs:
        epochs.append(header.epoch)
    for stream, (lane, seq, values) in header.streams.items():
        _, known, _ = books.streams.get(stream, (lane, 0, 0))
        if seq > known:
            books.streams[stream] = (lane, seq, values)
    for source, (order, text) in header.marks.items():
        _take_mark(books, Mark(source, token_bytes(text), order))


def _take_mark(books: Books, mark: Mark) -> None:
    known = books.marks.get(mark.source)
    if known is None or mark.order > known.order:
        books.marks[mark.source] = mark


def _header(files: Files, folder: Path, lane: int, first: int) -> tuple[Header, int] | None:
    fd = files.open(folder / _name(lane, first), write=False)
    try:
        data = files.read(fd, 64 * 1024, 0)
        wanted = header_bytes(data)
        if wanted is not None and wanted > len(data):
            data = files.read(fd, min(wanted, files.size(fd)), 0)
    finally:
        files.close(fd)
    found = decode_header(data)
    return found if found is not None and (found[0].lane, found[0].first) == (lane, first) else None


def _name(lane: int, first: int) -> str:
    from gateway.outbox.segment import name_of

    return name_of(lane, first)


def _between(files: Files, folder: Path, found: tuple[Header, int], following: Header) -> Segment:
    header, body = found
    fd = files.open(folder / _name(header.lane, header.first), write=False)
    try:
        size = files.size(fd)
    finally:
        files.close(fd)
    return Segment(
        header.lane, header.first, following.previous_end, body, size, header.values_before, following.values_before,
        header.clock_ns, following.clock_ns,
    )  # fmt: skip


def _read_tail(
    files: Files, folder: Path, lane: int, first: int, found: tuple[Header, int] | None, books: Books
) -> _Tail:
    """Read a segment to its end, taking counters and marks from complete appends."""
    name = _name(lane, first)
    fd = files.open(folder / name, write=False)
    try:
        data = files.read(fd, files.size(fd), 0)
    finally:
        files.close(fd)
    salt = salt_of(name)
    start = next_entry(data, 0, salt)
    body = found[1] if found else start[0] if start else len(data)
    values = found[0].values_before if found else start[1].values_before if start else 0
    clock = found[0].clock_ns if found else start[1].clock_ns if start else 0
    segment = Segment(lane, first, first, body, body, values, values, clock, clock)
    tail = _Tail(segment, body, garbage=False, holes=found is None)
    _walk(data, salt, tail, books)
    tail.garbage = tail.good < len(data)
    segment.size = tail.good
    return tail


def _walk(data: bytes, salt: int, tail: _Tail, books: Books) -> None:
    at, segment = tail.segment.body, tail.segment
    waiting: list[tuple[str, int, int]] = []
    while (found := next_entry(data, at, salt)) is not None:
        tail.holes |= found[0] != at
        at, entry = found
        if entry.kind == MARK:
            _take_mark(books, Mark(*mark_of(data, at, entry), entry.seq))
        else:
            waiting.append((stream_of(data, at, entry), entry.seq, entry.values))
        at += entry.length
        if not entry.flags & LAST:
            continue
        for stream, seq, values in waiting:
            _, known, total = books.streams.get(stream, (0, 0, 0))
            if seq > known:
                books.streams[stream] = (segment.lane, seq, total + values)
        waiting.clear()
        tail.good, segment.last_clock_ns = at, entry.clock_ns
        segment.end = entry.number + (entry.kind != MARK)
        segment.values_end = entry.values_before + entry.values


def _is_proven(files: Files, state: State | None, lane: Lane, tail: _Tail | None) -> bool:
    """Whether no durable record can be missing behind the last one of this lane."""
    if state is None or state.ends[lane.index][0] > lane.end:
        return False
    same_boot = state.boot != "" and state.boot == files.boot()
    if not (same_boot or state.clean or state.commit == "fdatasync"):
        return False
    return tail is None or not (tail.holes or (tail.garbage and not same_boot))


def _cut(files: Files, folder: Path, tail: _Tail, books_doubtful: bool) -> None:
    """Truncate a torn tail; when it may have been more than torn, keep its bytes in quarantine."""
    path = folder / tail.segment.name
    fd = files.open(path)
    try:
        size = files.size(fd)
        if books_doubtful:
            keep_damaged(files, folder, tail.segment.name, tail.good, files.read(fd, size - tail.good, tail.good))
        with contextlib.suppress(OSError):
            files.truncate(fd, tail.good)
    finally:
        files.close(fd)
    _log.info("an unfinished write was cut off", segment=tail.segment.name, bytes=size - tail.good)


def keep_damaged(files: Files, folder: Path, name: str, offset: int, data: bytes) -> None:
    """A copy of damaged bytes for people to look at, as long as there is room; never an error."""
    kept = folder / "quarantine" / f"{name}.{offset}"
    with contextlib.suppress(OSError):
        fd = files.open(kept, create=True)
        try:
            files.write(fd, data[:_QUARANTINE_BYTES], 0)
        finally:
            files.close(fd)


def _settle_ends(found: Found, state: State | None) -> None:
    """Lost tails: the lane goes on behind the highest number that was ever durable."""
    for lane in found.lanes:
        number, values = state.ends[lane.index] if state else (lane.end, lane.values_end)
        if number > lane.end:
            found.losses.append(_corrupt(found, lane.end, number, values - lane.values_end, ()))
            lane.end = number
        found.books.ends[lane.index] = (lane.end, lane.values_end)


def _corrupt(found: Found, first: int, end: int, values: int, readers: tuple[str, ...]) -> Loss:
    return Loss(found.ledger.next_id(), "", 0, 0, end - first, max(0, values), "corrupt", 0, 0, readers)


def _open_cursors(files: Files, found: Found, readers: tuple[str, ...]) -> None:
    names = {name.removesuffix(".cursor") for name in files.names(found.folder) if name.endswith(".cursor")}
    for name in sorted(names - set(readers) if readers else ()):
        _log.info("a reader that is not configured any more was forgotten", reader=name)
        files.remove(found.folder / f"{name}.cursor")
        names.discard(name)
    for name in sorted(names | set(readers)):
        found.cursors[name] = open_cursor(files, found.folder, name, found.lanes)
        _put_right(found, name)


def open_cursor(files: Files, folder: Path, name: str, lanes: list[Lane]) -> Cursor:
    """A reader's cursor; at the oldest record when it is new or damaged."""
    slots = Slots(files, folder / f"{name}.cursor")
    oldest = [
        (lane.segments[0].first, lane.segments[0].values_before) if lane.segments else (lane.end, lane.values_end)
        for lane in lanes
    ]
    try:
        places = _Places.model_validate(slots.found or {"places": oldest}).places
    except ValidationError:
        places = oldest
    if slots.found is None and not slots.was_new:
        _log.warning("a damaged cursor: everything stored is delivered again", reader=name)
    return Cursor(slots, places, fresh=slots.found is None)


class _Places(BaseModel):
    places: list[tuple[int, int]]


def _put_right(found: Found, name: str) -> None:
    """A cursor before the oldest record has lost what lies between; one behind the end stands at the end."""
    cursor = found.cursors[name]
    for lane, (number, values) in zip(found.lanes, cursor.places, strict=True):
        first = lane.segments[0] if lane.segments else None
        start = (first.first, first.values_before) if first else (lane.end, lane.values_end)
        if number < start[0]:
            found.losses.append(_corrupt(found, number, start[0], start[1] - values, (name,)))
            cursor.places[lane.index] = start
        elif number > lane.end:
            lane.end = number
            found.books.ends[lane.index] = (number, lane.values_end)
        if cursor.places[lane.index][0] >= lane.end:
            cursor.places[lane.index] = (lane.end, lane.values_end)


def read_items(files: Files, folder: Path, segment: Segment) -> list[Item]:
    """The intact messages of a segment, in order."""
    fd = files.open(folder / segment.name, write=False)
    try:
        data = files.read(fd, segment.size, 0)
    finally:
        files.close(fd)
    return [
        Item(entry.number, stream_of(data, at, entry), entry.seq, entry.values, entry.appended_ns)
        for at, entry in entries(data, segment.body, salt_of(segment.name))
        if entry.kind != MARK and entry.number < segment.end
    ]
