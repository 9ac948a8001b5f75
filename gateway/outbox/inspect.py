"""Inspection of an outbox folder from outside: shows its content without a gateway and without changing it.

All functions but `purge` open files for reading only and work beside a running gateway.  They may or may not see what
it writes meanwhile.  `purge` needs the lock.  Long work reports its progress in bytes.
"""

import itertools
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from gateway.errors import ConfigError
from gateway.model import Loss, Priority
from gateway.outbox.clock import Clock
from gateway.outbox.double_buffered_file import intact
from gateway.outbox.files import Files
from gateway.outbox.lanes import priority_of
from gateway.outbox.losses import stored_losses
from gateway.outbox.record import CHECKPOINT, Decoder, Entry, entries
from gateway.outbox.recover import Found, State, recover
from gateway.outbox.scan import read_file, read_header
from gateway.outbox.segment import PRIORITIES, number_of, parse_name, place_of, salt_of, segments_of
from gateway.outbox.segment_reader import Record
from gateway.outbox.unacked_range import Places
from gateway.outbox.writer import Writer

_log = structlog.get_logger("gateway.outbox")


@dataclass(frozen=True, slots=True)
class SegmentView:
    """One segment file."""

    name: str
    route: str
    """The route of its messages; `?` where the file does not say."""
    priority: Priority
    bytes: int
    messages: int
    """The number of intact messages."""
    values: int
    damaged_bytes: int
    first_appended_ns: int
    last_appended_ns: int
    """Wall clock, nanoseconds since 1970; 0 without a message."""


@dataclass(frozen=True, slots=True)
class ReaderView:
    """One reader, and what it has not acknowledged."""

    name: str
    messages: int
    values: int


@dataclass(frozen=True, slots=True)
class FolderView:
    """A whole outbox."""

    epoch: str
    """Empty when the note of the last run is missing or damaged."""
    clean: bool
    """Whether the last run ended in order."""
    segments: tuple[SegmentView, ...]
    readers: tuple[ReaderView, ...]
    losses: tuple[Loss, ...]
    """Losses that are not announced yet."""
    quarantined: tuple[str, ...]


Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


def _no_progress(done: int, total: int) -> None:
    """Progress that is not shown."""


@dataclass(frozen=True, slots=True)
class _File:
    """A whole segment file, without the records that the next segment repeats."""

    name: str
    lane: int
    first: int
    end: int
    data: bytes

    def records(self) -> Iterator[tuple[int, Entry]]:
        for at, entry in entries(self.data, 0, salt_of(self.name)):
            if entry.number < self.end + (entry.kind == CHECKPOINT):  # a checkpoint has the number of the next message
                yield at, entry

    def messages(self) -> Iterator[Record]:
        decoder = Decoder()
        for at, entry in self.records():
            if entry.kind != CHECKPOINT:
                message = decoder.message(self.data, at, entry)
                yield Record(number_of(self.lane, entry.number), message, entry.appended_ns)


def show(folder: Path, progress: Progress = _no_progress) -> FolderView:
    """Count the content of a folder.  Raises `ConfigError` when it is not an outbox."""
    segments, cursors = [], _cursors(folder)
    left = {name: [0, 0] for name in cursors}
    for file in _files(folder, progress):
        segments.append(_segment(folder, file))
        for _, entry in file.records():
            for name, at in cursors.items():
                if entry.kind != CHECKPOINT and at.wants(file.lane, entry.number):
                    left[name][0] += 1
                    left[name][1] += entry.values
    state, quarantine = _state(folder), folder / "quarantine"
    return FolderView(
        epoch=state.epoch if state else "",
        clean=state.clean if state else False,
        segments=tuple(segments),
        readers=tuple(ReaderView(name, *counts) for name, counts in sorted(left.items())),
        losses=stored_losses(read_file(Files(), folder / "ledger")),
        quarantined=tuple(Files().names(quarantine)) if quarantine.is_dir() else (),
    )


def peek(folder: Path, count: int, reader: str | None = None) -> list[Record]:
    """The oldest messages, or the next ones of a reader.  The most urgent lane comes first."""
    return list(itertools.islice(export(folder, reader), count))


def export(folder: Path, reader: str | None = None, progress: Progress = _no_progress) -> Iterator[Record]:
    """Every intact message, or those that a reader has not acknowledged: lane by lane, each in order."""
    cursors = _cursors(folder)
    if reader is not None and reader not in cursors:
        known = ", ".join(sorted(cursors)) or "none"
        raise ConfigError([f"the outbox {folder} has no reader {reader!r}; its readers: {known}"])
    at = cursors[reader] if reader is not None else None
    for file in _files(folder, progress):
        for record in file.messages():
            if at is None or at.wants(*place_of(record.number)):
                yield record


