"""Opening a folder: lock it, read its content, repair torn ends, and report losses.

Only the newest segment of each lane is read as a whole.  Older ones are known from the headers around them, and are
checked when they are read.  Damage never prevents a start.  Sequence numbers are *proven* when no durable record can be
missing behind the last one found.  If that is in doubt, a new epoch begins, and with it new streams.

Four facts prove it: the note of the last run is intact and not ahead of the log, no reader is ahead of the log either,
the newest segment of each lane is whole, and what may be torn at its end was never readable.  Within one boot of the
machine the note is exact, since it belongs to each commit and is written before anybody may read.  Records behind it
were never promised, may be in the page cache only (after a failed sync), and are rolled back.  After a power cut the
note may be older.  Then all complete appends on the disk count, and torn bytes behind them prove nothing.
"""

import contextlib
import errno
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError, model_validator

from gateway.errors import EXIT_IN_USE, ConfigError, Unavailable
from gateway.model import Loss
from gateway.outbox.clock import Clock
from gateway.outbox.cursors import Cursor, Noted, at_the_oldest, begun_cursor, fitted, following, furthest, read_cursors
from gateway.outbox.disk_trouble import text_of
from gateway.outbox.double_buffered_file import DoubleBufferedFile
from gateway.outbox.files import Files
from gateway.outbox.lanes import DEFAULT_ROUTE, Lanes
from gateway.outbox.losses import Ledger
from gateway.outbox.scan import Tail, read_header, read_tail, read_tolerant
from gateway.outbox.segment import PRIORITIES, Header, Lane, Segment, parse_name, token_bytes
from gateway.outbox.unacked_range import Places, ranges_of
from gateway.outbox.writer import Books, Checkpoint

_log = structlog.get_logger("gateway.outbox")
_QUARANTINE_BYTES = 64 * 2**20
_QUARANTINE_FILES = 100
_PASSING = (errno.EROFS, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)
"""Errors of a disk or a machine that can pass, unlike those of a configuration."""


