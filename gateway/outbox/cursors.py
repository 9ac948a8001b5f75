"""Cursors: how far each reader has come, read from the disk and brought together with what is stored.

A damaged cursor delivers again what is stored; one that wants what is not there tells what is lost.
"""

from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from gateway.outbox.double_buffered_file import DoubleBufferedFile
from gateway.outbox.files import Files
from gateway.outbox.segment import LANES, Lane
from gateway.outbox.unacked_range import OPEN, Places, UnackedRange, places_of, ranges_of

_log = structlog.get_logger("gateway.outbox")

End = tuple[int, int]
"""A number, and the values of all records of its lane below it."""


@dataclass(slots=True)
class Cursor:
    """How far one reader has come, and where that is noted."""

    file: DoubleBufferedFile
    at: Places


def read_cursors(
    files: Files, folder: Path, names: list[str], readers: tuple[str, ...]
) -> dict[str, tuple[DoubleBufferedFile, Places | None]]:
    """The cursors of all readers that count; None for those that are new or damaged."""
    stored = {name.removesuffix(".cursor") for name in names if name.endswith(".cursor")}
    for name in sorted(stored - set(readers) if readers else ()):
        _log.info("a reader that is not configured any more was forgotten", reader=name)
        files.remove(folder / f"{name}.cursor")
        stored.discard(name)
    return {name: _read(files, folder, name) for name in sorted(stored | set(readers))}


def _read(files: Files, folder: Path, name: str) -> tuple[DoubleBufferedFile, Places | None]:
    file = DoubleBufferedFile(files, folder / f"{name}.cursor")
    try:
        places = Places.model_validate(file.found)
        if len(places.places) == len(LANES):
            return file, places
    except ValidationError:
        pass
    if not file.was_new:
        _log.warning("a damaged cursor: everything stored is delivered again", reader=name)
    return file, None


def open_cursor(files: Files, folder: Path, name: str, lanes: list[Lane]) -> Cursor:
    """The cursor of a reader that was not known when the outbox was opened, at the oldest record."""
    return Cursor(_read(files, folder, name)[0], at_the_oldest(lanes))


def at_the_oldest(lanes: list[Lane]) -> Places:
    return Places(places=[oldest_of(lane) for lane in lanes])


def oldest_of(lane: Lane) -> End:
    """The oldest record and the values before it."""
    if lane.segments:
        return lane.segments[0].first, lane.segments[0].values_before
    return lane.end, lane.values_end


def fitted(at: Places, lanes: list[Lane], kept: list[End], durable: list[End]) -> tuple[Places, list[tuple[int, int]]]:
    """A cursor that points at what is there, and messages and values of each piece that it wanted and is not there.

    Of each lane, `kept` is where the records on the disk end, `durable` where they should, and `lane.end` where the
    lane goes on.
    """
    wanted: list[list[UnackedRange]] = []
    lost: list[tuple[int, int]] = []
    for lane in lanes:
        start, stop = oldest_of(lane) if lane.segments else kept[lane.index], kept[lane.index]
        ranges = ranges_of(lane.index, at)
        for low, high in (((-1, 0), start), (stop, durable[lane.index])):
            lost += [piece for unacked in ranges if (piece := _overlap(unacked, low, high))]
        closed = [UnackedRange(*max(s, start), *min(e, stop)) for s, e in map(_bounds, ranges[:-1]) if s < stop]
        last = max(_bounds(ranges[-1])[0], start)
        wanted.append([s for s in closed if s.low < s.end])
        wanted[-1].append(UnackedRange(*(last if last[0] < stop[0] else (lane.end, stop[1]))))
    return Places.model_validate(places_of(wanted)), lost


def _bounds(unacked: UnackedRange) -> tuple[End, End]:
    return (unacked.low, unacked.low_values), (unacked.end, unacked.end_values)


def _overlap(unacked: UnackedRange, low: End, high: End) -> tuple[int, int] | None:
    """Messages and values of a range between two places; None when there are none."""
    begin, end = _bounds(unacked)
    begin, end = max(begin, low), min(end, high)
    return (end[0] - begin[0], max(0, end[1] - begin[1])) if begin[0] < end[0] else None


def furthest(at: Places | None, lane: int) -> int:
    """Behind the highest number that is acknowledged."""
    if at is None:
        return 0
    ranges = ranges_of(lane, at)
    assert ranges[-1].end == OPEN
    return ranges[-1].low