def purge(folder: Path, progress: Progress = _no_progress) -> tuple[int, int]:
    """Remove all stored messages.  Returns the number of messages and values.

    Counters and checkpoints stay, so numbers continue.  The removed messages are not announced, since the user removed
    them.  Raises `ConfigError` while a gateway uses the folder.
    """
    _names(folder)
    files, clock = Files(), Clock()
    found = recover(files, folder, clock, {})
    try:
        seen = show(folder, progress).segments
        _empty(files, found, clock)
        return sum(view.messages for view in seen), sum(view.values for view in seen)
    except OSError as error:
        raise ConfigError([f"cannot purge the outbox {folder}: {error.strerror or error}"]) from error
    finally:
        found.let_go(files)


def forget(folder: Path, kept: Collection[str]) -> None:
    """Remove every outbox in a folder of outboxes except those in `kept`, and log what was in them.

    For brokers that are not configured any more, and messages that nobody will read.
    """
    for other in _others(folder, kept):
        messages, values = purge(other)
        shutil.rmtree(other)
        if messages:
            _log.warning("a broker is not configured any more", removed=str(other), messages=messages, values=values)


def forget_empty(folder: Path, kept: Collection[str]) -> None:
    """The same for messages that people may want to read: an outbox with messages stays, and is logged, until somebody
    purges it."""
    for other in _others(folder, kept):
        if peek(other, 1):
            purging = f"look with `gateway outbox peek {other}`, remove with `gateway outbox purge {other}`"
            _log.warning("a broker is not configured any more", kept=str(other), next=purging)
        else:
            shutil.rmtree(other)


def _others(folder: Path, kept: Collection[str]) -> list[Path]:
    """The outboxes in a folder of outboxes whose names are not in `kept`."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [other for other in inside if other.name not in kept and (other / "LOCK").exists()]


def _empty(files: Files, found: Found, clock: Clock) -> None:
    """Start empty segments with all counters, move all readers there, remove the old segments."""
    books = found.books
    writer = Writer(files, found.folder, found.epoch, books, found.state, clock, "fdatasync", False, found.lanes)
    kept = {writer.begin(lane.index).segment.name for lane in found.lanes if lane.segments}
    writer.write_state(clean=True)
    writer.sync()
    for cursor in found.cursors.values():
        lanes = [(lane.index, lane.end, lane.values_end) for lane in found.lanes.of(cursor.at.route)]
        cursor.file.write(Places(route=cursor.at.route, lanes=lanes).model_dump())
        cursor.file.sync()
    for segment in segments_of(found.lanes):
        if segment.name not in kept:
            files.remove(found.folder / segment.name)
    writer.close()


def _names(folder: Path) -> list[str]:
    try:
        names = Files().names(folder)
    except OSError as error:
        raise ConfigError([f"cannot read the outbox {folder}: {error.strerror or error}"]) from error
    if "LOCK" not in names:
        raise ConfigError([f"{folder} is not the folder of an outbox"])
    return names


def _files(folder: Path, progress: Progress) -> Iterator[_File]:
    names = [(name, *parsed) for name in _names(folder) if (parsed := parse_name(name))]
    total, done = sum((folder / name).stat().st_size for name, _, _ in names), 0
    for n, (name, lane, first) in enumerate(names):
        data = read_file(Files(), folder / name)
        end = names[n + 1][2] if n + 1 < len(names) and names[n + 1][1] == lane else 2**63
        yield _File(name, lane, first, end, data)
        done += len(data)
        progress(done, total)


def _segment(folder: Path, file: _File) -> SegmentView:
    found = [entry for _, entry in file.records()]
    messages = [entry for entry in found if entry.kind != CHECKPOINT]
    header = read_header(Files(), folder, file.lane, file.first)
    intact_bytes = (header[1] if header else 0) + sum(entry.length for entry in found)
    return SegmentView(
        file.name, _route_of(file.lane, header[0].routes if header else {}), priority_of(file.lane), len(file.data),
        len(messages), sum(entry.values for entry in messages), len(file.data) - intact_bytes,
        messages[0].appended_ns if messages else 0, messages[-1].appended_ns if messages else 0,
    )  # fmt: skip


def _route_of(lane: int, numbers: Mapping[str, int]) -> str:
    number = lane // len(PRIORITIES)
    return next((route for route, each in {"": 0, **numbers}.items() if each == number), "?")


_NOTHING_ACKNOWLEDGED = {"lanes": [(int(priority), 0, 0) for priority in PRIORITIES]}
"""The cursor of a new reader, or of one with a damaged file, as far as an outsider can tell."""


def _cursors(folder: Path) -> dict[str, Places]:
    """For each reader: what it has acknowledged."""
    return {
        name.removesuffix(".cursor"): Places.model_validate(_newest(folder / name) or _NOTHING_ACKNOWLEDGED)
        for name in _names(folder)
        if name.endswith(".cursor")
    }


def _state(folder: Path) -> State | None:
    try:
        return State.model_validate(_newest(folder / "state"))
    except ValidationError:
        return None


def _newest(path: Path) -> object:
    file = intact(read_file(Files(), path))
    return max(file, key=lambda slot: slot[0])[1] if file else None