class State(BaseModel):
    """The note of an earlier run: see `Writer.write_state`."""

    epoch: str
    clean: bool
    commit: str
    boot: str
    wall_ns: int
    clock_ns: int
    latest_ns: int = 0
    lanes: list[tuple[int, int, int, int, int]]
    """For each lane with files: the end of its records (number and sum of values), and first number and size of its
    newest segment."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_route(cls, data: object) -> object:
        """Read a note from before there were routes: three lanes in two lists."""
        if isinstance(data, dict) and "ends" in data and "files" in data:
            pairs = zip(data["ends"], data["files"], strict=True)
            return {**data, "lanes": [(lane, *end, *file) for lane, (end, file) in enumerate(pairs)]}
        return data

    def end_of(self, lane: int) -> tuple[int, int]:
        return next(((end, values) for index, end, values, _, _ in self.lanes if index == lane), (0, 0))

    def file_of(self, lane: int) -> tuple[int, int]:
        return next(((first, size) for index, _, _, first, size in self.lanes if index == lane), (-1, 0))


TOO_MUCH_LEFT = "too much of its earlier payloads is undelivered: give it the last of these until then"
"""Why a broker cannot change its payload now."""


@dataclass(slots=True)
class Found:
    """An opened folder."""

    folder: Path
    lock: int
    epoch: str
    lanes: Lanes
    books: Books
    state: DoubleBufferedFile
    ledger: Ledger
    cursors: dict[str, Cursor]
    losses: list[Loss] = field(default_factory=list)
    """Losses that recovery has found."""

    def let_go(self, files: Files) -> None:
        """Close what was opened and never used."""
        for cursor in self.cursors.values():
            cursor.file.close()
        self.ledger.close()
        self.state.close()
        files.close(self.lock)


def recover(files: Files, folder: Path, clock: Clock, readers: Mapping[str, str | None]) -> Found:
    """Open a folder for readers and the routes that they follow.  None: the route that the reader followed before.

    Raises `ConfigError` only for what a person must repair, and `Unavailable` for an error of the disk that may pass:
    full, read-only after an error, out of descriptors.
    """
    lock = _lock(files, folder)
    with contextlib.ExitStack() as undo:
        undo.callback(files.close, lock)
        try:
            found = _opened(files, folder, clock, readers, lock)
        except OSError as error:
            raise _cannot_use(folder, error) from error
        undo.pop_all()
    return found


def _lock(files: Files, folder: Path) -> int:
    try:
        files.make_folder(folder / "quarantine")
        fd = files.open(folder / "LOCK", create=True)
        if not files.lock(fd):
            holder = files.read(fd, 200, 0).decode("utf-8", "replace").strip() or "another process"
            files.close(fd)
            text = f"the outbox {folder} is in use by {holder}: give each gateway a folder of its own"
            raise ConfigError([text], EXIT_IN_USE)
        with contextlib.suppress(OSError):  # a full disk: the next process does not learn who has it
            files.truncate(fd, 0)
            files.write(fd, files.process().encode(), 0)
    except OSError as error:
        raise _cannot_use(folder, error) from error
    return fd


def _cannot_use(folder: Path, error: OSError) -> ConfigError | Unavailable:
    text = f"cannot use the outbox folder {folder}: {text_of(error, folder)}"
    return Unavailable(text) if error.errno in _PASSING else ConfigError([text])


def _opened(files: Files, folder: Path, clock: Clock, readers: Mapping[str, str | None], lock: int) -> Found:
    names = files.names(folder)
    file = DoubleBufferedFile(files, folder / "state")
    state = _validated(State, file.found)
    books, epochs = Books(), [state.epoch] if state else []
    cursors = read_cursors(files, folder, names, readers)
    lanes = _lanes(names, state, [noted.at for noted in cursors.values() if noted.at is not None])
    proven = state is not None
    for lane in lanes:
        firsts = sorted(first for index, first in filter(None, map(parse_name, names)) if index == lane.index)
        exact = state.file_of(lane.index) if state and _is_same_boot(files, state) else None
        tail = _fill(files, folder, lane, firsts, books, epochs, exact, state.end_of(lane.index)[0] if state else 0)
        if lane.segments:
            newest, noted = lane.segments[-1], books.of(lane.index)
            noted.tail, noted.file, noted.file_bytes = lane.end, newest.first, newest.size
        ahead = max((furthest(noted.at, lane.index) for noted in cursors.values()), default=0)
        proven &= _is_proven(files, state, lane, tail, ahead)
        if tail is not None and tail.garbage:
            _cut(files, folder, tail, doubtful=not proven)
    epoch = epochs[0] if proven else secrets.token_hex(4)
    if epochs and not proven:
        _log.warning("sequence numbers cannot be proven: beginning new streams", epoch=epoch, before=epochs[0])
    for route, number in books.routes.items():
        lanes.learn(route, number)
    found = Found(folder, lock, epoch, lanes, books, file, Ledger(files, folder / "ledger"), {})
    clock.carry_on(*_last_clocks(state, lanes))
    _place_cursors(files, found, state, cursors, readers)
    _tidy(files, folder, names, found)
    return found


def _validated(model: type[State], body: object) -> State | None:
    try:
        return model.model_validate(body)
    except ValidationError:
        return None


def _last_clocks(state: State | None, lanes: Lanes) -> tuple[int, int, int]:
    stored = max((segment.last_clock_ns for lane in lanes for segment in lane.segments), default=0)
    return (max(stored, state.clock_ns), state.wall_ns, state.latest_ns) if state else (stored, 0, 0)


def _lanes(names: list[str], state: State | None, cursors: list[Places]) -> Lanes:
    """All lanes that have a file or a note."""
    lanes = Lanes()
    for index in {
        *(index for index, _ in filter(None, map(parse_name, names))),
        *(index for index, *_ in (state.lanes if state else ())),
        *(index for places in cursors for index, *_ in places.lanes),
    }:
        lanes[index]
    for places in cursors:
        followed = [index for index, *_ in places.lanes if any(each.is_open for each in ranges_of(index, places))]
        if followed:
            lanes.learn(places.route, followed[0] // len(PRIORITIES))
    return lanes


# -- segments


def _fill(
    files: Files, folder: Path, lane: Lane, firsts: list[int], books: Books, epochs: list[str],
    exact: tuple[int, int] | None, durable: int,
) -> Tail | None:  # fmt: skip
    """Fill a lane from its files, and the books from their content.  Returns the newest segment, read to its end.

    `exact` is the known end of the durable records: first number and size of a segment.  None: not known.  Records
    below `durable` were promised.
    """
    headers = [read_header(files, folder, lane.index, first) for first in firsts]
    tail: Tail | None = None
    for n, (first, found) in enumerate(zip(firsts, headers, strict=True)):
        if found is not None:
            _take_header(found[0], books, epochs)
        following = headers[n + 1] if n + 1 < len(headers) else None
        if found is not None and following is not None:
            lane.segments.append(_between(*found, following[0]))
            continue
        limit = None
        if exact is not None and first >= exact[0] and n + 1 == len(firsts):
            limit = exact[1] if first == exact[0] else found[1] if found else 0
        tail = read_tail(files, folder, (lane.index, first), found, limit, durable)
        if n + 1 < len(firsts):
            tail.segment.end = min(tail.segment.end, firsts[n + 1])  # higher numbers were written again
        else:
            _take_tail(tail, books)
        lane.segments.append(tail.segment)
    if lane.segments:
        lane.end, lane.values_end = lane.segments[-1].end, lane.segments[-1].values_end
    return tail


def _between(header: Header, body: int, size: int, following: Header) -> Segment:
    """A segment as its own header and the next one describe it."""
    return Segment(
        header.lane, header.first, following.previous_end, body, size, header.values_before,
        max(header.values_before, following.values_before), header.clock_ns, following.clock_ns,
    )  # fmt: skip


def _take_header(header: Header, books: Books, epochs: list[str]) -> None:
    if header.epoch not in epochs:
        epochs.append(header.epoch)
    books.routes.update(header.routes)
    for stream, (lane, seq, values) in header.streams.items():
        if seq > books.streams.get(stream, (lane, 0, 0))[1]:
            books.streams[stream] = (lane, seq, values)
    for source, (order, text) in header.checkpoints.items():
        _take_checkpoint(books, Checkpoint(source, token_bytes(text), order))


def _take_tail(tail: Tail, books: Books) -> None:
    for stream, (lane, seq, values) in tail.streams.items():
        _, known, total = books.streams.get(stream, (lane, 0, 0))
        if seq > known:
            books.streams[stream] = (lane, seq, total + values)
    for source, token, order in tail.checkpoints:
        _take_checkpoint(books, Checkpoint(source, token, order))


def _take_checkpoint(books: Books, checkpoint: Checkpoint) -> None:
    known = books.checkpoints.get(checkpoint.source)
    if known is None or checkpoint.order > known.order:
        books.checkpoints[checkpoint.source] = checkpoint


def _is_proven(files: Files, state: State | None, lane: Lane, tail: Tail | None, ahead: int) -> bool:
    """Whether no durable record can be missing behind the last one of this lane (see the module)."""
    if state is None or max(state.end_of(lane.index)[0], ahead) > lane.end:
        return False
    same_boot = _is_same_boot(files, state)
    if not (same_boot or state.clean or state.commit == "fdatasync"):
        return False
    return tail is None or not (tail.holed or (tail.garbage and not same_boot))


def _is_same_boot(files: Files, state: State) -> bool:
    return state.boot != "" and state.boot == files.boot()


def _cut(files: Files, folder: Path, tail: Tail, doubtful: bool) -> None:
    """Truncate a torn tail.  When more than a torn write may be in it, keep its bytes in quarantine."""
    segment = tail.segment
    fd = files.open(folder / segment.name)
    try:
        if doubtful:
            data = read_tolerant(files, fd, tail.garbage, segment.size)
            keep_damaged(files, folder, f"{segment.name}.{segment.size}", data)
        with contextlib.suppress(OSError):  # the first number of the next segment supersedes what is left
            files.truncate(fd, segment.size)
            files.sync(fd)
    finally:
        files.close(fd)
    _log.info("an unfinished write was cut off", segment=segment.name, bytes=tail.garbage)


def keep_damaged(files: Files, folder: Path, name: str, data: bytes) -> None:
    """Keep a copy of damaged bytes for people, if there is room.  Never an error."""
    with contextlib.suppress(OSError):
        if len(files.names(folder / "quarantine")) >= _QUARANTINE_FILES:
            return
        fd = files.open(folder / "quarantine" / name, create=True)
        try:
            files.write(fd, data[:_QUARANTINE_BYTES], 0)
        finally:
            files.close(fd)


def _tidy(files: Files, folder: Path, names: list[str], found: Found) -> None:
    """Remove unfinished segments."""
    for name in names:
        if name.endswith(".seg.new"):
            with contextlib.suppress(OSError):
                files.remove(folder / name)
    found.ledger.write()
    files.sync_folder(folder)


# -- cursors


def _place_cursors(
    files: Files, found: Found, state: State | None, cursors: dict[str, Noted], readers: Mapping[str, str | None]
) -> None:
    """Match cursors and lanes: what a reader still wanted and is missing is lost.

    A lane continues behind the highest number that was ever durable or acknowledged, so that no number is used twice.
    Readers with another route than before change over, and that is noted before anything else happens.
    """
    lanes = found.lanes
    kept = {lane.index: (lane.end, lane.values_end) for lane in lanes}
    durable = {lane.index: state.end_of(lane.index) if state else (0, 0) for lane in lanes}
    for lane in lanes:
        ahead = (furthest(noted.at, lane.index) for noted in cursors.values())
        lane.end = max(lane.end, durable[lane.index][0], *ahead, 0)
        if lane.end:
            books = found.books.of(lane.index)
            books.end, books.values_end = lane.end, lane.values_end
    for name, noted in cursors.items():
        route = readers.get(name)
        at, lost = fitted(noted.at or at_the_oldest(route or DEFAULT_ROUTE, lanes), lanes, kept, durable)
        found.cursors[name] = Cursor(noted.file, at) if noted.file else begun_cursor(files, found.folder, name, at)
        for messages, values in lost:
            _lose(found, name, messages, values)
    found.ledger.write()
    for name, cursor in found.cursors.items():
        route = readers.get(name)
        if route is not None and route != cursor.at.route:
            cursor.at = following(cursor.at, route, lanes)
            if not cursor.file.fits(cursor.at.model_dump()):
                text = "too much of its earlier payloads is undelivered: give it the last of these until then"
                raise ConfigError([f"{name}: {text}"])
            cursor.file.write(cursor.at.model_dump())
            cursor.file.sync()


def _lose(found: Found, reader: str, messages: int, values: int) -> None:
    loss = Loss(found.ledger.next_id(), "", 0, 0, messages, max(0, values), "corrupt", 0, 0, (reader,))
    _log.error("stored messages are missing", reader=reader, messages=loss.messages, values=loss.values)
    found.losses.append(loss)
    found.ledger.note([loss])
